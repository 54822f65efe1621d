"""Table rejects: records that could not be stored, with their raw bytes, place and reason.

Met again with the same bytes (005 and 008/00-05 aside) and reason, a reject is the same one: it is
counted as met again, not reported as new.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bibsync.reject import Reject
from bibsync.store import Connection
from bibsync.window import Window

STORE = """
insert into rejects as r (
    collection, stream, run, window_start, window_end, position, reason, identity, message, raw,
    first_seen, last_seen
)
select $1, $2, $3, $4, $5, p.position, p.reason, p.identity, p.message, p.raw, $6, $6
from unnest($7::int[], $8::text[], $9::bytea[], $10::text[], $11::bytea[])
    as p (position, reason, identity, message, raw)
order by p.reason, p.identity
on conflict (collection, reason, identity) do update
set last_seen = excluded.last_seen, attempts = r.attempts + 1
returning reject, reason, message, position, xmax = 0 as is_new
"""
LIST = """
select r.reject as id, c.name as collection, r.run, r.window_start, r.window_end, r.position,
       r.reason, r.message, r.first_seen, r.last_seen, r.attempts, r.state
from rejects r join collections c on c.collection = r.collection
where ($1::int is null or r.collection = $1) and ($2::text is null or r.reason = $2)
  and ($3::text is null or r.state = $3) and r.reject > $4
order by r.reject
limit $5
"""
ONE = """
select r.reject as id, c.name as collection, r.run, r.window_start, r.window_end, r.position,
       r.reason, r.message, r.first_seen, r.last_seen, r.attempts, r.state, r.raw
from rejects r join collections c on c.collection = r.collection
where r.reject = $1
"""
COUNT_OPEN = """
select collection, count(*) as open from rejects where state = 'open' group by collection
"""


async def store(
    conn: Connection,
    key: tuple[int, str],
    rejects: Iterable[Reject],
    *,
    run: int,
    window: Window,
    now: datetime,
) -> list[Any]:
    """Keep the rejects of a page; return the rows of those that weren't known before."""
    page = {(each.reason, each.identity): each for each in rejects}.values()
    if not page:
        return []
    rows = await conn.fetch(
        STORE,
        *key,
        run,
        window.start,
        window.end,
        now,
        [each.position for each in page],
        [each.reason.value for each in page],
        [each.identity for each in page],
        [each.message for each in page],
        [each.raw for each in page],
    )
    return [row for row in rows if row["is_new"]]


async def listed(
    conn: Connection,
    *,
    collection: int | None = None,
    reason: str | None = None,
    state: str | None = "open",
    after: int = 0,
    limit: int = 200,
) -> list[Any]:
    """Return rejects by number, without their bytes; None matches everything."""
    rows: list[Any] = await conn.fetch(LIST, collection, reason, state, after, limit)
    return rows


async def one(conn: Connection, number: int) -> Any | None:
    """Return a reject with its raw bytes, None where there is none."""
    return await conn.fetchrow(ONE, number)


async def count_open(conn: Connection) -> dict[int, int]:
    """Return how many rejects of each collection wait for a person."""
    return {row["collection"]: row["open"] for row in await conn.fetch(COUNT_OPEN)}
