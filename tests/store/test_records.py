"""Records, their states and their versions: what is written, and what isn't."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bibsync.item import Description
from bibsync.record import Record
from bibsync.store import Connection, records, titles as listing
from bibsync.store.records import TOUCH_AFTER, Asked, Stored

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=5)
Key = tuple[int, str]


def record(key: str, title: str = "A title", **others: object) -> Record:
    plain = Record(
        control_number=key,
        title=title,
        author="Bardugo, Leigh",
        isbns=("9780805097115",),
        publisher="Holt",
        published="2013",
        language="eng",
        subjects=("Fantasy",),
        format="EPUB",
        cover_url="",
        material_type="ebook",
        marc=f'{{"leader":"00000nam","fields":[{{"245":"{title}"}}]}}'.encode(),
        raw_hash=f"raw {title}".encode(),
        fingerprint=f"print {title}".encode(),
    )
    return replace(plain, **others)


async def keep(
    conn: Connection,
    key: Key,
    *page: Record,
    asked: tuple[int, int] = (1, 1),
    run: int = 1,
    now: datetime = NOW,
) -> Stored:
    return await records.store(conn, key[0], page, asked=Asked(*asked), run=run, now=now)


async def titles(conn: Connection) -> dict[str, str]:
    rows = await conn.fetch("select control_number, title from records")
    return {row["control_number"]: row["title"] for row in rows}


async def versions(conn: Connection, key: Key) -> list[tuple[int, str, int]]:
    """Return number, 245 and the run that replaced it, of each predecessor."""
    rows = await conn.fetch(
        "select version, marc -> 'fields' -> 0 ->> '245' as title, replaced_by"
        " from record_versions where collection = $1 order by version",
        key[0],
    )
    return [tuple(row) for row in rows]


async def test_records_of_a_page_are_new_changed_or_unchanged(conn: Connection, key: Key):
    first = await keep(conn, key, record("a"), record("b"), record("c"))

    second = await keep(
        conn, key, record("a"), record("b", "Another"), record("d"), asked=(1, 2), now=LATER
    )

    assert Stored(("a", "b", "c"), ()) == first
    assert Stored(("d",), ("b",)) == second
    assert await titles(conn) == {"a": "A title", "b": "Another", "c": "A title", "d": "A title"}
    assert {key[0]: (4, 0)} == await records.counts(conn)


async def test_a_page_of_nothing_writes_nothing(conn: Connection, key: Key):
    assert Stored((), ()) == await keep(conn, key)


async def test_a_changed_record_keeps_each_predecessor_with_the_run_that_replaced_it(
    conn: Connection, key: Key
):
    for run, title in enumerate(("One", "Two", "Three"), start=7):
        await keep(conn, key, record("a", title), asked=(run, 1), run=run)

    assert await versions(conn, key) == [(1, "One", 8), (2, "Two", 9)]
    assert (await records.one(conn, key[0], "a"))["version"] == 3


async def test_a_version_is_valid_from_its_own_change_to_the_next(conn: Connection, key: Key):
    moments = [NOW + timedelta(days=n) for n in range(3)]
    for serial, moment in enumerate(moments):
        await keep(conn, key, record("a", str(moment)), asked=(1, serial), now=moment)

    rows = await conn.fetch("select valid_from, replaced_at from record_versions order by version")

    assert [(moments[0], moments[1]), (moments[1], moments[2])] == [tuple(row) for row in rows]
    row = await records.one(conn, key[0], "a")
    assert (moments[0], moments[2]) == (row["first_seen"], row["last_changed"])


async def test_an_unchanged_record_is_left_as_it_is(conn: Connection, key: Key):
    await keep(conn, key, record("a"))
    place = "select ctid, xmin from records"
    before = await conn.fetchrow(place)

    stored = await keep(conn, key, record("a"), asked=(1, 2), run=2, now=LATER)

    assert Stored((), ()) == stored
    assert before == await conn.fetchrow(place)
    assert not await versions(conn, key)


async def test_other_bytes_with_the_same_content_are_no_change_and_are_known_from_then_on(
    conn: Connection, key: Key
):
    await keep(conn, key, record("a"))

    stored = await keep(conn, key, record("a", raw_hash=b"other"), asked=(1, 2))

    assert Stored((), ()) == stored
    states = await records.look_up(conn, key[0], ["a"])
    assert states["a"].raw_hash == b"other"


@pytest.mark.parametrize("later", [(1, 6), (2, 1)], ids=["request", "epoch"])
async def test_an_answer_that_was_asked_for_earlier_never_replaces_a_later_one(
    conn: Connection, key: Key, later: tuple[int, int]
):
    await keep(conn, key, record("a", "Late"), asked=later, now=NOW)

    stored = await keep(
        conn, key, record("a", "Early"), record("b"), asked=(1, 5), run=2, now=LATER
    )

    assert Stored(("b",), ()) == stored
    assert await titles(conn) == {"a": "Late", "b": "A title"}
    assert not await versions(conn, key)


@pytest.mark.parametrize("asked", [(1, 5), (1, 6), (2, 1)], ids=["same", "request", "epoch"])
async def test_an_answer_that_was_asked_for_no_earlier_replaces_the_other(
    conn: Connection, key: Key, asked: tuple[int, int]
):
    """A clock is not asked: this one runs backwards."""
    await keep(conn, key, record("a", "Early"), asked=(1, 5), now=LATER)

    stored = await keep(conn, key, record("a", "Late"), asked=asked, now=NOW)

    assert Stored((), ("a",)) == stored
    assert await titles(conn) == {"a": "Late"}


async def test_only_known_keys_are_looked_up(conn: Connection, key: Key):
    await keep(conn, key, record("b"), record("a"))

    states = await records.look_up(conn, key[0], ["z", "b", "b", "a"])

    assert {"a", "b"} == set(states)
    assert {b"raw A title"} == {state.raw_hash for state in states.values()}
    assert not await records.look_up(conn, key[0] + 1, ["a"])


async def test_last_seen_is_due_at_most_once_a_day(conn: Connection, key: Key):
    await keep(conn, key, record("a"))

    state = (await records.look_up(conn, key[0], ["a"]))["a"]

    assert not state.is_stale(NOW + TOUCH_AFTER - timedelta(seconds=1))
    assert state.is_stale(NOW + TOUCH_AFTER)
    assert timedelta(days=1) == TOUCH_AFTER


async def test_touching_moves_last_seen_and_never_backwards(conn: Connection, key: Key):
    await keep(conn, key, record("a"), record("b"))

    await records.touch(conn, key[0], ["a", "a", "unknown"], LATER)
    await records.touch(conn, key[0], ["a"], NOW)
    await records.touch(conn, key[0], [], LATER)

    states = await records.look_up(conn, key[0], ["a", "b"])
    assert {name: each.last_seen for name, each in states.items()} == {"a": LATER, "b": NOW}


ODD = (
    "quotes \"double\" and 'single'",
    "braces {a,b} and commas, too",
    "back\\slash \\N \\x41",
    "NULL",
    "line\nbreak and tab\t",
    "“ligatures” ﬁ é e\u0301 漢字 🎧",
    " blanks around ",
)


async def test_arrays_and_texts_come_back_as_they_went_in(conn: Connection, key: Key):
    odd = record("a", ODD[5], subjects=ODD, isbns=(), repairs=("one",), author=ODD[0])

    await keep(conn, key, odd, record("b", subjects=("", "behind an empty one")))

    row = await records.one(conn, key[0], "a")
    assert (list(ODD), [], ["one"]) == (row["subjects"], row["isbns"], row["repairs"])
    assert (ODD[5], ODD[0]) == (row["title"], row["author"])
    behind = await records.one(conn, key[0], "b")
    assert behind["subjects"] == ["", "behind an empty one"]


async def test_marc_comes_back_to_the_byte(conn: Connection, key: Key):
    """json, not jsonb: the order of fields and every blank are the record's."""
    marc = b'{"leader":"x",  "fields":[{"245":{"b":1,"a":2}},{"245":{}}]}'

    await keep(conn, key, record("a", marc=marc))

    assert marc == (await records.one(conn, key[0], "a"))["marc"].encode()


