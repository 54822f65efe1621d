"""Cleanup as the job and the command call it: what it counts, deletes, leaves, and survives."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aged import ADD_RECORD, ADD_REJECT, ADD_VERSION, prepared, run

from bibsync import cleanup, store
from bibsync.store import Connection, Pool, rejects
from bibsync.store.leftovers import LEFTOVERS
from bibsync.store.rejects import Choice

DAY = timedelta(days=1)
Key = tuple[int, str]
TABLES = """
select relname from pg_stat_user_tables where relname <> 'schema_migrations' order by relname
"""
TWO_EACH = dict.fromkeys(LEFTOVERS, 2)


async def rows(conn: Connection) -> dict[str, list[Any]]:
    """Return all rows of all tables."""
    names = [row["relname"] for row in await conn.fetch(TABLES)]
    return {
        name: [tuple(row) for row in await conn.fetch(f"select t::text from {name} t order by 1")]  # noqa: S608 - names of the catalogue
        for name in names
    }


@pytest.fixture
async def world(conn: Connection, key: Key) -> Connection:
    await prepared(conn, key, await store.clock(conn))
    return conn


async def test_a_dry_run_counts_what_goes_and_writes_nothing(pool: Pool, world: Connection):
    before = await rows(world)

    dry = await cleanup.clean(pool, 180, dry_run=True, batch=1)

    assert before == await rows(world)
    assert (TWO_EACH, True, 180, "bibsync.cleanup/1") == (
        dry["counts"],
        dry["dry_run"],
        dry["days_to_keep"],
        dry["schema"],
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
async def test_what_a_dry_run_counted_goes_and_nothing_is_left_for_another(
    pool: Pool, world: Connection, batch: int
):
    dry = await cleanup.clean(pool, 180, dry_run=True)

    first = await cleanup.clean(pool, 180, batch=batch)
    second = await cleanup.clean(pool, 180, batch=batch)

    assert dry["counts"] == first["counts"]
    assert {0} == set(second["counts"].values())


async def test_current_records_coverage_and_snapshots_outlive_every_cleanup(
    pool: Pool, world: Connection, key: Key
):
    kept = ("records", "record_states", "titles", "lanes", "days", "blanks", "open_windows",
            "fences", "snapshots")  # fmt: skip
    await world.execute(
        "update records set withdrawn_at = first_seen;"
        " insert into record_states select collection, control_number, '', '', 1, 1, first_seen"
        " from records;"
        " insert into titles (collection, control_number, wanted_since)"
        " select collection, control_number, first_seen from records;"
    )
    at = await store.clock(world) - 900 * DAY
    await world.execute(
        "insert into lanes (collection, stream, lane, kind, from_at)"
        " values ($1, $2, 0, 'live', $3)",
        *key,
        at,
    )
    await world.execute("insert into days values ($1, $2, $3::timestamptz::date, $3)", *key, at)
    await world.execute(
        "insert into blanks values ($1, $2, $3, $3::timestamptz + interval '1 h', $3, $3)", *key, at
    )
    await world.execute(
        "insert into open_windows values ($1, $2, 0, $3, $3::timestamptz + interval '1 h', 'gap',"
        " 1, null, 1, $3, $3)",
        *key,
        at,
    )
    await world.execute("insert into fences values ($1, $2, 1, 'me', 1)", *key)
    await world.execute(
        "insert into snapshots values ($1, $2::timestamptz::date, 1, 1, 1, 1, 1, 1, 1, 1, $2)",
        key[0],
        at,
    )
    before = await rows(world)

    await cleanup.clean(pool, 1)

    after = await rows(world)
    assert all(before[name] for name in kept)
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


async def test_two_cleanups_at_once_delete_each_row_once_and_wait_for_nobody(
    pool: Pool, world: Connection, key: Key
):
    now = await store.clock(world)
    for number in range(60):
        await run(world, key, now - 250 * DAY + number * timedelta(hours=1))

    both = await asyncio.gather(*(cleanup.clean(pool, 180, batch=7) for _ in range(2)))

    assert 62 == sum(each["counts"]["runs"] for each in both)
    assert 2 == await world.fetchval("select count(*) from runs")


async def test_a_cleanup_neither_waits_for_a_page_nor_keeps_it_waiting(
    pool: Pool, world: Connection, key: Key
):
    """A page under way has rows of a run, a reject and a version locked."""
    async with store.acquire(pool) as page, page.transaction():
        await page.execute("select from fences for update")
        await page.execute("select from collections for key share")
        await page.execute(
            "update rejects set last_seen = clock_timestamp()"
            " where reject = (select min(reject) from rejects)"
        )
        async with asyncio.timeout(20):
            done = await cleanup.clean(pool, 180)
        await page.execute("update rejects set attempts = attempts + 1")

    assert (1, 2) == (done["counts"]["rejects"], done["counts"]["runs"])
    assert 2 == await world.fetchval("select attempts from rejects")


async def test_a_cleanup_that_was_stopped_keeps_what_it_did_and_the_next_one_goes_on(
    pool: Pool, world: Connection
):
    await world.execute(
        "create function stop() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(3600); end';"
        "create trigger stop before delete on firings for each row execute function stop()"
    )
    task = asyncio.create_task(cleanup.clean(pool, 180))
    async with asyncio.timeout(30):
        while not await world.fetchval(
            "select exists (select from pg_stat_activity"
            " where wait_event = 'PgSleep' and pid <> pg_backend_pid())"
        ):
            await world.execute("select pg_sleep(0.02)")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.execute("drop trigger stop on firings")
    rest = await cleanup.clean(pool, 180)

    gone = dict.fromkeys(("runs", "versions", "rejects", "results", "requests"), 0)
    assert TWO_EACH | gone == rest["counts"]


async def test_days_of_which_rows_may_be_gone_are_noted_before_any_goes(
    pool: Pool, world: Connection
):
    since = "select kept_since from collections"

    await cleanup.clean(pool, 180, dry_run=True)
    before = await world.fetchval(since)
    await cleanup.clean(pool, 100)
    noted = await world.fetchval(since)
    await cleanup.clean(pool, 180)
    again = await world.fetchval(since)

    assert before is None
    assert timedelta(minutes=5) > await store.clock(world) - 100 * DAY - noted
    assert noted == again


async def test_a_reject_is_kept_from_the_day_on_which_it_was_settled(
    pool: Pool, conn: Connection, key: Key
):
    long_ago = await store.clock(conn) - 300 * DAY
    dismissed, resolved = [
        await conn.fetchval(ADD_REJECT, key[0], long_ago, long_ago, "open", None) for _ in range(2)
    ]

    await rejects.dismiss(conn, Choice(numbers=(dismissed,)))
    await rejects.resolve(conn, key[0], [resolved])
    young = await cleanup.clean(pool, 180)
    await conn.execute("update rejects set settled_at = $1", long_ago)
    old = await cleanup.clean(pool, 180)

    assert (0, 2) == (young["counts"]["rejects"], old["counts"]["rejects"])


async def test_where_there_is_nothing_nothing_goes(pool: Pool, key: Key):
    done = await cleanup.clean(pool, 1)

    assert dict.fromkeys(LEFTOVERS, 0) == done["counts"]


async def test_of_a_record_that_changed_often_only_the_last_change_stays(
    pool: Pool, conn: Connection, key: Key
):
    long_ago = await store.clock(conn) - 300 * DAY
    await conn.execute(ADD_RECORD, key[0], "a", 9, long_ago)
    for version in range(1, 9):
        await conn.execute(ADD_VERSION, key[0], "a", version, long_ago)

    await cleanup.clean(pool, 180, batch=2)

    rest = await conn.fetch("select version from record_versions")
    assert [8] == [row["version"] for row in rest]
