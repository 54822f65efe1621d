"""Jobs: each is known everywhere, does what its line says, and has its result kept."""

import re
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest

from bibsync import store, timetable
from bibsync.jobs import JOBS
from bibsync.settings.keys import JOBS_KNOWN, JOBS_OF_EACH
from bibsync.store import Pool, statistics
from tests.replica import TITLES, Scene

PAGE = (Path(__file__).parents[1] / "docs" / "jobs.md").read_text()


def test_every_job_that_can_be_configured_can_be_done_and_no_other():
    assert set(JOBS_KNOWN) == JOBS.keys()


def test_jobs_of_each_collection_are_asked_for_one_by_one():
    assert {name for name, job in JOBS.items() if job.of_each} == {*JOBS_OF_EACH}


def test_every_job_has_a_schedule_by_itself_and_a_line_on_the_page():
    documented = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert list(JOBS) == documented
    assert set(JOBS) == {each.job for each in timetable.built_in(ZoneInfo("UTC"))}


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> Scene:
    scene = Scene(pool, tmp_path, names=("one",))
    await scene.enrol()
    return scene


async def done(scene: Scene, name: str | None, job: str) -> dict:
    """Have a job done; return its result."""
    async with scene.replica().at_work():
        number = await scene.ask(name, job=job)
        assert ["succeeded"] == await scene.ended(number)
    result: dict = orjson.loads((await scene.row(number))["result"])
    return result


async def test_titles_are_looked_up_again(scene: Scene):
    await done(scene, "one", "purchases")
    vendor = scene.vendors["one"]
    before = len(vendor.look_ups)

    result = await done(scene, "one", "metadata")

    [summary] = result["summaries"]
    assert ("metadata", TITLES, TITLES) == tuple(
        summary[key] for key in ("stream", "received", "unchanged")
    )
    assert len(vendor.look_ups) > before


async def test_what_there_is_is_counted_and_kept_for_everyone(scene: Scene):
    await done(scene, "one", "purchases")

    result = await done(scene, None, "statistics")

    assert TITLES == result["totals"]["records"]
    async with store.acquire(scene.pool) as conn:
        assert result == await statistics.newest(conn)


async def test_a_snapshot_takes_the_days_that_nobody_took_too(scene: Scene):
    await scene.execute("update collections set created_at = now() - interval '5 days'")

    result = await done(scene, None, "snapshot")

    days = await scene.pool.fetchval("select count(distinct day) from snapshots")
    assert "bibsync.snapshots/1" == result["schema"]
    assert days >= 5


async def test_what_need_not_be_kept_is_deleted(scene: Scene):
    await scene.execute(
        "insert into idempotency_keys (key, digest, status, body, kept_since)"
        " values ('old', '', 202, '{}', now() - interval '9 days')"
    )

    result = await done(scene, None, "cleanup")

    assert 1 == result["counts"]["idempotency_keys"]
    assert 180 == result["days_to_keep"]


async def test_the_whole_chain_is_tried_and_what_was_found_is_kept(scene: Scene):
    replica = scene.replica()
    duty = replica.dispatch.duty
    alone = replace(duty.config, collections=())
    replica.dispatch.duty = replace(duty, config=alone)
    async with replica.at_work():
        number = await scene.ask(None, job="health")
        await scene.ended(number)

    row = await scene.row(number)
    findings = orjson.loads(row["result"])["findings"]
    assert "succeeded" == row["outcome"], findings
    assert {"database.connection", "state_folder"} <= {each["check"] for each in findings}


async def test_a_check_that_fails_is_the_problem_of_the_whole(scene: Scene):
    replica = scene.replica()
    async with replica.at_work():
        number = await scene.ask(None, job="health")
        outcomes = await scene.ended(number)

    problem = orjson.loads((await scene.row(number))["problem"])
    assert ["failed"] == outcomes
    assert problem["message"].startswith("one: ")
    assert problem["remedy"]
