"""Days: read again at the ages of re-reading, and at no other time."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync.collection import REREAD
from bibsync.daybook import DayRead
from bibsync.store import Connection, days, lanes
from bibsync.window import DAY, Window, day, midnight_before

START = datetime(2024, 1, 1, tzinfo=UTC)
MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
OVER = MONDAY + DAY
"""The end of the day that these tests look at."""
SECOND = timedelta(seconds=1)
Key = tuple[int, str]


async def cover(conn: Connection, key: Key, window: Window, start: datetime = START) -> None:
    await lanes.open_live(conn, key, start)
    await lanes.cover(conn, key, window)


async def due(
    conn: Connection,
    key: Key,
    now: datetime,
    *,
    start: datetime = START,
    reread: tuple[timedelta, ...] = REREAD,
) -> tuple[Window, ...]:
    return await days.due(conn, key, reread, start=midnight_before(start), now=now)


async def is_due(conn: Connection, key: Key, now: datetime) -> bool:
    return day(MONDAY) in await due(conn, key, now)


async def test_a_day_is_due_at_each_age_once(conn: Connection, key: Key):
    """From the end of the day on, at 1, 2, 4 ... 64 days, whenever it was read before."""
    await cover(conn, key, Window(START, MONDAY + 99 * DAY))
    read_at = []

    for hour in range(24 * 80):
        now = OVER + timedelta(hours=hour)
        if await is_due(conn, key, now):
            await days.note(conn, key, [DayRead(MONDAY, now)])
            read_at.append(now - OVER)

    assert list(REREAD) == read_at


@pytest.mark.parametrize("age", REREAD, ids=str)
async def test_an_age_begins_to_the_second(conn: Connection, key: Key, age: timedelta):
    await cover(conn, key, Window(START, MONDAY + 99 * DAY))
    await days.note(conn, key, [DayRead(MONDAY, OVER + age - SECOND)])

    assert not await is_due(conn, key, OVER + age - SECOND)
    assert await is_due(conn, key, OVER + age)
    await days.note(conn, key, [DayRead(MONDAY, OVER + age)])
    assert not await is_due(conn, key, OVER + age)


async def test_ages_that_were_missed_are_made_up_for_by_one_reading(conn: Connection, key: Key):
    """A machine that was off for a month asks once, not six times."""
    await cover(conn, key, Window(START, MONDAY + 99 * DAY))
    back = OVER + 33 * DAY
    assert await is_due(conn, key, back)

    await days.note(conn, key, [DayRead(MONDAY, back)])

    assert not await is_due(conn, key, OVER + 64 * DAY - SECOND)
    assert await is_due(conn, key, OVER + 64 * DAY)


async def test_a_day_that_was_old_when_first_covered_is_never_due(conn: Connection, key: Key):
    await cover(conn, key, day(MONDAY))
    await days.note(conn, key, [DayRead(MONDAY, OVER + 64 * DAY)])

    assert not await is_due(conn, key, OVER + 64 * DAY)
    assert not await is_due(conn, key, OVER + 999 * DAY)


async def test_a_day_that_is_not_covered_from_end_to_end_is_a_gap_and_not_due(
    conn: Connection, key: Key
):
    await cover(conn, key, Window(START, OVER - SECOND))

    assert not await is_due(conn, key, OVER + 5 * DAY)
    await lanes.cover(conn, key, Window(OVER - SECOND, OVER))
    assert await is_due(conn, key, OVER + 5 * DAY)


async def test_the_day_of_the_start_date_is_due_though_its_beginning_is_not_covered(
    conn: Connection, key: Key
):
    start = MONDAY + timedelta(hours=7)
    await cover(conn, key, Window(start, MONDAY + 9 * DAY), start)

    found = await due(conn, key, OVER + DAY, start=start)

    assert (day(MONDAY),) == found


async def test_days_come_in_order_and_only_those_that_are_old_enough(conn: Connection, key: Key):
    await cover(conn, key, Window(MONDAY, MONDAY + 9 * DAY), MONDAY)

    found = await due(conn, key, MONDAY + 5 * DAY, start=MONDAY)

    assert tuple(day(MONDAY + n * DAY) for n in range(4)) == found


async def test_ages_of_hours_count_too(conn: Connection, key: Key):
    await cover(conn, key, Window(MONDAY, MONDAY + 9 * DAY), MONDAY)
    ages = (timedelta(hours=6),)

    early = await due(conn, key, OVER + ages[0] - SECOND, start=MONDAY, reread=ages)
    late = await due(conn, key, OVER + ages[0], start=MONDAY, reread=ages)

    assert ((), (day(MONDAY),)) == (early, late)


async def test_without_ages_no_day_is_read_again(conn: Connection, key: Key):
    await cover(conn, key, Window(START, MONDAY + 99 * DAY))

    assert await due(conn, key, OVER + 5 * DAY, reread=()) == ()


async def test_a_session_of_another_zone_sees_the_same_days(conn: Connection, key: Key):
    """In Berlin the last of March 2024 has 23 hours; vendor time has no such days."""
    await cover(conn, key, Window(START, MONDAY + 99 * DAY))
    now = datetime(2024, 4, 5, 12, tzinfo=UTC)
    in_utc = await due(conn, key, now)

    await conn.execute("set timezone = 'Europe/Berlin'")

    assert in_utc == await due(conn, key, now)
    await days.note(conn, key, [DayRead(each.start, now) for each in in_utc])
    assert await due(conn, key, now) == ()


async def test_a_day_read_again_in_parts_loses_the_digest_of_its_whole(conn: Connection, key: Key):
    """It would be compared with records that came later."""
    note = "select read_at, count, digest from days"
    await days.note(conn, key, [DayRead(MONDAY, OVER, 3, b"digest")])
    assert tuple(await conn.fetchrow(note)) == (OVER, 3, b"digest")

    await days.note(conn, key, [DayRead(MONDAY, OVER + DAY)])

    assert tuple(await conn.fetchrow(note)) == (OVER + DAY, None, None)


async def test_an_earlier_reading_never_takes_the_place_of_a_later_one(conn: Connection, key: Key):
    await days.note(conn, key, [DayRead(MONDAY, OVER + DAY)])

    await days.note(conn, key, [DayRead(MONDAY, OVER)])

    assert await conn.fetchval("select read_at from days") == OVER + DAY


async def test_noting_no_days_writes_nothing(conn: Connection, key: Key):
    await days.note(conn, key, [])

    assert await conn.fetchval("select count(*) from days") == 0
