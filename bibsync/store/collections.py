"""Table collections: which accounts are synced, under which number the other tables know them.

A collection that left the configuration is disabled, never deleted; put back, it goes on where it
was. A new name with the account of exactly one collection that left is that collection, renamed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from bibsync import events
from bibsync.collection import Collection
from bibsync.errors import ConfigInvalid, NotFound
from bibsync.store import Connection

LOCK = "select pg_advisory_xact_lock(hashtext('bibsync.collections'))"
ALL = """
select collection, name, source, base_url, library_id, account_id, enabled
from collections order by name
"""
ADD = """
insert into collections (name, source, base_url, library_id, account_id)
values ($1, $2, $3, $4, $5) returning collection
"""
PUT_BACK = """
update collections set name = $2, account_id = $3, enabled = true, left_file_at = null
where collection = $1
"""
DISABLE = """
update collections set enabled = false, left_file_at = now()
where collection = any($1::int[]) and enabled
"""
ENABLED = "select enabled from collections where collection = $1"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Row:
    """A collection as the store knows it."""

    number: int
    name: str
    source: str
    base_url: str
    library_id: str
    account_id: str
    enabled: bool

    def is_account_of(self, collection: Collection) -> bool:
        """Tell whether both mean the same account at the same address."""
        return (self.source, self.base_url, self.library_id, self.account_id) == (
            collection.source,
            collection.base_url,
            collection.library_id,
            collection.account_id,
        )


async def all_rows(conn: Connection) -> list[Row]:
    """Return every collection that was ever synced, by name."""
    return [Row(*row) for row in await conn.fetch(ALL)]


async def named(conn: Connection, name: str) -> Row:
    """Return the collection of this name, in the configuration or not.

    Raises:
        NotFound: there is none.
    """
    rows = await all_rows(conn)
    for row in rows:
        if row.name == name:
            return row
    there = ", ".join(f'"{row.name}"' for row in rows) or "none"
    raise NotFound(f'There is no collection "{name}".', remedy=f"The database has: {there}.")


async def is_enabled(conn: Connection, number: int) -> bool:
    """Tell whether the collection is still to be synced."""
    return bool(await conn.fetchval(ENABLED, number))


async def enrol(conn: Connection, configured: Sequence[Collection]) -> dict[str, int]:
    """Bring the table in step with the configuration, inside one transaction.

    Returns the number of each configured collection, by name.

    Raises:
        ConfigInvalid: a name known before now means another library; nothing was changed then if
            the transaction is rolled back.
    """
    await conn.execute(LOCK)
    rows = {row.name: row for row in await all_rows(conn)}
    names = {collection.name for collection in configured}
    left = [row for row in rows.values() if row.name not in names]
    _refuse_moved(configured, rows)
    numbers: dict[str, int] = {}
    for collection in configured:
        row = rows.get(collection.name) or _renamed(collection, left)
        if row is None:
            numbers[collection.name] = await _add(conn, collection)
            continue
        numbers[collection.name] = row.number
        if (row.name, row.account_id, row.enabled) != (
            collection.name,
            collection.account_id,
            True,
        ):
            await conn.execute(PUT_BACK, row.number, collection.name, collection.account_id)
        if row.name != collection.name:
            left.remove(row)
            log.info(events.COLLECTION_RENAMED, before=row.name, collection=collection.name)
    gone = [row for row in left if row.enabled]
    if gone:
        await conn.execute(DISABLE, [row.number for row in gone])
        log.info(events.COLLECTION_DISABLED, collections=[row.name for row in gone])
    return numbers


def _refuse_moved(configured: Sequence[Collection], rows: dict[str, Row]) -> None:
    problems = []
    for collection in configured:
        row = rows.get(collection.name)
        if row is None:
            continue
        for word in ("source", "base_url", "library_id"):
            before, now = getattr(row, word), getattr(collection, word)
            if before != now:
                problems.append(
                    f'collections "{collection.name}": {word} was "{before}" and is now "{now}"; '
                    "records of two accounts must not mix"
                )
    if problems:
        raise ConfigInvalid(
            tuple(problems),
            remedy="Give the collection a new name in the file; the old one's records stay.",
        )


def _renamed(collection: Collection, left: list[Row]) -> Row | None:
    same = [row for row in left if row.is_account_of(collection)]
    return same[0] if len(same) == 1 else None


async def _add(conn: Connection, collection: Collection) -> int:
    number: int = await conn.fetchval(
        ADD,
        collection.name,
        collection.source,
        collection.base_url,
        collection.library_id,
        collection.account_id,
    )
    return number
