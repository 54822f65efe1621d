"""What cleanup may take away, of each table that would otherwise grow for ever, and nothing else.

This module has no table of its own: here stands in one place what is left over and what isn't. For
each kind of leftover `STALE` finds keys in their order, behind the last one, and `REMOVE` deletes
those of them that are still so, passing over rows that another transaction has locked: so nobody
waits for a cleanup, and two at once get in nobody's way.

Kept however old it is:

- records, with what is known of them, and what a stream needs to go on: no statement names them;
- the version before a record's current one, which says what its last change was;
- a run that goes on; of each collection and stream the newest one that tells of the vendor, the
  newest success, which status is made of, and the first success;
- rejects that are open, and settled ones that the vendor went on sending;
- requests that aren't finished, or whose result is still to be kept, or whose firing isn't over;
- a schedule's newest firing, those with unfinished requests, and notices that have no end;
- the last notice of a collection's new rejects: it says which of them were told already;
- snapshots: a row for each day and collection, and the only trace of what is deleted here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.store import Connection

STALE_S = 600.0
"""A table of a million former versions is read from end to end."""
Key = tuple[Any, ...]

RUNS_STALE = """
select r.run from runs r
where r.finished < $1 and r.run > $3
  and exists (
    select from runs later
    where later.collection = r.collection and later.stream = r.stream
      and later.started > r.started and later.finished is not null
      and (later.requests > 0 or later.received = 0)
      and (r.outcome <> 'succeeded' or later.outcome = 'succeeded')
  )
  and (r.outcome <> 'succeeded' or exists (
    select from runs earlier
    where earlier.collection = r.collection and earlier.stream = r.stream
      and earlier.started < r.started and earlier.outcome = 'succeeded'
      and (earlier.requests > 0 or earlier.received = 0)
  ))
order by r.run
limit $2
"""
RUNS_REMOVE = """
delete from runs where run in (
    select run from runs where run = any($2::bigint[]) and finished < $1 for update skip locked
) returning 1
"""
VERSIONS_STALE = """
select v.collection, v.control_number, v.version from record_versions v
where v.replaced_at < $1 and (v.collection, v.control_number, v.version) > ($3, $4, $5)
  and not exists (
    select from records r
    where r.collection = v.collection and r.control_number = v.control_number
      and r.version = v.version + 1
  )
order by v.collection, v.control_number, v.version
limit $2
"""
VERSIONS_REMOVE = """
delete from record_versions where (collection, control_number, version) in (
    select v.collection, v.control_number, v.version
    from unnest($2::int[], $3::text[], $4::int[]) as k (collection, control_number, version)
    join record_versions v
      on v.collection = k.collection and v.control_number = k.control_number
     and v.version = k.version
    where v.replaced_at < $1
    for update of v skip locked
) returning 1
"""
REJECTS_STALE = """
select reject from rejects
where state <> 'open' and greatest(settled_at, last_seen) < $1 and reject > $3
order by reject
limit $2
"""
REJECTS_REMOVE = """
delete from rejects where reject in (
    select reject from rejects
    where reject = any($2::bigint[]) and state <> 'open' and greatest(settled_at, last_seen) < $1
    for update skip locked
) returning 1
"""
RESULTS_STALE = """
select request from requests
where result is not null and finished + keep_results < $1 and request > $3
order by request
limit $2
"""
RESULTS_REMOVE = """
update requests set result = null where request in (
    select request from requests
    where request = any($2::bigint[]) and finished + keep_results < $1
    for update skip locked
) returning 1
"""
REQUESTS_STALE = """
select r.request from requests r
where r.finished < $1 and r.finished + r.keep_results < clock_timestamp() and r.request > $3
  and not exists (select from firings f where f.firing = r.firing and f.finished is null)
order by r.request
limit $2
"""
REQUESTS_REMOVE = """
delete from requests where request in (
    select request from requests
    where request = any($2::bigint[]) and finished < $1
    for update skip locked
) returning 1
"""
FIRINGS_STALE = """
select f.firing from firings f
where f.finished < $1 and f.firing > $3
  and exists (
    select from firings later where later.schedule = f.schedule and later.firing > f.firing
  )
  and not exists (select from requests r where r.firing = f.firing and r.finished is null)
order by f.firing
limit $2
"""
FIRINGS_REMOVE = """
delete from firings where firing in (
    select firing from firings where firing = any($2::bigint[]) and finished < $1
    for update skip locked
) returning 1
"""
NOTICES_STALE = """
select notice from notices n
where ended < $1 and notice > $3 and (kind <> 'new_rejects' or exists (
    select from notices later
    where later.kind = n.kind and later.subject = n.subject and later.notice > n.notice
      and later.ended is not null
))
order by notice limit $2
"""
NOTICES_REMOVE = """
delete from notices where notice in (
    select notice from notices n
    where notice = any($2::bigint[]) and ended < $1 and (kind <> 'new_rejects' or exists (
        select from notices later
        where later.kind = n.kind and later.subject = n.subject and later.notice > n.notice
          and later.ended is not null
    ))
    for update skip locked
) returning 1
"""
KEYS_STALE = """
select key from idempotency_keys where kept_since < $1 and key > $3 order by key limit $2
"""
KEYS_REMOVE = """
delete from idempotency_keys where key in (
    select key from idempotency_keys where key = any($2::text[]) and kept_since < $1
    for update skip locked
) returning 1
"""
REPLICAS_STALE = """
select replica from replicas where seen < $1 and replica > $3 order by replica limit $2
"""
REPLICAS_REMOVE = """
delete from replicas where replica in (
    select replica from replicas where replica = any($2::text[]) and seen < $1
    for update skip locked
) returning 1
"""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One kind of leftover: how it is found and removed, and a key below all there are."""

    stale: str
    remove: str
    first: Key = (0,)


LEFTOVERS: Mapping[str, Leftover] = {
    "runs": Leftover(RUNS_STALE, RUNS_REMOVE),
    "versions": Leftover(VERSIONS_STALE, VERSIONS_REMOVE, (0, "", 0)),
    "rejects": Leftover(REJECTS_STALE, REJECTS_REMOVE),
    "results": Leftover(RESULTS_STALE, RESULTS_REMOVE),
    "requests": Leftover(REQUESTS_STALE, REQUESTS_REMOVE),
    "firings": Leftover(FIRINGS_STALE, FIRINGS_REMOVE),
    "notices": Leftover(NOTICES_STALE, NOTICES_REMOVE),
    "idempotency_keys": Leftover(KEYS_STALE, KEYS_REMOVE, ("",)),
    "replicas": Leftover(REPLICAS_STALE, REPLICAS_REMOVE, ("",)),
}
"""In the order in which they go: a request before the firing that it is of."""


async def stale(
    conn: Connection, kind: Leftover, before: datetime, *, after: Key, limit: int
) -> list[Key]:
    """Return the next keys behind `after` of what is older than `before` and may go, in order."""
    rows = await conn.fetch(kind.stale, before, limit, *after, timeout=STALE_S)
    return [tuple(row) for row in rows]


async def remove(conn: Connection, kind: Leftover, before: datetime, keys: Sequence[Key]) -> int:
    """Remove those of `keys` that are still older than `before`; return how many those were."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    return len(await conn.fetch(kind.remove, before, *columns))
