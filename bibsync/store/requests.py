"""Table requests: what is to be done, by whichever replica is free.

    waiting ──claimed──► running ──► done        with an outcome
       ▲  │                │  ▲
       │  ├─► cancelled ◄──┘  └── its replica is gone: another claims it
       │  └─► dropped             it had not begun by its time
       └── once more, later

Of what is wanted anyway (no span, no force) one that waits is enough: whoever wants it again has
the one that there is. `LOCK` makes that hold; whoever lets a request wait takes it first, in the
same transaction. Told by the server's clock alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson

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
       greatest($11::timestamptz + random() * $12::interval, l.parked_until), $5, $6, $7, $8
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
CLAIM = """
with next as (
    select q.request from requests q
    where q.state = 'waiting' and q.due_at <= clock_timestamp()
      and (q.claims + q.attempts > 0 or coalesce(q.expires_at > clock_timestamp(), true))
      and (q.collection is null or q.collection = any($1::int[]))
      and q.priority between $2 and $3
      and not exists (
          select from requests r
          where r.state = 'running' and coalesce(r.collection, 0) = coalesce(q.collection, 0)
            and (q.collection is not null or r.job = q.job)
      )
      and not exists (
          select from requests e
          where e.state = 'waiting' and e.due_at <= clock_timestamp()
            and coalesce(e.collection, 0) = coalesce(q.collection, 0)
            and (q.collection is not null or e.job = q.job)
            and (e.priority, e.due_at, e.request) < (q.priority, q.due_at, q.request)
      )
    order by q.priority, q.due_at, q.request
    limit $4
    for update of q skip locked
)
update requests r
set state = 'running', holder = $5, replica = $6, held_until = clock_timestamp() + $7,
    claims = claims + 1, started = coalesce(started, clock_timestamp()), cancel_asked = false
from next where r.request = next.request
returning r.*
"""
"""Of a collection, or of a job that is about all of them, none but the first in order."""
KEEP = """
update requests set held_until = clock_timestamp() + $3
where request = any($2::bigint[]) and holder = $1 and state = 'running'
returning request, cancel_asked
"""
DROP_EXPIRED = """
update requests
set state = 'dropped', outcome = 'dropped', finished = clock_timestamp()
where state = 'waiting' and claims + attempts = 0 and expires_at <= clock_timestamp()
returning request, collection, job, due_at
"""
SETTLE_LEFT = """
update requests r
set state = 'done', outcome = 'paused', problem = $1::text::json, finished = clock_timestamp()
from collections c
where r.state = 'waiting' and c.collection = r.collection and not c.enabled
returning r.request, r.job, c.name
"""
IS_ANY_ABANDONED = """
select exists (select from requests where state = 'running' and held_until < clock_timestamp())
"""
ABANDONED = """
select request from requests
where state = 'running' and held_until < clock_timestamp()
for update skip locked
"""
ABSORB_TWINS = """
update requests r
set state = 'done', outcome = 'absorbed', finished = clock_timestamp(), holder = null
where r.request = any($1::bigint[]) and r.state = 'running' and ($2::text is null or holder = $2)
  and r.since is null and r.until is null and not r.force_reimport
  and exists (
      select from requests w
      where w.state = 'waiting' and w.job = r.job
        and coalesce(w.collection, 0) = coalesce(r.collection, 0)
        and w.since is null and w.until is null and not w.force_reimport
  )
"""
PUT_BACK = """
update requests
set state = case when cancel_asked then 'cancelled' else 'waiting' end,
    outcome = case when cancel_asked then 'cancelled' end,
    finished = case when cancel_asked then clock_timestamp() end,
    holder = null, held_until = null, attempts = attempts + $3,
    claims = case
        when $6 then 0 when $7 or $5::text is null then claims else least(claims, 1)
    end,
    due_at = greatest(clock_timestamp() + $2, $4)
where request = any($1::bigint[]) and state = 'running' and ($5::text is null or holder = $5)
returning request, state
"""
SETTLE = """
update requests
set state = $3, outcome = $4, problem = $5::text::json, result = $6::text::json, run = $7,
    attempts = attempts + 1, finished = clock_timestamp(), holder = null, held_until = null
