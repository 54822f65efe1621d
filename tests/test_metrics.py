"""What Prometheus is told, and what it must never be told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from scraped import families, samples, shown

from bibsync import store
from bibsync.collection import Collection, Sync
from bibsync.metrics import Metrics
from bibsync.run import PURCHASES, Outcome, Tally
from bibsync.store import Pool

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CANARY = "canary-of-a-key"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def configured(*names: str) -> list[Collection]:
    return [
        Collection(
            name=name,
            source="bibliotheca",
            library_id=name,
            account_id=CANARY,
            account_key=SecretStr(CANARY),
            base_url="https://vendor.example/",
            sync=Sync(late_after=36 * HOUR),
        )
        for name in names
    ]


def standing(name: str, health: str = "ok", **stream: Any) -> dict[str, Any]:
    """Return what a status document says of a collection."""
    return {
        "name": name,
        "health": health,
        "activity": "idle",
        "records": 400,
        "withdrawn": 2,
        "rejects_open": 3,
        "streams": [
            {
                "stream": PURCHASES,
                "caught_up_to": "2026-03-10T11:00:00Z",
                "gaps": 0,
                "lag_s": 3600,
                "last_success": "2026-03-10T11:00:01Z",
                "last_run": {"problem": None},
            }
            | stream
        ],
    }


def document(*collections: dict[str, Any], schedules: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {
        "schema": "bibsync.status/1",
        "collections": list(collections),
        "schedules": list(schedules),
    }


def stand(metrics: Metrics, *collections: dict[str, Any], rejects: Any = None, **told: Any) -> None:
    names = [each["name"] for each in collections]
    metrics.stand(
        document(*collections, **told), configured(*names), rejects=rejects or {}, now=NOW
    )


async def test_every_family_of_the_contract_is_there_from_the_start(metrics: Metrics):
    there = await families(metrics)

    assert {
        "bibsync_collection_last_success_timestamp_seconds",
        "bibsync_collection_lag_seconds",
        "bibsync_records_total",
        "bibsync_rejects_open",
        "bibsync_source_requests_total",
        "bibsync_source_request_duration_seconds",
        "bibsync_runs_total",
        "bibsync_leases_held",
        "bibsync_schedule_delay_seconds",
        "bibsync_config_last_reload_successful",
        "bibsync_event_loop_lag_seconds",
        "bibsync_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
    } <= there


async def test_what_the_tables_say_is_shown(metrics: Metrics):
    stand(
        metrics,
        standing("main", titles_waiting=7),
        rejects={("main", "unreadable_record"): 3},
    )

    assert {("main", PURCHASES): 3600} == await shown(metrics, "bibsync_collection_lag_seconds")
    success = await shown(metrics, "bibsync_collection_last_success_timestamp_seconds")
    assert {("main", PURCHASES): datetime(2026, 3, 10, 11, 0, 1, tzinfo=UTC).timestamp()} == success
    assert {("main", "ok"): 1} == await shown(metrics, "bibsync_collection_health")
    assert {("main",): 400} == await shown(metrics, "bibsync_collection_records")
    assert {("main",): 7} == await shown(metrics, "bibsync_titles_waiting")
    late_after = await shown(metrics, "bibsync_collection_late_after_seconds")
    assert {("main",): 36 * 3600} == late_after
    assert {(): NOW.timestamp()} == await shown(metrics, "bibsync_status_read_timestamp_seconds")


async def test_a_reason_without_rejects_is_shown_as_none(metrics: Metrics):
    """Else the first ones would not be seen to have come."""
    stand(metrics, standing("main"), rejects={("main", "unreadable_record"): 3})

    counted = await shown(metrics, "bibsync_rejects_open", collection="main")
    assert {
        ("unreadable_record",): 3,
        ("missing_control_number",): 0,
        ("multiple_control_numbers",): 0,
        ("oversize_record",): 0,
    } == counted


async def test_a_collection_that_never_succeeded_has_no_time_of_success(metrics: Metrics):
    """Not 1970, which every rule would take for very late."""
    stand(metrics, standing("main", "never_run", last_success=None, last_run=None))

    assert await shown(metrics, "bibsync_collection_last_success_timestamp_seconds") == {}
    assert {("main", "never_run"): 1} == await shown(metrics, "bibsync_collection_health")


async def test_what_the_last_run_ended_with_is_shown_until_it_is_over(metrics: Metrics):
    stand(metrics, standing("main", last_run={"problem": {"code": "credentials_refused"}}))
    before = await shown(metrics, "bibsync_collection_problem")

    stand(metrics, standing("main"))

    assert {("credentials_refused", "main", PURCHASES): 1} == before
    assert await shown(metrics, "bibsync_collection_problem") == {}


async def test_a_collection_that_left_the_configuration_is_gone(metrics: Metrics):
    both = document(standing("main"), standing("branch"))
    metrics.stand(both, configured("main", "branch"), rejects={}, now=NOW)
    for name in ("main", "branch"):
        metrics.answered(name, "html")
        with metrics.watch(name, PURCHASES, tally := Tally()):
            tally.new += 1

    metrics.stand(both, configured("main"), rejects={("branch", "unreadable_record"): 1}, now=NOW)

    named = {each.labels.get("collection") for each in await samples(metrics)}
    assert {None, "main"} == named


async def test_a_collection_is_counted_from_nothing_before_it_is_asked(metrics: Metrics):
    stand(metrics, standing("main"))

    requests = await shown(metrics, "bibsync_source_requests_total", collection="main")
    assert {("ok",): 0, ("credentials_refused",): 0, ("source_misconfigured",): 0} == requests
    records = await shown(metrics, "bibsync_records_total", collection="main")
    assert set(records.values()) == {0}


async def test_a_collection_that_is_put_back_is_counted_from_nothing_again(metrics: Metrics):
    stand(metrics, standing("main"))
    stand(metrics)

    stand(metrics, standing("main"))

    assert {("main",): 0} == await shown(metrics, "bibsync_records_total", result="new")


async def test_a_vendor_can_not_invent_series(metrics: Metrics):
    """Nor can it name them: of what it says only words that are known become a label."""
    for status in range(100, 1000):
        metrics.answered("main", f"http_{status}")
    metrics.answered("main", "a word of tomorrow")

    outcomes = {
        key[0] for key in await shown(metrics, "bibsync_source_requests_total", collection="main")
    }
    assert len(outcomes) < 15
    assert {"http_503", "http_other", "other"} <= outcomes


async def test_runs_are_counted_from_nothing(metrics: Metrics):
    runs = await shown(metrics, "bibsync_runs_total")

    assert len(runs) == 2 * len(Outcome)
    assert set(runs.values()) == {0}


async def test_the_gauges_of_the_process_follow_what_they_are_told(metrics: Metrics):
    metrics.held(3)
    metrics.reloaded(successful=False)
    metrics.fired(timedelta(minutes=2))
    metrics.fired(-timedelta(seconds=1))
    metrics.lagged(0.3)
    metrics.took("vendor.example", 1.5)

    assert {(): 3} == await shown(metrics, "bibsync_leases_held")
    assert {(): 0} == await shown(metrics, "bibsync_config_last_reload_successful")
    assert {(): 120} == await shown(metrics, "bibsync_schedule_delay_seconds_sum")
    assert {(): 0.3} == await shown(metrics, "bibsync_event_loop_lag_seconds_sum")
    took = await shown(metrics, "bibsync_source_request_duration_seconds_sum")
    assert {("vendor.example",): 1.5} == took


async def test_a_configuration_that_was_never_reloaded_is_the_one_in_the_file(metrics: Metrics):
    assert {(): 1} == await shown(metrics, "bibsync_config_last_reload_successful")


async def test_a_schedule_that_is_due_is_overdue_until_it_is_begun(metrics: Metrics):
    due = {"name": "purchases", "enabled": True, "next_due": "2026-03-10T11:50:00Z"}
    later = {"name": "cleanup", "enabled": True, "next_due": "2026-03-16T05:00:00Z"}
    off = {"name": "snapshot", "enabled": False, "next_due": "2026-03-01T00:15:00Z"}
    never = {"name": "once", "enabled": True, "next_due": None}

    stand(metrics, schedules=(due, later, off, never))

    overdue = await shown(metrics, "bibsync_schedule_overdue_seconds")
    assert {("purchases",): 600, ("cleanup",): 0} == overdue


class Redis:
    """A Redis that may get lost."""

    lost = False


async def test_the_loss_of_redis_is_shown_where_there_is_one(metrics: Metrics, pool: Pool):
    metrics.follow(pool)
    without = await shown(metrics, "bibsync_redis_up")
    redis = Redis()
    metrics.follow(pool, redis)

    before = await shown(metrics, "bibsync_redis_up")
    redis.lost = True

    assert (without, before) == ({}, {(): 1})
    assert {(): 0} == await shown(metrics, "bibsync_redis_up")


async def test_the_connections_in_use_are_shown(metrics: Metrics, pool: Pool):
    metrics.follow(pool)

    async with store.acquire(pool), store.acquire(pool):
        lent = await shown(metrics, "bibsync_database_connections")

    assert {("used",): 2, ("idle",): 0} == lent
    assert {("used",): 0, ("idle",): 2} == await shown(metrics, "bibsync_database_connections")
    assert {(): 8} == await shown(metrics, "bibsync_database_connections_max")


async def test_the_loop_turns_while_an_exposition_is_written(metrics: Metrics):
    names = [f"library {number}" for number in range(500)]
    metrics.stand(
        document(*(standing(name) for name in names)), configured(*names), rejects={}, now=NOW
    )
    asked = asyncio.ensure_future(metrics.exposition())
    turns = 0

    while not asked.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 5  # written between two turns it would be two


async def test_no_secret_is_shown(metrics: Metrics):
    stand(metrics, standing("main"))

    _, body = await metrics.exposition()

    assert CANARY not in body.decode()


async def test_a_name_can_not_break_the_exposition(metrics: Metrics):
    name = 'The "main"\n# HELP \\ library'
    stand(metrics, standing(name))

    assert {(name,): 400} == await shown(metrics, "bibsync_collection_records")


async def test_two_sets_of_metrics_know_nothing_of_each_other(metrics: Metrics):
    other = Metrics()

    metrics.answered("main", "ok")

    assert await shown(other, "bibsync_source_requests_total") == {}
    assert [name for name in REGISTRY._names_to_collectors if name.startswith("bibsync")] == []


async def test_the_type_of_an_exposition_is_the_one_that_every_prometheus_reads(metrics: Metrics):
    kind, _ = await metrics.exposition()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
