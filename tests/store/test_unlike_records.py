"""A page is compared where the hashes are: what is stored with equal bytes isn't even returned."""

from datetime import UTC, datetime, timedelta

from bibsync.record import Record
from bibsync.store import Connection, records
from bibsync.store.records import TOUCH_AFTER, Asked

NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
ONE, TWO, OTHER = (bytes([n]) * 32 for n in range(3))
"""Hashes are 32 bytes, whatever they are."""
Key = tuple[int, str]


def record(control_number: str, raw_hash: bytes) -> Record:
    return Record(
        control_number=control_number, title="", author="", isbns=(), publisher="", published="",
        language="", subjects=(), format="", cover_url="", material_type="", marc=b"{}",
        raw_hash=raw_hash, fingerprint=b"f",
    )  # fmt: skip


async def keep(conn: Connection, key: Key, *kept: Record) -> None:
    await records.store(conn, key[0], kept, asked=Asked(1, 1), run=1, now=NOW)


async def test_new_and_other_bytes_are_told_and_equal_ones_are_not(conn: Connection, key: Key):
    await keep(conn, key, record("a", ONE), record("b", TWO))

    answered = [("b", TWO), ("a", OTHER), ("c", ONE), ("", ONE), ("a", ONE)]
    told = await records.unlike(conn, key[0], answered, NOW)

    assert {1: False, 2: False, 3: False} == told


async def test_another_collection_has_records_of_its_own(conn: Connection, key: Key):
    await keep(conn, key, record("a", ONE))

    assert {0: False} == await records.unlike(conn, key[0] + 1, [("a", ONE)], NOW)


async def test_equal_bytes_are_told_once_their_last_seen_is_due(conn: Connection, key: Key):
    await keep(conn, key, record("a", ONE))

    early = NOW + TOUCH_AFTER - timedelta(seconds=1)
    assert {} == await records.unlike(conn, key[0], [("a", ONE)], early)
    assert {0: True} == await records.unlike(conn, key[0], [("a", ONE)], NOW + TOUCH_AFTER)
