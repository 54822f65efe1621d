"""Pauses, columns of table collections: who wants a collection left alone, why and until when.

A pause binds every run: it begins with the page that is being stored, and ends by its own time or
by a person's word. A collection that left the configuration isn't synced either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.errors import CollectionPaused
from bibsync.store import Connection

PAUSE = """
update collections
set paused_at = clock_timestamp(), paused_until = $2, pause_reason = $3, paused_by = $4
where collection = any($1::int[]) and enabled
returning collection, name
"""
RESUME = """
update collections
set paused_at = null, paused_until = null, pause_reason = null, paused_by = null
where collection = any($1::int[]) and paused_at is not null
returning collection, name
"""
CLOSED = """
select enabled, paused_at, paused_until, pause_reason, paused_by from collections
where collection = $1
  and not (enabled and (paused_at is null or coalesce(paused_until, 'infinity') <= now()))
"""
IN_FORCE = """
select collection, paused_at, paused_until, pause_reason, paused_by from collections
where paused_at is not null and coalesce(paused_until, 'infinity') > now()
"""

LONGEST = 500
"""Letters of a reason; it stands in status, in problems and in the log."""
LEFT = "The collection left the configuration; its records stay."


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in force; `until` None: until it is resumed."""

    since: datetime
    until: datetime | None
    reason: str | None
    by: str

    @property
    def sentence(self) -> str:
        """Say who paused it, since when, until when, and why."""
        until = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        why = f": {self.reason}" if self.reason else "."
        return f"{self.by} paused the collection on {self.since:%Y-%m-%d %H:%M} UTC{until}{why}"


async def pause(
    conn: Connection, numbers: Sequence[int], *, until: datetime | None, reason: str | None, by: str
) -> list[str]:
    """Pause collections, or give a pause another end and reason; return their names, sorted."""
    return sorted(row["name"] for row in await conn.fetch(PAUSE, numbers, until, reason, by))


async def resume(conn: Connection, numbers: Sequence[int]) -> list[str]:
    """Let paused collections go on; return the names of those that were paused, sorted."""
    return sorted(row["name"] for row in await conn.fetch(RESUME, numbers))


async def demand_open(conn: Connection, number: int) -> None:
    """Go on only where the collection is to be synced.

    Raises:
        CollectionPaused: it is paused, or left the configuration.
    """
    row = await conn.fetchrow(CLOSED, number)
    if row is not None:
        raise CollectionPaused(_pause(row).sentence if row["enabled"] else LEFT)


async def in_force(conn: Connection) -> dict[int, Pause]:
    """Return the pauses in force, by the collection's number."""
    return {row["collection"]: _pause(row) for row in await conn.fetch(IN_FORCE)}


def _pause(row: Any) -> Pause:
    return Pause(row["paused_at"], row["paused_until"], row["pause_reason"], row["paused_by"])
