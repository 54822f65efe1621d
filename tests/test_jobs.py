"""Jobs: each is known everywhere, does what its line says, and has its result kept."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest

from bibsync import store, timetable
from bibsync.errors import SourceRefused
from bibsync.jobs import JOBS
from bibsync.settings.keys import JOBS_KNOWN, JOBS_OF_EACH
from bibsync.store import Pool, pauses, statistics
from tests.harvest.world import busy
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


def raised(error: Exception) -> None:
    raise error


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


async def test_a_check_that_a_person_must_mend_is_not_tried_again(scene: Scene):
    scene.vendors["one"].hook = lambda *_: raised(SourceRefused("Who are you?"))
    async with scene.replica().at_work():
        number = await scene.ask(None, job="health", retries=3, retry_delay=timedelta(0))
        assert ["failed"] == await scene.ended(number)

    row = await scene.row(number)
    assert (1, "credentials_refused") == (row["attempts"], orjson.loads(row["problem"])["code"])


async def test_who_is_to_be_left_alone_is_not_asked_whether_all_is_well(pool: Pool, tmp_path: Path):
    scene = Scene(pool, tmp_path, names=("one", "paused", "parked"))
    await scene.enrol()
    async with pool.acquire() as conn:
        numbers = [scene.numbers["paused"]]
        await pauses.pause(conn, numbers, until=None, reason=None, by="anna")
        await conn.execute(
            "insert into lanes (collection, stream, lane, kind, from_at, parked_until) "
            "values ($1, 'purchases', 0, 'live', '2024-01-01', clock_timestamp() + interval '1 h')",
            scene.numbers["parked"],
        )

    result = await done(scene, None, "health")

    assert {name: bool(vendor.asked) for name, vendor in scene.vendors.items()} == {
        "one": True, "paused": False, "parked": False,
    }  # fmt: skip
    assert ["parked", "paused"] == result["left_alone"]
    assert {None, "one"} == {each["collection"] for each in result["findings"]}


async def test_a_check_that_fails_is_the_problem_of_the_whole(scene: Scene):
    scene.vendors["one"].hook = lambda *_: raised(busy())
    async with scene.replica().at_work():
        number = await scene.ask(None, job="health", retries=1, retry_delay=timedelta(0))
        outcomes = await scene.ended(number)

    row = await scene.row(number)
    problem = orjson.loads(row["problem"])
    assert ["failed"] == outcomes
    assert 2 == row["attempts"], "what may pass is tried again"
    assert problem["message"].startswith("one: ")
    assert problem["remedy"]
