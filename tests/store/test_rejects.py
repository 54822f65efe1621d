"""Rejects: kept with bytes, place and reason, and known again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bibsync.reject import Reason, Reject
from bibsync.store import Connection, rejects
from bibsync.store.rejects import Choice
from bibsync.window import Window

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
WINDOW = Window(NOW - timedelta(days=1), NOW)
NAMELESS = Reject(
    Reason.MISSING_CONTROL_NUMBER, "has no control number", b"<record>\x00\xff", b"identity", 3
)
Key = tuple[int, str]


async def keep(conn: Connection, key: Key, *page: Reject, run: int = 1, now: datetime = NOW):
    return await rejects.store(conn, key, page, run=run, window=WINDOW, now=now)


async def test_a_reject_keeps_its_bytes_its_place_and_its_reason(conn: Connection, key: Key):
    (row,) = await keep(conn, key, NAMELESS)

    found = await rejects.one(conn, row["reject"])

    assert {
        "id": row["reject"],
        "collection": "Springfield",
        "run": 1,
        "window_start": WINDOW.start,
        "window_end": WINDOW.end,
        "position": 3,
        "reason": "missing_control_number",
        "message": "has no control number",
        "first_seen": NOW,
        "last_seen": NOW,
        "attempts": 1,
        "state": "open",
        "raw": b"<record>\x00\xff",
    } == dict(found)


async def test_open_rejects_are_counted_by_name_and_reason(conn: Connection, key: Key):
    unreadable = replace(NAMELESS, reason=Reason.UNREADABLE_RECORD)
    dismissed = replace(unreadable, identity=b"another")
    await keep(conn, key, NAMELESS, unreadable)
    (row,) = await keep(conn, key, dismissed)
    await rejects.dismiss(conn, Choice(numbers=(row["reject"],)))

    counted = await rejects.count_open_by_reason(conn)

    assert {
        ("Springfield", "missing_control_number"): 1,
        ("Springfield", "unreadable_record"): 1,
    } == counted


async def test_a_reject_met_again_is_counted_and_not_new(conn: Connection, key: Key):
    """Its 005 may be another by then: the identity leaves that out, the bytes are the first."""
    await keep(conn, key, NAMELESS)

    again = await keep(conn, key, replace(NAMELESS, raw=b"later", position=9), run=2, now=LATER)

    assert not again
    (row,) = await rejects.listed(conn)
    assert (
        row["run"],
        row["position"],
        row["attempts"],
        row["first_seen"],
        row["last_seen"],
    ) == (1, 3, 2, NOW, LATER)


@pytest.mark.parametrize(
    "other",
    [
        replace(NAMELESS, identity=b"other"),
        replace(NAMELESS, reason=Reason.UNREADABLE_RECORD),
    ],
    ids=["bytes", "reason"],
)
async def test_another_reject_is_new(conn: Connection, key: Key, other: Reject):
    await keep(conn, key, NAMELESS)

    fresh = await keep(conn, key, other, NAMELESS)

    assert [other.reason] == [row["reason"] for row in fresh]
    assert {key[0]: 2} == await rejects.count_open(conn)


async def test_the_same_reject_twice_on_a_page_is_kept_once(conn: Connection, key: Key):
    fresh = await keep(conn, key, NAMELESS, replace(NAMELESS, position=4))

    assert len(fresh) == 1
    assert {key[0]: 1} == await rejects.count_open(conn)


async def test_a_page_without_rejects_writes_nothing(conn: Connection, key: Key):
    assert await keep(conn, key) == []


async def test_a_dismissed_reject_stays_so_when_it_is_met_again(conn: Connection, key: Key):
    await keep(conn, key, NAMELESS)
    await conn.execute("update rejects set state = 'dismissed'")

    assert not await keep(conn, key, NAMELESS, now=LATER)

    assert not await rejects.listed(conn)
    assert [row["attempts"] for row in await rejects.listed(conn, state="dismissed")] == [2]
    assert not await rejects.count_open(conn)


async def test_rejects_are_listed_by_collection_reason_and_number(conn: Connection, key: Key):
    page = [
        replace(NAMELESS, identity=b"1"),
        replace(NAMELESS, identity=b"2", reason=Reason.UNREADABLE_RECORD),
        replace(NAMELESS, identity=b"3"),
    ]
    await keep(conn, key, *page)

    everything = [row["id"] for row in await rejects.listed(conn)]

    assert sorted(everything) == everything
    assert len(everything) == 3
    nameless = await rejects.listed(conn, collection=key[0], reason="missing_control_number")
    assert len(nameless) == 2
    assert not await rejects.listed(conn, collection=key[0] + 1)
    rest = await rejects.listed(conn, after=everything[0], limit=1)
    assert [everything[1]] == [row["id"] for row in rest]


async def test_an_unknown_number_is_no_reject(conn: Connection):
    assert await rejects.one(conn, 1) is None


async def test_the_chosen_are_the_open_ones_or_those_that_are_named(conn: Connection, key: Key):
    numbers = [
        (await keep(conn, key, replace(NAMELESS, identity=identity)))[0]["reject"]
        for identity in (b"1", b"2", b"3", b"4")
    ]
    await rejects.resolve(conn, key[0], numbers[:1])
    await rejects.dismiss(conn, Choice(numbers=tuple(numbers[1:2])))

    async def chosen(choice: Choice, **more: int) -> list[int]:
        return await rejects.chosen(conn, key[0], choice, limit=9, **more)

    assert numbers[:1:-1] == await chosen(Choice())
    assert numbers[2:3] == await chosen(Choice(), before=numbers[3])
    assert numbers[2:0:-1] == await chosen(Choice(numbers=tuple(numbers[:3])))
    assert await chosen(Choice(reason="oversize_record")) == []
    assert {key[0]: "Springfield"} == await rejects.chosen_by_collection(conn, Choice())
    assert {} == await rejects.chosen_by_collection(conn, Choice(numbers=(numbers[0],)))
    assert {} == await rejects.chosen_by_collection(conn, Choice(collection=key[0] + 1))


async def test_only_open_rejects_are_dismissed_and_only_once(conn: Connection, key: Key):
    [first], [second] = [
        await keep(conn, key, replace(NAMELESS, identity=identity)) for identity in (b"1", b"2")
    ]
    await rejects.resolve(conn, key[0], [first["reject"]])

    counts = [await rejects.dismiss(conn, Choice(reason=NAMELESS.reason)) for _ in range(2)]

    assert counts == [1, 0]
    states = {row["id"]: row["state"] for row in await rejects.listed(conn, state=None)}
    assert states == {first["reject"]: "resolved", second["reject"]: "dismissed"}


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        (Choice(), 2),
        (Choice(reason="unreadable_record"), 1),
        (Choice(reason="oversize_record"), 0),
        (Choice(collection=10**6), 0),
    ],
)
async def test_rejects_are_dismissed_by_collection_and_reason(
    conn: Connection, key: Key, choice: Choice, count: int
):
    await keep(conn, key, NAMELESS, replace(NAMELESS, reason=Reason.UNREADABLE_RECORD))

    assert count == await rejects.dismiss(conn, choice)


async def test_numbers_beyond_what_postgresql_counts_are_no_rejects(conn: Connection, key: Key):
    [row] = await keep(conn, key, NAMELESS)

    known = await rejects.among(conn, [row["reject"], 10**30, -1, 2**63])

    assert [(row["reject"], "Springfield", "open")] == [tuple(each) for each in known]


async def test_the_rejects_a_run_met_first_are_found_by_the_run(conn: Connection, key: Key):
    [first] = await keep(conn, key, NAMELESS, run=1)
    [second] = await keep(conn, key, NAMELESS, replace(NAMELESS, identity=b"2"), run=2)

    assert [first["reject"]] == await rejects.first_met_by(conn, key[0], 1)
    assert [second["reject"]] == await rejects.first_met_by(conn, key[0], 2)


async def test_rejects_that_nobody_was_told_of_are_counted_by_reason(conn: Connection, key: Key):
    page = [replace(NAMELESS, identity=identity) for identity in (b"1", b"2", b"3")]
    first, _, third = [row["reject"] for row in await keep(conn, key, *page)]
    await rejects.dismiss(conn, Choice(numbers=(first,)))

    everything = await rejects.met_after(conn, {}, at_least=0)
    since = await rejects.met_after(conn, {"Springfield": third - 1}, at_least=first)

    assert {"Springfield": ({"missing_control_number": 2}, third)} == everything
    assert {"Springfield": ({"missing_control_number": 1}, third)} == since
    assert {} == await rejects.met_after(conn, {"Springfield": first}, at_least=third)
    assert third == await rejects.newest(conn)