where request = $1 and holder = $2 and state = 'running'
returning true
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
class Ended:
    """How a request ended, and what is told of it."""

    outcome: str
    problem: Mapping[str, object] | None = None
    result: Mapping[str, object] | None = None
    run: int | None = None
    state: Literal["done", "cancelled"] = field(default="done")


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

    Each is due by chance within `jitter` from `due_at`, and no sooner than its vendor allows.
    """
    await conn.execute(LOCK)
    spread = (job, FIRST_FILL, due_at, jitter, list(names))
    rows = await conn.fetch(ASK_EACH, *astuple(terms), *spread)
    return [row["request"] for row in rows]


async def ask_never_succeeded(conn: Connection, numbers: Sequence[int], *, by: str) -> None:
    """Ask for the purchases of those collections that never had a successful run, at once."""
    await conn.execute(LOCK)
    await conn.execute(ASK_NEVER_SUCCEEDED, list(numbers), by, FIRST_FILL)


async def claim(
    conn: Connection,
    numbers: Sequence[int],
    *,
    priorities: tuple[int, int],
    limit: int,
    holder: tuple[str, str],
    ttl: timedelta,
) -> list[Row]:
    """Claim requests that are due, those that matter most first, none of a collection at work.

    `numbers` are the collections that the claimant knows, `priorities` the first and last one that
    it takes, `holder` is its token and its replica's name.
    """
    rows: list[Row] = await conn.fetch(CLAIM, list(numbers), *priorities, limit, *holder, ttl)
    return rows


async def keep(
    conn: Connection, token: str, numbers: Sequence[int], *, ttl: timedelta
) -> dict[int, bool]:
    """Prolong those of these that `token` still holds; return whether each is to be cancelled.

    What it claimed without knowing, as the answer got lost, runs out and is claimed anew.
    """
    rows = await conn.fetch(KEEP, token, list(numbers), ttl)
    return {row["request"]: row["cancel_asked"] for row in rows}


async def drop_expired(conn: Connection) -> list[Row]:
    """Drop what had not begun by its time, and return it."""
    rows: list[Row] = await conn.fetch(DROP_EXPIRED)
    return rows


async def settle_left(conn: Connection, problem: Mapping[str, object]) -> list[Row]:
    """End what waits of collections that left the configuration, and return it."""
    rows: list[Row] = await conn.fetch(SETTLE_LEFT, _json(problem))
    return rows


async def is_any_abandoned(conn: Connection) -> bool:
    """Tell whether a replica that is gone holds anything."""
    return bool(await conn.fetchval(IS_ANY_ABANDONED))


async def take_back(conn: Connection) -> list[int]:
    """Let what was held by replicas that are gone wait again; return it."""
    await conn.execute(LOCK)
    gone = [row["request"] for row in await conn.fetch(ABANDONED)]
    return await put_back(conn, None, gone, wait=timedelta(0))


async def put_back(
    conn: Connection,
    token: str | None,
    numbers: Sequence[int],
    *,
    wait: timedelta,
    attempts: int = 0,
    earliest: datetime | None = None,
    begun: bool = True,
    claimed: bool = False,
) -> list[int]:
    """Let what `token` holds wait again, due after `wait` and not before `earliest`; return it.

    No `token`: whoever holds it. `attempts` are added to those that count against `retries`. What
    had not `begun` may expire; what was `claimed` in vain goes on counting how often. What somebody
    has cancelled meanwhile is cancelled.
    """
    await conn.execute(LOCK)
    each = list(numbers)
    await conn.execute(ABSORB_TWINS, each, token)
    rows = await conn.fetch(PUT_BACK, each, wait, attempts, earliest, token, not begun, claimed)
    return [row["request"] for row in rows if row["state"] == "waiting"]


async def settle(conn: Connection, number: int, token: str, ended: Ended) -> bool:
    """Note how a request ended; False: it is no longer `token`'s."""
    return bool(
        await conn.fetchval(
            SETTLE,
            number,
            token,
            ended.state,
            ended.outcome,
            _json(ended.problem),
            _json(ended.result),
            ended.run,
        )
    )


async def cancel(conn: Connection, number: int) -> str | None:
    """Cancel a request that waits, have one that runs stopped; return its state now.

    None: there is none that could be.
    """
    state: str | None = await conn.fetchval(CANCEL, number)
    return state


async def one(conn: Connection, number: int) -> Row | None:
    """Return a request, None where there is none."""
    return await conn.fetchrow(ONE, number)


async def listed(conn: Connection, states: Sequence[str], *, limit: int) -> list[Row]:
    """Return requests in these states, in the order in which they are taken."""
    rows: list[Row] = await conn.fetch(LISTED, list(states), limit)
    return rows


def _json(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
