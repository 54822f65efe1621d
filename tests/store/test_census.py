"""The census: what is counted, what a day came to, and what can't be known any more."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from aged import ADD_RECORD, ADD_REJECT, ADD_VERSION

from bibsync import census, cleanup, store
from bibsync.store import Connection, Pool, snapshots, statistics

MARCH = datetime(2024, 3, 1, tzinfo=UTC)
"""When Springfield and Ogdenville were enrolled."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOON = 12 * HOUR
Key = tuple[int, str]

ADD_RUN = """
insert into runs (collection, stream, trigger, replica, epoch, started, finished, outcome,
                  requests, received, new, changed, rejected)
values ($1, $2, 'person', 'host:7', 1, $3, $4, $5, 4, 3, 2, 1, 1)
"""
ADD_COLLECTION = """
insert into collections (name, source, base_url, library_id, account_id)
values ('Ogdenville', 'bibliotheca', '', 'ogdenville', 'partner') returning collection
"""


@pytest.fixture
async def other(conn: Connection, key: Key) -> int:
    """Return the number of a second collection; both were enrolled on March 1st."""
    number: int = await conn.fetchval(ADD_COLLECTION)
    await conn.execute("update collections set created_at = $1", MARCH + NOON)
    return number


async def record(conn: Connection, collection: int, name: str, at: datetime) -> None:
    await conn.execute(ADD_RECORD, collection, name, 1, at)


async def change(conn: Connection, collection: int, name: str, version: int, at: datetime) -> None:
    await conn.execute(ADD_VERSION, collection, name, version, at)


async def reject(conn: Connection, collection: int, at: datetime) -> None:
    await conn.execute(ADD_REJECT, collection, at, at, "open", None)


async def run(
    conn: Connection,
    collection: int,
    at: datetime,
    outcome: str = "succeeded",
    stream: str = "purchases",
) -> None:
    await conn.execute(ADD_RUN, collection, stream, at - 2 * HOUR, at, outcome)


async def days(conn: Connection, collection: int | None = None) -> list[tuple[Any, ...]]:
    """Return what is stored of each day: day of March, name, figures."""
    return [
        (row["day"].day, row["name"], *(row[figure] for figure in snapshots.FIGURES))
        async for row in snapshots.each(conn, None, None, collection)
    ]


def march(day: int) -> date:
    return date(2024, 3, day)


@pytest.fixture
async def world(conn: Connection, key: Key, other: int) -> Connection:
    """Return a connection to five days of March, with something on each edge of the third."""
    third = MARCH + 2 * DAY
    last = third + DAY - timedelta(microseconds=1)
    for name, at in zip(
        "abcde", (MARCH + NOON, third - HOUR, third, last, third + DAY), strict=True
    ):
        await record(conn, key[0], name, at)
    await record(conn, other, "a", third)
    for version, at in enumerate((third - HOUR, third, last, third + DAY), start=1):
        await change(conn, key[0], "a", version, at)
        await reject(conn, key[0], at)
        await run(conn, key[0], at)
    await run(conn, key[0], third + HOUR, "failed")
    await run(conn, key[0], third + HOUR, "partial", "metadata")
    await conn.execute(
        "update records set withdrawn_at = $1 where control_number = 'b'", third + NOON
    )
    return conn


THIRD = (3, "Springfield", 4, 2, 2, 1, 2, 16, 4, 2)
"""Records, new, changed, withdrawn, rejects, requests, runs, failed ones of March 3rd."""


async def test_a_day_is_what_happened_from_midnight_to_midnight_in_utc(world: Connection):
    taken = await census.snapshot(world, day=march(3))

    assert [(3, "Ogdenville", 1, 1, 0, 0, 0, 0, 0, 0), THIRD] == await days(world)
    assert (2, 0, 0, "2024-03-03", "2024-03-04") == tuple(
        taken[word] for word in ("taken", "taken_before", "incomplete", "since", "until")
    )
    assert orjson.dumps(taken)


async def test_a_day_may_be_taken_in_a_session_of_any_time_zone(world: Connection):
    await world.execute("set timezone = 'Asia/Tokyo'")
    try:
        await census.snapshot(world, day=march(3))
        counted = await census.statistics(world, now=MARCH + 3 * DAY)
    finally:
        await world.execute("set timezone = 'UTC'")

    assert THIRD in await days(world)
    assert (4, 2) == (counted["activity"][-2]["runs"], counted["activity"][-2]["failed_runs"])


async def test_a_day_taken_again_is_replaced(world: Connection, key: Key):
    await census.snapshot(world, day=march(3))
    await reject(world, key[0], MARCH + 2 * DAY + HOUR)

    again = await census.snapshot(world, day=march(3))

    assert [3] == [row[6] for row in await days(world, key[0])]
    assert (2, 0) == (again["taken"], again["taken_before"])


