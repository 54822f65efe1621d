"""Table requests: what is to be done, by whichever replica is free; `claims` has how it is done.

Of what is wanted anyway (no span, no force) one that waits is enough: whoever wants it again has
the one that there is. `LOCK` makes that hold; whoever lets a request wait takes it first, in the
same transaction. Told by the server's clock alone.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bibsync.store import LET_GO, Connection

NOW = "select clock_timestamp()"
LOCK = f"select pg_advisory_xact_lock(hashtext('bibsync.requests')), {LET_GO}"
JOINED = """
    (trigger, requested_by) = (
        select j.trigger, j.requested_by from (values
            (w.priority, 1, w.trigger, w.requested_by),
            (excluded.priority, 2, excluded.trigger, excluded.requested_by)
        ) as j (priority, turn, trigger, requested_by) order by j.priority, j.turn limit 1
    ),
    priority = least(w.priority, excluded.priority), due_at = least(w.due_at, excluded.due_at),
    expires_at = case when (w.expires_at, excluded.expires_at) is not null
        then greatest(w.expires_at, excluded.expires_at) end
"""
"""Who asks for what waits joins it: it stays the first one's, unless the other is more urgent."""
ASK_EACH = f"""
insert into requests as w (
    collection, job, firing, trigger, requested_by, requested_at, priority, due_at, expires_at,
    retries, retry_delay, keep_results
)
select c.collection, $9, $3, $1, $2, clock_timestamp(),
       case when exists (
           select from runs r
           where r.collection = c.collection and r.stream = 'purchases' and r.outcome = 'succeeded'
       ) then $4::integer else greatest($4, $10::integer) end,
       greatest(
           $11::timestamptz + random() * $12::interval, case when $4 > 0 then l.parked_until end
       ), $5, $6, $7, $8
from collections c
left join lanes l on l.collection = c.collection and l.stream = 'purchases' and l.lane = 0
where c.enabled and ($13::text[] = '{{}}' or c.name = any($13))
order by c.collection
on conflict (coalesce(collection, 0), job)
    where state = 'waiting' and since is null and until is null and not force_reimport
do update
set firing = excluded.firing, {JOINED}, retries = excluded.retries,
    retry_delay = excluded.retry_delay, keep_results = excluded.keep_results, attempts = 0
returning request
"""  # noqa: S608 - of constants
"""One request for each collection of `$13`; those that never succeeded are bulk work."""
ASK = f"""
insert into requests as w (
    collection, job, firing, trigger, requested_by, requested_at, since, until, force_reimport,
    lane, priority, due_at, expires_at, retries, retry_delay, keep_results
)
values (
    $2, $1, $10, $8, $9, clock_timestamp(), $3, $4, $5, $6, $11,
    coalesce($7, clock_timestamp()), $12, $13, $14, $15
)
on conflict (coalesce(collection, 0), job)
    where state = 'waiting' and since is null and until is null and not force_reimport
do update set firing = coalesce(excluded.firing, w.firing), {JOINED}
returning request
"""  # noqa: S608 - of constants
ASK_NEVER_SUCCEEDED = """
insert into requests as w (
    collection, job, trigger, requested_by, requested_at, priority, due_at
)
select c.collection, 'purchases', 'start', $2, clock_timestamp(), $3, clock_timestamp()
from collections c
where c.collection = any($1::int[]) and not exists (
    select from runs r
    where r.collection = c.collection and r.stream = 'purchases' and r.outcome = 'succeeded'
) and not exists (
    select from requests q
    where q.collection = c.collection and q.job = 'purchases' and q.state = 'running'
)
order by c.collection
on conflict (coalesce(collection, 0), job)
    where state = 'waiting' and since is null and until is null and not force_reimport
do update set due_at = least(w.due_at, excluded.due_at)
"""
CANCEL = """
update requests
set state = case when state = 'waiting' then 'cancelled' else state end,
    outcome = case when state = 'waiting' then 'cancelled' else outcome end,
    finished = case when state = 'waiting' then clock_timestamp() else finished end,
    cancel_asked = state = 'running'
where request = $1 and state in ('waiting', 'running')
returning state
"""
ONE = """
select q.*, c.name from requests q left join collections c using (collection) where q.request = $1
"""
WAITING = """
select collection, job, min(due_at) as due_at,
       bool_or(started is not null and claims + attempts = 0) as in_line
from requests where state = 'waiting' and collection is not null group by collection, job
"""
"""What was begun and counts as not begun stands in line for a lease."""
LISTED = """
select q.*, c.name from requests q left join collections c using (collection)
where q.state = any($1::text[])
order by q.state, q.priority, q.due_at, q.request
limit $2
"""

