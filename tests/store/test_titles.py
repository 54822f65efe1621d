"""The list of look-ups, and what the vendor told of titles."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync.item import Description
from bibsync.store import Connection, titles

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Key = tuple[int, str]


def told(control_number: str, words: str = "{}") -> Description:
    return Description(control_number, words.encode(), words.encode())


async def due(conn: Connection, key: Key, now: datetime = NOW, **limits: object) -> list[str]:
    asked = {"run": 1, "in_vain": False, "after": "", "limit": 100} | limits
    return [each.control_number for each in await titles.due(conn, key[0], now, **asked)]


async def test_a_title_is_wanted_once_and_since_the_first_time(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["b", "a"], NOW)

    await titles.want(conn, key[0], ["c", "b"], NOW + DAY)
    await titles.want(conn, key[0], [], NOW)

    rows = await conn.fetch("select control_number, wanted_since from titles order by 1")
    assert [tuple(row) for row in rows] == [("a", NOW), ("b", NOW), ("c", NOW + DAY)]


async def test_the_list_is_given_in_parts_by_control_number(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["é", "Z", "a", "b"], NOW)

    assert ["Z", "a"] == await due(conn, key, limit=2)
    assert ["b", "é"] == await due(conn, key, after="a", limit=2)
    assert [] == await due(conn, key, NOW - DAY)
    assert 4 == await titles.count_due(conn, key[0], NOW)


async def test_a_description_takes_its_title_off_the_list(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a", "b"], NOW)

    described = await titles.describe(conn, key[0], [told("a"), told("unknown")], NOW)

    assert (1, 0) == described
    assert ["b"] == await due(conn, key)


async def test_a_described_title_is_not_wanted_again(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a"], NOW)
    await titles.describe(conn, key[0], [told("a")], NOW)

    await titles.want(conn, key[0], ["a"], NOW + DAY)

    assert [] == await due(conn, key, NOW + DAY)


async def test_only_a_description_that_differs_is_written(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a", "b"], NOW)
    await titles.describe(conn, key[0], [told("a"), told("b")], NOW)

    described = await titles.describe(
        conn, key[0], [told("b", '{"title":"B"}'), told("a")], NOW + DAY
    )

    assert (0, 1) == described
    rows = await conn.fetch(
        "select description->>'title', described_at, looked_up_at from titles order by 1"
    )
    assert [tuple(row) for row in rows] == [("B", NOW + DAY, NOW + DAY), (None, NOW, NOW + DAY)]


@pytest.mark.parametrize(("times", "days"), [(1, 1), (2, 2), (4, 8), (7, 64), (30, 64)])
async def test_an_absent_title_is_due_in_a_day_then_in_2_4_up_to_64(
    conn: Connection, key: Key, times: int, days: int
):
    """A quarter of a day early, so that a run at the same hour finds it due."""
    await titles.want(conn, key[0], ["a"], NOW)

    for _ in range(times):
        await titles.postpone(conn, key[0], ["a"], NOW)

    assert [] == await due(conn, key, NOW + days * DAY - DAY / 2, in_vain=True)
    assert ["a"] == await due(conn, key, NOW + days * DAY, in_vain=True)


async def test_a_title_without_an_answer_stays_due_for_other_runs_and_says_why(
    conn: Connection, key: Key
):
    await titles.want(conn, key[0], ["a", "b"], NOW)

    await titles.fail(conn, key[0], ["a"], "source_busy: The vendor is busy.", run=1)

    assert ["b"] == await due(conn, key, in_vain=False)
    assert [] == await due(conn, key, in_vain=True)
    assert ["a"] == await due(conn, key, in_vain=True, run=2)
    found = [row async for row in titles.waiting(conn, key[0])]
    assert [("a", "source_busy: The vendor is busy."), ("b", None)] == [
        (row["control_number"], row["problem"]) for row in found
    ]


async def test_an_outage_does_not_delay_what_is_left_out_once_behind_it(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a"], NOW)
    for run in range(20):
        await titles.fail(conn, key[0], ["a"], "source_busy", run=run)

    await titles.postpone(conn, key[0], ["a"], NOW)

    assert ["a"] == await due(conn, key, NOW + DAY, in_vain=True)


@pytest.mark.parametrize(("times", "days"), [(1, 1), (3, 4), (9, 64)])
async def test_a_title_that_fails_alone_is_due_at_growing_intervals(
    conn: Connection, key: Key, times: int, days: int
):
    await titles.want(conn, key[0], ["a"], NOW)

    for _ in range(times):
        await titles.defer(conn, key[0], "a", "source_busy", NOW)

    assert [] == await due(conn, key, NOW + days * DAY - DAY / 2, in_vain=True)
    [title] = await titles.due(
        conn, key[0], NOW + days * DAY, run=9, in_vain=True, after="", limit=9
    )
    assert titles.Due("a", is_known=True) == title


async def test_titles_stand_as_described_or_waiting(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a", "b"], NOW)
    await titles.want(conn, key[0], ["c"], NOW + DAY)
    await titles.describe(conn, key[0], [told("a")], NOW + DAY)
    await titles.postpone(conn, key[0], ["b"], NOW)

    standing = (await titles.standings(conn))[key[0]]

    assert titles.Standing(described=1, waiting=2, oldest=NOW, last=NOW + DAY) == standing


async def listed(conn: Connection) -> list[str]:
    rows = await conn.fetch(
        "select control_number from titles where due_at <= $1 order by control_number", NOW
    )
    return [row["control_number"] for row in rows]


async def test_undescribed_titles_are_looked_up_again_then_those_of_the_longest_ago(
    conn: Connection, key: Key
):
    await titles.want(conn, key[0], ["absent", "new", "old", "waits"], NOW - 9 * DAY)
    await titles.describe(conn, key[0], [told("old")], NOW - 8 * DAY)
    await titles.describe(conn, key[0], [told("new")], NOW - DAY)
    await titles.postpone(conn, key[0], ["absent"], NOW + 30 * DAY)
    before = await listed(conn)

    await titles.refresh(conn, key[0], NOW, most=2)
    first = await listed(conn)
    await titles.refresh(conn, key[0], NOW, most=2)

    assert ["waits"] == before
    assert ["absent", "old", "waits"] == first
    assert ["absent", "new", "old", "waits"] == await listed(conn)