async def test_the_day_that_is_taken_is_the_last_one_that_ended(conn: Connection, other: int):
    await census.snapshot(conn)

    now = await store.clock(conn)
    kept = {row["day"] async for row in snapshots.each(conn, None, None)}
    assert kept == {(now - DAY).date()}


async def test_filled_days_are_as_if_each_had_been_taken_when_it_ended(world: Connection):
    for day in range(1, 6):
        await census.snapshot(world, day=march(day))
    taken = await days(world)
    await world.execute("delete from snapshots")

    filled = await census.fill(world, date(2024, 2, 1), march(6))

    assert taken == await days(world)
    assert [1, 2, 4, 5, 5] == [row[2] for row in taken if row[1] == "Springfield"]
    assert (10, 0, 0) == (filled["taken"], filled["taken_before"], filled["incomplete"])


async def test_a_day_that_was_taken_is_not_filled_again(world: Connection, key: Key):
    await census.snapshot(world, day=march(3))
    await reject(world, key[0], MARCH + 2 * DAY + HOUR)

    filled = await census.fill(world, march(2), march(5))

    assert THIRD in await days(world)
    assert (4, 2) == (filled["taken"], filled["taken_before"])


async def test_no_day_is_filled_that_has_not_ended(conn: Connection, other: int):
    today = (await store.clock(conn)).date()

    filled = await census.fill(conn, today - DAY, today + 9 * DAY)
    none = await census.fill(conn, today, today + DAY)

    assert (today.isoformat(), 2) == (filled["until"], filled["taken"])
    assert (0, []) == (none["taken"], none["collections"])


async def test_what_cleanup_has_taken_is_told_not_invented(world: Connection, pool: Pool, key: Key):
    """Cleaned up to the noon of March 3rd: of that day runs may be gone, of the next none is."""
    await world.execute("update collections set kept_since = $1", MARCH + 2 * DAY + NOON)

    filled = await census.fill(world, march(2), march(5))

    assert [
        (2, 2, 1, None, 0, None, None, None, None),
        (3, 4, 2, None, 1, None, None, None, None),
        (4, 5, 1, 1, 0, 1, 4, 1, 0),
    ] == [(row[0], *row[2:]) for row in await days(world, key[0])]
    told = {each["name"]: each for each in filled["collections"]}["Springfield"]
    assert (3, 2, "2024-03-03T12:00:00Z") == (
        told["taken"],
        told["incomplete"],
        told["kept_since"],
    )
    assert 4 == filled["incomplete"]


async def test_a_day_that_begins_where_rows_are_kept_is_known(world: Connection, key: Key):
    await world.execute("update collections set kept_since = $1", MARCH + 2 * DAY)

    await census.fill(world, march(3), march(4))

    assert [THIRD] == await days(world, key[0])


async def test_after_a_real_cleanup_the_days_before_are_not_known(
    world: Connection, pool: Pool, key: Key
):
    await cleanup.clean(pool, 1)

    await census.fill(world, march(3), march(4))

    assert [(4, 2, None, 1, None, None, None, None)] == [
        row[2:] for row in await days(world, key[0])
    ]


async def test_what_was_known_is_not_lost_where_a_day_is_taken_again_after_a_cleanup(
    world: Connection, pool: Pool, key: Key
):
    await census.snapshot(world, day=march(3))
    await cleanup.clean(pool, 1)

    await census.snapshot(world, day=march(3))

    assert [THIRD] == await days(world, key[0])


async def test_a_range_is_summed_up_by_collection_and_over_all(conn: Connection, other: int):
    for day, springfield, ogdenville in ((1, 10, 1), (2, 20, 2), (3, 60, 6), (4, 10, None)):
        for collection, value in ((other - 1, springfield), (other, ogdenville)):
            await conn.execute(
                "insert into snapshots values ($1, $2, $3, 0, $3, $4, 0, 0, 0, 0, $5)",
                *(collection, march(day), value or 0, value, MARCH),
            )

    told = await census.ranged(conn, march(1), march(5))
    some = await census.ranged(conn, march(2), march(4))
    everything = await census.ranged(conn)

    figures = {each["name"]: each for each in told["collections"]} | {"all": told["all"]}
    changed = {name: tuple(each["changed"].values()) for name, each in figures.items()}
    assert ["days", "min", "max", "mean", "median", "total"] == list(told["all"]["changed"])
    assert {
        "Springfield": (4, 10, 60, 25.0, 15.0, 100),
        "Ogdenville": (3, 1, 6, 3.0, 2.0, 9),
        "all": (3, 11, 66, 33.0, 22.0, 99),
    } == changed
    assert {"days": 4, "min": 10, "max": 66, "mean": 27.25, "median": 16.5, "total": None} == (
        told["all"]["records"]
    )
    assert (2, 22, 66, 44.0, 44.0, 88) == tuple(some["all"]["changed"].values())
    assert {"since": None, "until": None} | {
        word: told[word] for word in ("schema", "all", "collections")
    } == everything
    assert orjson.dumps(told)