FIRST_FILL, BULK = 5, 9
"""Priorities: 0 a person's wish, 1 what a schedule wants; from FIRST_FILL on it is bulk work."""
WISHED, SCHEDULED = 0, 1
LAST = 99

Lane = Literal["reimport", "backfill"]
Row = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How requests of one origin are carried out; the statements take it in this order.

    `expires_at`: not begun by then, they are dropped. `retries` follow a passing failure, each no
    sooner than `retry_delay`; the result is kept for `keep_results`.
    """

    trigger: str
    by: str
    firing: int | None = None
    priority: int = WISHED
    expires_at: datetime | None = None
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=5)
    keep_results: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one request asks for, in the statements' order; no `collection`: about all of them.

    `since` and `until` are [since, until); with `force_reimport` all of it is read again, in a
    lane of the kind `lane`.
    """

    job: str
    collection: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    force_reimport: bool = False
    lane: Lane = "reimport"
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """When the next request is due; `in_line`: one stands in line for a lease of another's."""

    due_at: datetime
    in_line: bool


async def ask(conn: Connection, wish: Wish, terms: Terms) -> int:
    """Ask for something and return the request's number: of one that waits for the same, if any."""
    await conn.execute(LOCK)
    number: int = await conn.fetchval(ASK, *astuple(wish), *astuple(terms))
    return number


async def ask_each(
    conn: Connection,
    job: str,
    terms: Terms,
    *,
    due_at: datetime,
    jitter: timedelta,
    names: Sequence[str],
) -> list[int]:
    """Ask for a job of each collection of these `names`, of every enabled one where there are none.

    Each is due by chance within `jitter` from `due_at`, and no sooner than its vendor allows;
    what a person wishes is due at once.
    """
    await conn.execute(LOCK)
    spread = (job, FIRST_FILL, due_at, jitter, list(names))
    rows = await conn.fetch(ASK_EACH, *astuple(terms), *spread)
    return [row["request"] for row in rows]


async def ask_never_succeeded(conn: Connection, numbers: Sequence[int], *, by: str) -> None:
    """Ask for the purchases of those collections that never had a successful run, at once."""
    await conn.execute(LOCK)
    await conn.execute(ASK_NEVER_SUCCEEDED, list(numbers), by, FIRST_FILL)


async def cancel(conn: Connection, number: int) -> str | None:
    """Cancel a request that waits, have one that runs stopped; return its state now.

    None: there is none that could be.
    """
    await conn.execute(LOCK)
    state: str | None = await conn.fetchval(CANCEL, number)
    return state


async def one(conn: Connection, number: int) -> Row | None:
    """Return a request, None where there is none."""
    return await conn.fetchrow(ONE, number)


async def listed(conn: Connection, states: Sequence[str], *, limit: int) -> list[Row]:
    """Return requests in these states, in the order in which they are taken."""
    rows: list[Row] = await conn.fetch(LISTED, list(states), limit)
    return rows


async def waiting(conn: Connection) -> dict[tuple[int, str], Waiting]:
    """Return what waits of each collection and job."""
    return {
        (row["collection"], row["job"]): Waiting(row["due_at"], row["in_line"])
        for row in await conn.fetch(WAITING)
    }
