"""Table lanes: spans that have to be read, and what of them is covered.

Lane 0 is the daily sync and has no end. A window that was read completely counts for every open
lane: whoever opens one drops what was begun before. No clock is compared, as replicas' may differ.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.choice import LIVE, Lane
from bibsync.coverage import Coverage
from bibsync.store import Connection
from bibsync.window import Window

OPEN_LIVE = """
insert into lanes (collection, stream, lane, kind, from_at) values ($1, $2, 0, 'live', $3)
on conflict (collection, stream, lane) do update set from_at = excluded.from_at
where lanes.from_at <> excluded.from_at
"""
JOINED = """
select lane from lanes
where collection = $1 and stream = $2 and kind = $3 and closed_at is null
  and asked_from is not distinct from $4 and asked_until is not distinct from $5
"""
OPEN = """
insert into lanes (
    collection, stream, lane, kind, from_at, until_at, asked_from, asked_until, opened_at
)
select $1, $2, max(lane) + 1, $3, $6, $7, $4, $5, $8
from lanes where collection = $1 and stream = $2
returning lane
"""
UNFINISHED = """
select lane, kind, from_at, until_at, covered from lanes
where collection = $1 and stream = $2 and closed_at is null order by lane
"""
COVER = """
update lanes set covered = covered + tstzmultirange(tstzrange($3, $4))
where collection = $1 and stream = $2 and closed_at is null
"""
CLOSE = """
update lanes l set closed_at = $3
from lanes live
where l.collection = $1 and l.stream = $2 and l.lane <> 0 and l.closed_at is null
  and live.collection = $1 and live.stream = $2 and live.lane = 0
  and case
    when greatest(l.from_at, live.from_at) >= least(l.until_at, $4) then true
    else tstzrange(greatest(l.from_at, live.from_at), least(l.until_at, $4)) <@ l.covered
  end
returning l.lane
"""
PARK = """
update lanes set parked_until = $3 where collection = $1 and stream = $2 and lane = 0
"""
STANDINGS = """
select l.collection, l.stream, l.from_at, l.covered, l.parked_until, exists (
    select from lanes o
    where o.collection = l.collection and o.stream = l.stream and o.lane <> 0
      and o.closed_at is null
) as backfilling, exists (
    select from lanes o
    where o.collection = l.collection and o.stream = l.stream and o.lane <> 0
      and o.closed_at is null and (o.asked_until is null or o.asked_until >= clock_timestamp())
) as reads_on
from lanes l where l.lane = 0
"""
STANDING = STANDINGS + " and l.collection = $1 and l.stream = $2"


@dataclass(frozen=True, slots=True)
class Standing:
    """The live lane as status shows it; `backfilling`: another lane of the stream is open.

    `reads_on`: one that goes up to the present, so that whoever works on it reads new days first.
    """

    begins: datetime
    covered: Coverage
    parked_until: datetime | None
    backfilling: bool
    reads_on: bool


async def open_live(conn: Connection, key: tuple[int, str], start: datetime) -> None:
    """Make sure that the stream has its live lane, from `start` on."""
    await conn.execute(OPEN_LIVE, *key, start)


async def open_lane(
    conn: Connection,
    key: tuple[int, str],
    kind: str,
    span: Window,
    *,
    asked: tuple[datetime | None, datetime | None],
    now: datetime,
) -> int:
    """Open a lane over `span`, or join the open one that was asked for in the same words."""
    joined: int | None = await conn.fetchval(JOINED, *key, kind, *asked)
    if joined is not None:
        return joined
    opened: int = await conn.fetchval(OPEN, *key, kind, *asked, span.start, span.end, now)
    return opened


async def unfinished(conn: Connection, key: tuple[int, str]) -> tuple[Lane, ...]:
    """Return the open lanes, the live one first."""
    return tuple(
        Lane(row["lane"], row["kind"], row["from_at"], row["until_at"], coverage(row["covered"]))
        for row in await conn.fetch(UNFINISHED, *key)
    )


async def cover(conn: Connection, key: tuple[int, str], window: Window) -> None:
    """Add a completely stored window to every open lane, inside the transaction of its last page.

    Its reading must have begun when they were open.
    """
    await conn.execute(COVER, *key, window.start, window.end)


async def close_finished(
    conn: Connection, key: tuple[int, str], *, now: datetime, cutoff: datetime
) -> list[int]:
    """Close the lanes that are covered from end to end, as far as `cutoff` and the live lane go."""
    return [row["lane"] for row in await conn.fetch(CLOSE, *key, now, cutoff)]


async def park(conn: Connection, key: tuple[int, str], until: datetime | None) -> None:
    """Note when the next attempt is due at the earliest; binds the daemon only."""
    await conn.execute(PARK, *key, until)


async def standing(conn: Connection, key: tuple[int, str]) -> Standing | None:
    """Return how the live lane of one stream stands, None where it never had a run."""
    row = await conn.fetchrow(STANDING, *key)
    return _standing(row) if row else None


async def standings(conn: Connection) -> dict[tuple[int, str], Standing]:
    """Return how the live lane of every collection and stream stands."""
    return {
        (row["collection"], row["stream"]): _standing(row) for row in await conn.fetch(STANDINGS)
    }


def _standing(row: Any) -> Standing:
    return Standing(
        row["from_at"],
        coverage(row["covered"]),
        row["parked_until"],
        row["backfilling"],
        row["reads_on"],
    )


def coverage(multirange: object) -> Coverage:
    """Turn PostgreSQL's multirange of half-open ranges into windows."""
    assert isinstance(multirange, list), multirange  # noqa: S101 - asyncpg's form of a multirange
    return tuple(Window(each.lower, each.upper) for each in multirange)


assert LIVE == 0  # noqa: S101 - the statements above say 0
