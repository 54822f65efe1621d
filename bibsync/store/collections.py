"""Table collections: which accounts are synced, under which number the other tables know them.

A collection that left the configuration is disabled, never deleted; put back, it goes on where it
was. A new name with the account of exactly one collection that left is that collection, renamed.
Only a person has a collection forgotten, with everything that is kept of it.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bibsync import events
from bibsync.collection import Collection
from bibsync.errors import ConfigInvalid, NotFound, UsageWrong
from bibsync.store import LET_GO, Connection

LOCK = f"select pg_advisory_xact_lock(hashtext('bibsync.collections')), {LET_GO}"
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
RENAME = "update collections set name = $2 where collection = $1"
CONTENTS = """
select (select count(*) from records where collection = $1) as records,
       (select count(*) from record_versions where collection = $1) as versions,
       (select count(*) from rejects where collection = $1) as rejects,
       (select count(*) from runs where collection = $1) as runs
"""
STREAMS = """
select stream from fences where collection = $1
union select stream from leases where collection = $1
"""
EMPTY = """
with versions as (delete from record_versions where collection = $1),
     states as (delete from record_states where collection = $1),
     looked_up as (delete from titles where collection = $1),
     set_aside as (delete from rejects where collection = $1)
delete from records where collection = $1
"""
KEEP_SINCE = """
update collections set kept_since = $1 where kept_since is null or kept_since < $1
"""
FORGET = "delete from collections where collection = $1"
FORGET_S = 3600.0
ENABLED = """
select enabled and (paused_at is null or coalesce(paused_until, 'infinity') <= now())
from collections where collection = $1
"""
LIBRARY = ("source", "base_url", "library_id")
"""What of a collection says whose records it has."""

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
        return self.is_library_of(collection) and self.account_id == collection.account_id

    def is_library_of(self, collection: Collection) -> bool:
        """Tell whether both mean the same library at the same address."""
        return all(getattr(self, word) == getattr(collection, word) for word in LIBRARY)


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
    """Tell whether the collection is to be synced: it is configured, and not paused."""
    return bool(await conn.fetchval(ENABLED, number))


async def enrol(conn: Connection, configured: Sequence[Collection]) -> dict[str, int]:
    """Bring the table in step with the configuration, inside one transaction.

    Returns the number of each configured collection, by name.

    Raises:
        ConfigInvalid: a name known before now means another library; nothing was changed then if
            the transaction is rolled back.
    """
    await conn.execute(LOCK)
    rows = await all_rows(conn)
    refuse_moved(configured, rows)
    known = _matched(configured, rows)
    numbers: dict[str, int] = {}
    for collection in configured:
        row = known.get(collection.name)
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
            log.info(events.COLLECTION_RENAMED, before=row.name, collection=collection.name)
    gone = [row for row in rows if row.enabled and row not in known.values()]
    if gone:
        await conn.execute(DISABLE, [row.number for row in gone])
        log.info(events.COLLECTION_DISABLED, collections=[row.name for row in gone])
    return numbers


async def rename(
    conn: Connection, before: str, name: str, configured: Sequence[Collection]
) -> str | None:
    """Give a collection another name, inside one transaction.

    Returns the name that the next `enrol` gives it, None where the configuration doesn't have it.
    It may be another, the old one among them, but it is never begun anew beside this one.

    Raises:
        NotFound: there is no such collection.
        UsageWrong: the name is taken, or the next run would begin one of the two names anew.
    """
    await conn.execute(LOCK)
    row = await named(conn, before)
    rows = await all_rows(conn)
    settings = {each.name: each for each in configured}
    if name in {each.name for each in rows}:
        raise UsageWrong(
            f'There is a collection "{name}" already.',
            remedy="Choose another name; `bibsync collections list` shows those there are.",
        )
    if name in settings and not row.is_library_of(settings[name]):
        raise UsageWrong(
            f'The configuration has "{name}" as another library than "{before}".',
            remedy="Choose another name, or correct the configuration first.",
        )
    renamed = replace(row, name=name)
    known = _matched(configured, [renamed if each == row else each for each in rows])
    if before in settings and known.get(before) != renamed:
        raise UsageWrong(
            f'The configuration has "{before}"; the next run would begin it anew beside "{name}".',
            remedy=f'Write "{name}" in place of "{before}" there, then say it again.',
        )
    await conn.execute(RENAME, row.number, name)
    return next((said for said, each in known.items() if each == renamed), None)


async def contents(conn: Connection, number: int) -> dict[str, int]:
    """Return how many records, earlier versions, rejects and runs are kept of a collection."""
    return dict(await conn.fetchrow(CONTENTS, number))


async def streams(conn: Connection, number: int) -> set[str]:
    """Return the streams of a collection that ever had a run."""
    return {row["stream"] for row in await conn.fetch(STREAMS, number)}


async def forget(conn: Connection, number: int) -> None:
    """Delete a collection and everything that is kept of it, inside one transaction.

    What is large goes first: meanwhile the leases can still be renewed by whoever does this. The
    fences go too, so that a run that is somehow under way can't commit any more.
    """
    await conn.execute(EMPTY, number, timeout=FORGET_S)
    await conn.execute(FORGET, number, timeout=FORGET_S)


async def keep_since(conn: Connection, since: datetime) -> None:
    """Note of every collection that what is older than `since` may be deleted from now on.

    Whoever deletes it says so first, in a transaction of its own: else an interrupted cleanup would
    leave days that look as if all of them were there.
    """
    await conn.execute(LOCK)
    await conn.execute(KEEP_SINCE, since)


def refuse_moved(configured: Sequence[Collection], rows: Sequence[Row]) -> None:
    """Compare the configuration with what is stored; nothing is read or written.

    Raises:
        ConfigInvalid: a name known before now means another library.
    """
    known = {row.name: row for row in rows}
    problems = []
    moved: dict[str, None] = {}
    for collection in configured:
        row = known.get(collection.name)
        if row is None:
            continue
        for word in LIBRARY:
            before, now = getattr(row, word), getattr(collection, word)
            if before != now:
                problems.append(
                    f'collections "{collection.name}": {word} was "{before}" and is now "{now}"; '
                    "records of two accounts must not mix"
                )
                moved.setdefault(collection.name)
    if problems:
        forget_each = " && ".join(
            f"bibsync collections forget {name} --confirm {name}"
            for name in map(shlex.quote, moved)
        )
        raise ConfigInvalid(
            tuple(problems),
            remedy="Give the collection a new name in the file, then the old one's records stay; "
            f"or delete them: {forget_each}",
        )


def _matched(configured: Sequence[Collection], rows: Sequence[Row]) -> dict[str, Row]:
    """Return the row of each configured collection that has one, under its name or renamed."""
    by_name = {row.name: row for row in rows}
    names = {collection.name for collection in configured}
    left = [row for row in rows if row.name not in names]
    known = {}
    for collection in configured:
        row = by_name.get(collection.name) or _renamed(collection, left)
        if row is not None:
            known[collection.name] = row
            left = [each for each in left if each != row]
    return known


def _renamed(collection: Collection, left: Sequence[Row]) -> Row | None:
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