async def test_fifty_records_in_any_order_are_written_in_one_order(conn: Connection, key: Key):
    """Two pages that lock the same rows in two orders would block each other for ever."""
    seed = random.randrange(2**32)
    numbers = [f"k{n:02d}" for n in range(50)]
    random.Random(seed).shuffle(numbers)

    stored = await keep(conn, key, *(record(number) for number in numbers))

    assert sorted(numbers) == sorted(stored.new)
    written = await conn.fetch("select control_number from records order by ctid")
    assert sorted(numbers) == [row["control_number"] for row in written]


async def test_keys_are_kept_apart_by_every_byte(conn: Connection, key: Key):
    odd = ["a", "A", "á", "a ", "a-1", "ä"]

    await keep(conn, key, *map(record, odd))

    assert sorted(odd) == [row["control_number"] async for row in records.each(conn, key[0], NOW)]


async def test_each_record_is_exported_once_in_order(
    conn: Connection, key: Key, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "BATCH", 3)
    await keep(conn, key, *(record(f"k{n}") for n in range(7)))
    await keep(conn, key, record("late"), asked=(1, 2), now=LATER)

    everything = [row["control_number"] async for row in records.each(conn, key[0], NOW)]
    late = [row["control_number"] async for row in records.each(conn, key[0], LATER)]

    assert [*(f"k{n}" for n in range(7)), "late"] == everything
    assert late == ["late"]


async def test_a_record_that_was_described_since_is_exported_too(conn: Connection, key: Key):
    await keep(conn, key, record("a"), record("b"))
    await listing.want(conn, key[0], ["a", "b"], NOW)

    await listing.describe(conn, key[0], [Description("b", b"{}", b"print")], LATER)

    assert ["b"] == [row["control_number"] async for row in records.each(conn, key[0], LATER)]


async def test_collections_don_t_see_each_other(conn: Connection, key: Key):
    other = await conn.fetchval(
        "insert into collections (name, source, base_url, library_id, account_id)"
        " values ('Other', '', '', '', '') returning collection"
    )
    await keep(conn, key, record("a", "Ours"))

    stored = await records.store(
        conn, other, [record("a", "Theirs")], asked=Asked(0, 0), run=1, now=NOW
    )

    assert Stored(("a",), ()) == stored
    assert (await records.one(conn, key[0], "a"))["title"] == "Ours"
    assert {key[0]: (1, 0), other: (1, 0)} == await records.counts(conn)
