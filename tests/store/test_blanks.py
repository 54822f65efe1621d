"""Blank stretches: marked, asked for again at the ages of re-reading, cleared or believed."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync import coverage
from bibsync.store import Connection, blanks
from bibsync.window import DAY, Window

START = datetime(2024, 1, 1, tzinfo=UTC)
ASKED = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGES = (DAY, 4 * DAY)
Key = tuple[int, str]


def part(first: int, last: int) -> Window:
    return Window(START + first * DAY, START + last * DAY)


async def mark(conn: Connection, key: Key, window: Window, at: datetime = ASKED) -> None:
    await blanks.mark(conn, key, window, asked_at=at, reread=AGES)


async def due(conn: Connection, key: Key, now: datetime) -> tuple[Window, ...]:
    return await blanks.due(conn, key, AGES, now)


async def rows(conn: Connection) -> list[tuple[Window, datetime, datetime]]:
    found = await conn.fetch("select * from blanks order by start_at")
    return [
        (Window(row["start_at"], row["end_at"]), row["first_blank"], row["asked_at"])
        for row in found
    ]


async def test_marks_tile_however_the_windows_overlap(conn: Connection, key: Key):
    for window in (part(2, 4), part(0, 3), part(6, 8), part(1, 9)):
        await mark(conn, key, window)

    windows = [row[0] for row in await rows(conn)]
    assert (part(0, 9),) == coverage.union(windows)
    assert part(0, 9).width == sum((w.width for w in windows), start=timedelta())


async def test_a_mark_keeps_when_its_stretch_was_first_blank(conn: Connection, key: Key):
    await mark(conn, key, part(2, 4))
    later = ASKED + HOUR

    await mark(conn, key, part(0, 6), later)

    assert [
        (part(0, 2), later, later),
        (part(2, 4), ASKED, later),
        (part(4, 6), later, later),
    ] == await rows(conn)


@pytest.mark.parametrize(
    ("age", "is_due"),
    [
        (timedelta(0), False),
        (DAY - timedelta(seconds=1), False),
        (DAY, True),
        (3 * DAY, True),
        (5 * DAY, True),
    ],
    ids=str,
)
async def test_a_blank_is_due_from_its_age_on(
    conn: Connection,
    key: Key,
    age: timedelta,
    is_due: bool,  # noqa: FBT001 - parametrised
):
    await mark(conn, key, part(0, 2))

    assert ((part(0, 2),) if is_due else ()) == await due(conn, key, ASKED + age)


async def test_a_blank_asked_for_again_waits_for_the_next_age(conn: Connection, key: Key):
    await mark(conn, key, part(0, 2))
    again = ASKED + DAY + HOUR

    await mark(conn, key, part(0, 2), again)

    assert await due(conn, key, again) == ()
    assert await due(conn, key, ASKED + 4 * DAY - HOUR) == ()
    assert (part(0, 2),) == await due(conn, key, ASKED + 4 * DAY)


async def test_a_blank_is_believed_after_the_last_age(conn: Connection, key: Key):
    await mark(conn, key, part(0, 2))

    await mark(conn, key, part(0, 2), ASKED + 4 * DAY)

    assert await rows(conn) == []


async def test_a_part_that_was_asked_for_is_due_no_more_and_the_rest_is(conn: Connection, key: Key):
    """A wide stretch is asked for in parts, and these needn't be the ones that were marked."""
    await mark(conn, key, part(0, 4))
    await mark(conn, key, part(4, 8))
    again = ASKED + DAY

    await mark(conn, key, part(1, 5), again)

    assert (part(0, 1), part(5, 8)) == await due(conn, key, again)
    await mark(conn, key, part(0, 1), again)
    await mark(conn, key, part(5, 8), again)
    assert await due(conn, key, again) == ()
    assert {ASKED} == {first for _, first, _ in await rows(conn)}


async def test_clearing_splits_what_it_cuts(conn: Connection, key: Key):
    await mark(conn, key, part(0, 10))
    await mark(conn, key, part(12, 14))

    await blanks.clear(conn, key, part(3, 5))
    await blanks.clear(conn, key, part(9, 13))

    assert [
        (part(0, 3), ASKED, ASKED),
        (part(5, 9), ASKED, ASKED),
        (part(13, 14), ASKED, ASKED),
    ] == await rows(conn)


async def test_clearing_leaves_neighbours_alone(conn: Connection, key: Key):
    await mark(conn, key, part(0, 2))
    await mark(conn, key, part(4, 6))

    await blanks.clear(conn, key, part(2, 4))

    assert [part(0, 2), part(4, 6)] == [row[0] for row in await rows(conn)]


async def test_a_cleared_stretch_that_is_blank_again_counts_anew(conn: Connection, key: Key):
    await mark(conn, key, part(0, 2))
    await blanks.clear(conn, key, part(0, 2))

    await mark(conn, key, part(0, 2), ASKED + 9 * DAY)

    assert [(part(0, 2), ASKED + 9 * DAY, ASKED + 9 * DAY)] == await rows(conn)


async def test_without_ages_a_blank_answer_is_believed_at_once(conn: Connection, key: Key):
    await blanks.mark(conn, key, part(0, 2), asked_at=ASKED, reread=())

    assert await rows(conn) == []
    assert await blanks.due(conn, key, (), ASKED + 99 * DAY) == ()


async def test_streams_don_t_see_each_other(conn: Connection, key: Key):
    other = (key[0], "metadata")
    await mark(conn, key, part(0, 2))
    await mark(conn, other, part(0, 2))

    await blanks.clear(conn, key, part(0, 2))

    assert await due(conn, key, ASKED + DAY) == ()
    assert (part(0, 2),) == await due(conn, other, ASKED + DAY)