async def test_a_figure_that_is_known_of_no_day_has_no_sums(conn: Connection, other: int):
    await conn.execute(
        "insert into snapshots values ($1, $2, 1, 0, 0, null, 0, 0, 0, 0, $3)",
        other,
        march(1),
        MARCH,
    )

    told = await census.ranged(conn)

    nothing = dict.fromkeys(("min", "max", "mean", "median", "total"))
    assert {"days": 0, **nothing} == told["all"]["changed"]


async def test_of_no_days_there_is_nothing_to_sum_up(conn: Connection):
    told = await census.ranged(conn, march(1), march(2))

    assert ({}, []) == (told["all"], told["collections"])


async def test_days_are_listed_in_order_across_batches(conn: Connection, other: int):
    count = snapshots.BATCH // 2 + 1
    first = march(1)
    await census.fill(conn, first, first + count * DAY)

    listed = [(row["day"], row["name"]) async for row in snapshots.each(conn, None, None)]
    some = [row["day"].day async for row in snapshots.each(conn, march(2), march(4), other)]

    names = ("Ogdenville", "Springfield")
    assert [(first + n * DAY, name) for n in range(count) for name in names] == listed
    assert [2, 3] == some


async def test_everything_is_counted_by_format_by_collection_and_in_all(
    world: Connection, key: Key, other: int
):
    await world.execute("update records set format = 'MP3' where control_number in ('a', 'b')")

    counted = await census.statistics(world, now=MARCH + 9 * DAY)

    assert {"collections": 2, "records": 6, "withdrawn": 1, "versions": 4, "rejects_open": 4} == (
        counted["totals"]
    )
    assert [("EPUB", 3, 0), ("MP3", 3, 1)] == [tuple(each.values()) for each in counted["formats"]]
    assert {
        "name": "Springfield",
        "enabled": True,
        "records": 5,
        "withdrawn": 1,
        "versions": 4,
        "rejects_open": 4,
        "formats": [
            {"format": "EPUB", "records": 3, "withdrawn": 0},
            {"format": "MP3", "records": 2, "withdrawn": 1},
        ],
    } == counted["collections"][1]
    assert ("bibsync.statistics/1", "2024-03-10T00:00:00Z") == (
        counted["schema"],
        counted["made_at"],
    )
    assert orjson.dumps(counted)


async def test_the_last_thirty_days_are_told_each_with_what_its_runs_did(world: Connection):
    counted = await census.statistics(world, now=MARCH + 3 * DAY + HOUR)

    active = {each["day"]: each for each in counted["activity"]}
    assert ["2024-02-04", "2024-03-04"] == [min(active), max(active)]
    assert 30 == len(active)
    assert {
        "day": "2024-03-03",
        "runs": 4,
        "failed_runs": 2,
        "requests": 16,
        "received": 9,
        "new": 6,
        "changed": 3,
        "rejected": 3,
        "withdrawn": 1,
    } == active["2024-03-03"]
    assert {0} == set(list(active["2024-02-20"].values())[1:])


async def test_the_newest_count_is_the_one_that_is_kept(world: Connection):
    before = await statistics.newest(world)
    newer = await census.statistics(world, now=MARCH + 9 * DAY)
    older = await census.statistics(world, now=MARCH + 8 * DAY)

    await statistics.keep(world, newer)
    await statistics.keep(world, older)
    kept = await statistics.newest(world)
    renewed = await census.renew(world)

    assert (None, newer, renewed) == (before, kept, await statistics.newest(world))


async def test_an_empty_database_is_counted_too(conn: Connection):
    counted = await census.statistics(conn)

    assert {0} == set(counted["totals"].values())
    assert ([], [], 30) == (
        counted["formats"],
        counted["collections"],
        len(counted["activity"]),
    )


@pytest.mark.parametrize(
    ("at", "day", "after"),
    [
        (MARCH, march(1), march(1)),
        (MARCH + timedelta(microseconds=1), march(1), march(2)),
        (MARCH + NOON, march(1), march(2)),
        (datetime.fromisoformat("2024-03-01T20:00:00-06:00"), march(2), march(3)),
        (None, None, None),
    ],
)
def test_a_moment_lies_in_a_day_and_before_the_next(at: Any, day: Any, after: Any):
    assert (day, after) == (census.day_of(at), census.day_after(at))
