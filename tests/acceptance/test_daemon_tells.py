"""What a daemon tells by itself: numbers, messages, and what ended it."""

import asyncio
import signal
import sys

import aiohttp
import pytest
from attended import SETTINGS, Attended, attending, configure, fire, looking
from installation import WITHIN_S, Installation, Running, keeps_silent
from prometheus_client.parser import text_string_to_metric_families
from watched import Watched

from tests.notify.post_office import black_hole, site

DEFECT = """
import sys
import {module} as module
async def defect(*_, **__):
    secret = "key-that-nobody-may-see"
    raise RuntimeError("a defect")
{where} = defect
from bibsync.cli import run
sys.exit(run(["daemon"]))
"""
SIDES = (
    ("bibsync.lag", "module.watch"),
    ("bibsync.at_work", "module.AtWork._say"),
    ("bibsync.at_work", "module.AtWork._fire"),
    ("bibsync.dispatch", "module.Dispatch.look"),
    ("bibsync.dispatch", "module.Dispatch.keep"),
    ("bibsync.notify.keeping", "module._judge_on"),
    ("bibsync.systemd", "module.Supervisor.beat"),
)


async def scraped(daemon: Attended) -> dict[str, float]:
    """Return what a Prometheus would read, each name's samples summed up."""
    opened = await daemon.told("web.opened")
    found: dict[str, float] = {}
    address = f"http://{opened['addresses'][0]}/metrics"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        body = await answer.text()
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


async def test_its_numbers_count_what_it_does(
    installation: Installation, vendor: Watched, database: str
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("request.ended", outcome="succeeded")
        await fire(conn)
        await daemon.told("schedule.ended")
        installation.write("bibsync.toml", "nonsense")
        daemon.send(signal.SIGHUP)
        await daemon.told("config.refused")

        found = await scraped(daemon)

    must_have, _ = vendor.must_have("springfield")
    assert found["bibsync_records_total"] >= len(must_have)
    assert found["bibsync_source_requests_total"] == vendor.requests
    assert found["bibsync_source_request_duration_seconds_count"] == vendor.requests
    assert 4 == found["bibsync_runs_total"]
    assert 1 == found["bibsync_schedule_delay_seconds_count"]
    assert 0 == found["bibsync_config_last_reload_successful"]
    assert found["bibsync_event_loop_lag_seconds_count"] > 0
    assert 0 == found["bibsync_leases_held"]
    assert 1 == found["bibsync_collection_health"]


async def test_it_tells_of_a_problem_and_its_end_though_the_mail_server_is_dead(
    installation: Installation, vendor: Watched, database: str
):
    async with black_hole() as dead, site() as hook:
        notify = (
            f'{SETTINGS}[notify]\nemail_to = ["systems@library.example"]\n'
            f'smtp_url = "smtp://127.0.0.1:{dead.port}"\nwebhook_url = "{hook.url()}"\n'
            f'heartbeat_url = "{hook.url("/alive")}"\n'
        ).replace('[web]\nlisten = "127.0.0.1:0"\n', "")
        configure(installation, vendor.collections(), more=notify)
        async with attending(installation) as daemon, looking(database) as conn:
            await daemon.told("request.ended", outcome="succeeded")
            vendor.next_answers("springfield", ["html"])
            await fire(conn)
            await daemon.told("schedule.ended", outcome="failed")
            await hook.wait(lambda site: len(site.posted) == 1)
            await dead.caught.wait()

            await conn.execute("update requests set due_at = clock_timestamp()")
            await daemon.told("request.ended", times=3)
            await hook.wait(lambda site: len(site.posted) == 2)
            assert 0 == await daemon.stop()

    began, ended = hook.posted
    assert ("failing", "problem") == (began["kind"], began["state"])
    assert began["remedy"]
    assert ("failing", "recovered") == (ended["kind"], ended["state"])
    assert "GET /alive" in hook.asked
    assert vendor.must_have("springfield")[0] == await installation.stored()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_both_signals_stop_it(
    installation: Installation, vendor: Watched, number: signal.Signals
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon:
        await daemon.told("daemon.ready")
        daemon.send(number)
        await daemon.told("daemon.stopped")
        assert 0 == await daemon.ended()


@pytest.mark.parametrize(("module", "where"), SIDES, ids=[where for _, where in SIDES])
async def test_a_defect_of_a_side_task_ends_it_and_is_told_without_a_secret(
    installation: Installation, vendor: Watched, module: str, where: str
):
    configure(installation, vendor.collections())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DEFECT.format(module=module, where=where)),
        stderr=asyncio.subprocess.PIPE,
        cwd=installation.folder,
        env=installation.environment(),
    )
    daemon = Attended(Running(process))
    async with asyncio.timeout(WITHIN_S):
        await daemon.read()

    assert 1 == process.returncode, daemon.said
    keeps_silent(daemon.said)
    told = await daemon.told("daemon.crashed")
    [trace] = told["exception"]
    assert ("critical", "RuntimeError") == (told["level"], trace["exc_type"])
    assert "defect" == trace["frames"][-1]["name"]
