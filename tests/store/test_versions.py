"""A record's versions, the current one and those before it, as one sequence."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync.record import Record
from bibsync.store import Connection, records, versions
from bibsync.store.records import Asked

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Key = tuple[int, str]


def record(number: str, title: str) -> Record:
    return Record(
        control_number=number,
        title=title,
        author="",
        isbns=(),
        publisher="",
        published="",
        language="",
        subjects=(),
        format="",
        cover_url="",
        material_type="",
        marc=f'{{"leader":"{title}","fields":[]}}'.encode(),
        raw_hash=title.encode(),
        fingerprint=title.encode(),
    )


async def change(conn: Connection, key: Key, number: str, times: int) -> None:
    """Store a record, and change it every hour; run 100 stores version 1, run 101 version 2."""
    for each in range(times):
        await records.store(
            conn,
            key[0],
            [record(number, f"title {each + 1}")],
            asked=Asked(1, each),
            run=100 + each,
            now=NOW + each * HOUR,
        )


async def numbers(conn: Connection, key: Key, number: str) -> list[int]:
    return [row["version"] async for row in versions.each(conn, key[0], number)]


async def test_versions_come_newest_first_each_with_when_it_held_and_what_ended_it(
    conn: Connection, key: Key
):
    await change(conn, key, "a", 3)

    found = [
        (
            row["version"],
            row["fingerprint"].decode(),
            row["valid_from"],
            row["replaced_at"],
            row["replaced_by"],
        )
        async for row in versions.each(conn, key[0], "a")
    ]

    assert found == [
        (3, "title 3", NOW + 2 * HOUR, None, None),
        (2, "title 2", NOW + HOUR, NOW + 2 * HOUR, 102),
        (1, "title 1", NOW, NOW + HOUR, 101),
    ]


@pytest.mark.parametrize("times", [0, 1, versions.BATCH, versions.BATCH + 1, 2 * versions.BATCH])
async def test_every_version_comes_once_however_many_there_are(
    conn: Connection, key: Key, times: int
):
    await change(conn, key, "a", times)
    await change(conn, key, "b", 2)

    assert list(range(times, 0, -1)) == await numbers(conn, key, "a")


async def test_a_version_is_found_by_its_number_or_isn_t_there(conn: Connection, key: Key):
    await change(conn, key, "a", 3)

    found = {number: await versions.one(conn, key[0], "a", number) for number in range(-1, 5)}
    other = await versions.one(conn, key[0] + 1, "a", 1)

    marcs = {number: row and row["marc"] for number, row in found.items()}
    whole = {each: f'{{"leader":"title {each}","fields":[]}}' for each in (1, 2, 3)}
    assert {-1: None, 0: None, 4: None} | whole == marcs
    assert other is None


async def test_a_version_that_cleanup_has_removed_is_not_there_and_the_one_before_is(
    conn: Connection, key: Key
):
    await change(conn, key, "a", 4)
    await conn.execute("delete from record_versions where version = 3")

    gone = await versions.one(conn, key[0], "a", 3)
    before = await versions.before(conn, key[0], "a", 4)
    newest = await versions.before(conn, key[0], "a")
    none = await versions.before(conn, key[0], "a", 1)

    assert (gone, none) == (None, None)
    assert (2, 4) == (before["version"], newest["version"])


async def test_only_the_current_version_can_be_withdrawn(conn: Connection, key: Key):
    await change(conn, key, "a", 2)
    await conn.execute("update records set withdrawn_at = $1", NOW)

    withdrawn = [row["withdrawn_at"] async for row in versions.each(conn, key[0], "a")]

    assert [NOW, None] == withdrawn
