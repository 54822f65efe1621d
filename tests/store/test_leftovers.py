"""What is left over and what isn't: one rule a test, each of which fails where its rule is gone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aged import ADD_FIRING, ADD_RECORD, ADD_REJECT, ADD_REQUEST, ADD_VERSION, prepared, run

from bibsync import store
from bibsync.store import Connection, Pool, leftovers, runs
from bibsync.store.leftovers import LEFTOVERS

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LONG_AGO = NOW - 300 * DAY
Key = tuple[int, str]


async def left(conn: Connection, kind: str, before: datetime = NOW - DAY) -> list[Any]:
    """Return the keys of a kind that may go, each alone where it is alone."""
    chosen = LEFTOVERS[kind]
    keys = await leftovers.stale(conn, chosen, before, after=chosen.first, limit=1000)
    return [key[0] if len(key) == 1 else key for key in keys]


async def test_the_first_and_the_newest_success_of_a_stream_stay(conn: Connection, key: Key):
    first = await run(conn, key, NOW - 300 * DAY)
    between = [
        await run(conn, key, NOW - 250 * DAY),
        await run(conn, key, NOW - 240 * DAY, "failed"),
    ]
    newest = await run(conn, key, NOW - 230 * DAY)
    failed = [
        await run(conn, key, NOW - 220 * DAY, "failed"),
        await run(conn, key, NOW - 210 * DAY, "partial"),
    ]
    latest = await run(conn, key, NOW - 200 * DAY, "failed")

    assert [*between, *failed] == await left(conn, "runs")
    known = await runs.latest_success(conn), await runs.successes(conn), await runs.latest(conn)
    await conn.execute("delete from runs where run = any($1)", await left(conn, "runs"))
    assert known == (
        await runs.latest_success(conn),
        await runs.successes(conn),
        await runs.latest(conn),
    )
    rest = await conn.fetch("select run from runs order by run")
    assert [first, newest, latest] == [row["run"] for row in rest]


async def test_the_newest_run_that_tells_of_the_vendor_stays_behind_those_that_do_not(
    conn: Connection, key: Key
):
    await run(conn, key, NOW - 300 * DAY, "failed")
    telling = await run(conn, key, NOW - 290 * DAY, "failed")
    await run(conn, key, NOW - 280 * DAY, "failed", asked=False)
    await run(conn, key, NOW - 270 * DAY, "failed", asked=False)
    await run(conn, key, NOW - 260 * DAY, None)

    assert telling not in await left(conn, "runs")
    assert telling == (await runs.latest(conn))[key]["run"]


async def test_a_success_that_asked_nobody_is_none_behind_which_another_may_go(
    conn: Connection, key: Key
):
    await run(conn, key, NOW - 300 * DAY)
    success = await run(conn, key, NOW - 290 * DAY)
    await run(conn, key, NOW - 280 * DAY, asked=False)
    await run(conn, key, NOW - 270 * DAY, "failed")

    assert success not in await left(conn, "runs")


async def test_a_success_that_asked_nobody_is_no_first_one(conn: Connection, key: Key):
    await run(conn, key, NOW - 400 * DAY, asked=False)
    first = await run(conn, key, NOW - 300 * DAY)
    await run(conn, key, NOW)

    assert first not in await left(conn, "runs")


async def test_each_stream_keeps_its_own_newest_run(conn: Connection, key: Key):
    await run(conn, key, NOW - 300 * DAY)
    await run(conn, key, NOW - 290 * DAY, "failed", stream="metadata")
    await run(conn, key, NOW - 0 * DAY)

    assert [] == await left(conn, "runs")


async def test_a_run_that_goes_on_and_one_that_is_young_stay(conn: Connection, key: Key):
    await run(conn, key, NOW - 400 * DAY)
    await run(conn, key, NOW - 300 * DAY, None)
    old = await run(conn, key, NOW - 200 * DAY)
    await run(conn, key, NOW - 1 * DAY)
    await run(conn, key, NOW - 0 * DAY)

    assert [old] == await left(conn, "runs")


async def test_the_version_before_the_current_one_stays_however_old(conn: Connection, key: Key):
    await conn.execute(ADD_RECORD, key[0], "a", 4, LONG_AGO)
    for version in (1, 2, 3):
        await conn.execute(ADD_VERSION, key[0], "a", version, LONG_AGO)
    await conn.execute(ADD_RECORD, key[0], "b", 3, NOW)
    await conn.execute(ADD_VERSION, key[0], "b", 1, NOW)
    await conn.execute(ADD_VERSION, key[0], "b", 2, NOW)

    assert [(key[0], "a", 1), (key[0], "a", 2)] == await left(conn, "versions")


async def test_an_open_reject_stays_and_a_settled_one_goes_by_when_it_was_settled_or_met(
    conn: Connection, key: Key
):
    async def reject(state: str, seen: datetime, settled: datetime | None) -> int:
        number: int = await conn.fetchval(ADD_REJECT, key[0], LONG_AGO, seen, state, settled)
        return number

    await reject("open", LONG_AGO, None)
    await reject("dismissed", LONG_AGO, NOW)
    await reject("dismissed", NOW, LONG_AGO)
    gone = [
        await reject("dismissed", LONG_AGO, LONG_AGO),
        await reject("resolved", LONG_AGO, LONG_AGO),
        await reject("resolved", LONG_AGO, None),
    ]

    assert gone == await left(conn, "rejects")


async def test_results_go_after_their_own_time_and_requests_after_both(conn: Connection, key: Key):
    async def request(state: str, finished: datetime | None, kept: timedelta) -> int:
        number: int = await conn.fetchval(
            ADD_REQUEST, key[0], None, LONG_AGO, state, finished, kept
        )
        return number

    now = await store.clock(conn)
    await request("running", None, DAY)
    old = await request("done", now - 9 * DAY, DAY)
    await request("done", now - 9 * DAY, 10 * DAY)
    young = await request("cancelled", now - 2 * DAY, DAY)
    await request("done", now, DAY)

    assert [old, young] == await left(conn, "results", now)
    assert [old] == await left(conn, "requests", now - 8 * DAY)


async def test_a_firing_stays_that_is_the_newest_or_not_over_and_so_do_its_requests(
    conn: Connection, key: Key
):
    async def firing(schedule: str, ago: int, *, over: bool = True) -> int:
        at = LONG_AGO - ago * DAY
        number: int = await conn.fetchval(ADD_FIRING, schedule, at, at if over else None)
        return number

    async def request(of: int, state: str, finished: datetime | None) -> int:
        number: int = await conn.fetchval(ADD_REQUEST, key[0], of, LONG_AGO, state, finished, DAY)
        return number

    gone = await firing("daily", 9)
    open_, waits = await firing("daily", 8, over=False), await firing("daily", 7)
    await firing("daily", 6)
    await firing("weekly", 9)
    await request(open_, "done", LONG_AGO)
    await request(waits, "waiting", None)
    done = await request(gone, "done", LONG_AGO)

    assert [done] == await left(conn, "requests")
    assert [gone] == await left(conn, "firings")


async def test_notices_keys_and_replicas_go_by_their_ends(conn: Connection):
    await conn.execute(
        "insert into notices (kind, subject, began, ended, message) values"
        " ('late', 'a', $1, null, '{}'), ('late', 'a', $1, $1, '{}'), ('late', 'a', $1, $2, '{}')",
        LONG_AGO,
        NOW,
    )
    await conn.execute(
        "insert into idempotency_keys (key, digest, status, body, kept_since) values"
        " ('old', '', 202, '{}', $1), ('new', '', 202, '{}', $2)",
        LONG_AGO,
        NOW,
    )
    await conn.execute(
        "insert into replicas (replica, version, started, seen, configured_at, redis_lost,"
        " loop_lag_s) values ('gone', '1', $1, $1, $1, false, 0), ('here', '1', $1, $2, $1, false,"
        " 0)",
        LONG_AGO,
        NOW,
    )
    ended = await conn.fetchval("select notice from notices where ended = $1", LONG_AGO)

    assert [ended] == await left(conn, "notices")
    assert ["old"] == await left(conn, "idempotency_keys")
    assert ["gone"] == await left(conn, "replicas")


async def test_what_is_met_again_after_it_was_found_stays(conn: Connection, key: Key):
    """A page may come between finding and removing."""
    numbers = [
        await conn.fetchval(ADD_REJECT, key[0], LONG_AGO, LONG_AGO, "resolved", LONG_AGO)
        for _ in range(2)
    ]
    found = [(number,) for number in await left(conn, "rejects")]
    await conn.execute("update rejects set last_seen = $1 where reject = $2", NOW, numbers[0])

    count = await leftovers.remove(conn, LEFTOVERS["rejects"], NOW - DAY, found)

    rest = await conn.fetch("select reject from rejects")
    assert (1, [numbers[0]]) == (count, [row["reject"] for row in rest])


LOCK_ONE: dict[str, str] = {
    "runs": "select run from runs where run = $1 for update",
    "versions": "select 1 from record_versions where version = $1 for update",
    "rejects": "select 1 from rejects where reject = $1 for update",
    "results": "select 1 from requests where request = $1 for update",
    "requests": "select 1 from requests where request = $1 for update",
    "firings": "select 1 from firings where firing = $1 for update",
    "notices": "select 1 from notices where notice = $1 for update",
    "idempotency_keys": "select 1 from idempotency_keys where key = $1 for update",
    "replicas": "select 1 from replicas where replica = $1 for update",
}


@pytest.mark.parametrize("kind", LEFTOVERS)
async def test_a_row_that_somebody_has_locked_is_passed_over_without_waiting(
    pool: Pool, conn: Connection, key: Key, kind: str
):
    await prepared(conn, key, NOW)
    chosen = LEFTOVERS[kind]
    found: Sequence[Any] = await leftovers.stale(
        conn, chosen, NOW - DAY, after=chosen.first, limit=9
    )

    async with store.acquire(pool) as other, other.transaction():
        await other.fetch(LOCK_ONE[kind], found[0][-1])
        await conn.execute("set lock_timeout = '1s'")
        try:
            count = await leftovers.remove(conn, chosen, NOW - DAY, found)
        except asyncpg.LockNotAvailableError:
            count = -1
        finally:
            await conn.execute("set lock_timeout = 0")

    assert (2, 1) == (len(found), count)


@pytest.mark.parametrize("kind", LEFTOVERS)
async def test_leftovers_are_found_in_batches_behind_the_last_one(
    conn: Connection, key: Key, kind: str
):
    await prepared(conn, key, NOW)
    chosen = LEFTOVERS[kind]

    first = await leftovers.stale(conn, chosen, NOW - DAY, after=chosen.first, limit=1)
    second = await leftovers.stale(conn, chosen, NOW - DAY, after=first[-1], limit=1)
    none = await leftovers.stale(conn, chosen, NOW - DAY, after=second[-1], limit=1)

    assert [1, 1, 0] == [len(each) for each in (first, second, none)]
    assert first < second
