"""`bibsync daemon`: what it does by itself, and what it tells."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

from attended import WITHIN_S, attending, configure, fire, looking
from installation import ACCOUNT_KEY, Installation, until
from watched import Watched, library, served

DRAIN_US = 30_000_000
"""What a stop may take where the configuration says nothing else."""


async def test_it_syncs_at_once_what_never_succeeded_and_stops_without_a_trace(
    installation: Installation, database: str
):
    """Started from nothing, as systemd does."""
    async with (
        served(Watched([library("springfield"), library("ogdenville", titles=60)])) as vendor,
        looking(database) as conn,
    ):
        configure(installation, vendor.collections())
        async with attending(installation, loaded=False) as daemon:
            await daemon.told("request.ended", times=2, outcome="succeeded")

            assert 0 == await daemon.stop()

        for name in vendor.libraries:
            assert vendor.must_have(name)[0] == await installation.stored(name)
        assert {"start"} == {each[0] for each in await conn.fetch("select trigger from runs")}
        assert 0 == await conn.fetchval("select count(*) from replicas")
        assert 0 == await conn.fetchval(
            "select count(*) from leases where expires_at >= clock_timestamp()"
        )
    assert "daemon.stopped" == daemon.events[-1]["event"]


async def test_it_fires_a_schedule_that_is_edited_while_it_runs(
    installation: Installation, database: str, vendor: Watched
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("request.ended", outcome="succeeded")
        began = time.monotonic()

        await fire(conn)
        fired = await daemon.told("schedule.fired")
        ended = await daemon.told("schedule.ended")

        assert ("purchases", 1) == (fired["schedule"], fired["requests"])
        assert fired["late_s"] < 5
        assert time.monotonic() - began < 60
        assert "succeeded" == ended["outcome"]
        assert ["start", "schedule"] == [
            each["trigger"]
            for each in await conn.fetch(
                "select trigger from runs where stream = 'purchases' order by run"
            )
        ]


async def test_what_succeeded_before_is_left_until_it_is_due(
    installation: Installation, database: str, vendor: Watched
):
    configure(installation, vendor.collections())
    assert 0 == (await installation.run("run-once", "--all")).code
    asked = vendor.requests

    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("daemon.ready")
        await until(conn, "exists (select from replicas)")

        assert 0 == await daemon.stop()
        assert asked == vendor.requests
        assert 0 == await conn.fetchval("select count(*) from requests")


async def test_a_dump_tells_what_runs_and_no_secret(installation: Installation, vendor: Watched):
    configure(installation, vendor.collections())
    vendor.latency_s = 30.0
    async with attending(installation, PYTHONTRACEMALLOC="1") as daemon:
        await vendor.asked(1)

        daemon.send(signal.SIGUSR1)
        dumped = await daemon.told("daemon.dumped")

    assert [("purchases", "springfield")] == [
        (each["job"], each["collection"]) for each in dumped["requests"]
    ]
    assert [{"collection": 1, "stream": "purchases"}] == dumped["leases"]
    assert any(each.startswith("timetable") for each in dumped["tasks"])
    assert ACCOUNT_KEY not in daemon.said


async def test_a_broken_file_is_refused_at_the_start(bare: Installation):
    bare.configure([{"name": "springfield", "libary_id": "x"}])

    ended = await bare.run("daemon")

    assert 5 == ended.code
    assert 'unknown key "libary_id"' in ended.err
    assert not bare.state.exists()


async def test_a_schema_that_is_newer_is_refused(installation: Installation, database: str):
    configure(installation, [])
    async with looking(database) as conn:
        await conn.execute(
            "insert into schema_migrations (version, name, sha256) values (9999, '9999_x', 'x')"
        )

    ended = await installation.run("daemon")

    assert 7 == ended.code
    assert "newer" in ended.err


async def test_a_collection_that_became_another_library_is_refused_at_the_start(
    installation: Installation, vendor: Watched
):
    configure(installation, vendor.collections())
    assert 0 == (await installation.run("run-once", "--all")).code
    configure(installation, vendor.collections(library_id="shelbyville"))

    ended = await installation.run("daemon")

    assert 5 == ended.code
    assert 'library_id was "springfield"' in ended.err


async def test_systemd_hears_how_it_fares(
    installation: Installation, folder: Path, vendor: Watched
):
    configure(installation, vendor.collections())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(folder / "notify"))
        end.settimeout(WITHIN_S)
        heard: list[str] = []

        async def hear(word: str) -> str:
            """Wait for a message with this word; return it."""
            while True:
                heard.append((await asyncio.to_thread(end.recv, 1 << 16)).decode())
                if word in heard[-1]:
                    return heard[-1]

        async with attending(
            installation, NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="1000000"
        ) as daemon:
            assert "STATUS=Waiting for the database" in await hear("READY=1")
            assert await hear("STATUS=0 at work, 1 collections")
            assert await hear("WATCHDOG=1")

            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.send(signal.SIGHUP)
            reloading = await hear("RELOADING=1")
            assert await hear("READY=1")
            told_at = int(reloading.partition("MONOTONIC_USEC=")[2])
            assert before <= told_at <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

            installation.write("bibsync.toml", "nonsense")
            daemon.send(signal.SIGHUP)
            await hear("RELOADING=1")
            assert "configuration was refused" in await hear("READY=1")

            daemon.send(signal.SIGTERM)
            stopping = await hear("STOPPING=1")
            assert int(stopping.partition("EXTEND_TIMEOUT_USEC=")[2]) >= DRAIN_US
            assert 0 == await daemon.ended()


async def test_the_embedded_database_is_brought_back_when_it_is_killed(
    embedded: Installation, vendor: Watched
):
    configure(embedded, vendor.collections(max_window="1d"))
    async with attending(embedded) as daemon:
        await vendor.asked(20)

        _kill_postgres(embedded)
        await daemon.told("store.lost")
        await daemon.told("store.recovered")
        await daemon.told("request.ended", outcome="succeeded")

        assert 0 == await daemon.stop()
    assert vendor.must_have("springfield")[0] == await embedded.stored()


def _kill_postgres(installation: Installation) -> None:
    cluster = installation.state / "cluster"
    home = cluster.resolve() if cluster.is_symlink() else installation.state
    [pid_file] = home.glob("pg*/postmaster.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
