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
    return [*await titles.due(conn, key[0], now, **{"after": "", "limit": 100} | limits)]


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

    assert [] == await due(conn, key, NOW + days * DAY - DAY / 2)
    assert ["a"] == await due(conn, key, NOW + days * DAY)


async def test_a_title_without_an_answer_stays_due_and_says_why(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a"], NOW)

    await titles.fail(conn, key[0], ["a"], "source_busy: The vendor is busy.")

    assert ["a"] == await due(conn, key)
    row = await conn.fetchrow("select attempts, problem from titles")
    assert (1, "source_busy: The vendor is busy.") == tuple(row)


async def test_titles_stand_as_described_or_waiting(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["a", "b"], NOW)
    await titles.want(conn, key[0], ["c"], NOW + DAY)
    await titles.describe(conn, key[0], [told("a")], NOW + DAY)
    await titles.postpone(conn, key[0], ["b"], NOW)

    standing = (await titles.standings(conn))[key[0]]

    assert titles.Standing(described=1, waiting=2, oldest=NOW, last=NOW + DAY) == standing
