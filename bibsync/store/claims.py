"""Requests that replicas hold: claimed, kept, put back or settled.

    waiting ──claimed──► running ──► done        with an outcome
       ▲  │                │  ▲
       │  ├─► cancelled ◄──┘  └── its replica is gone: another claims it
       │  └─► dropped             it had not begun by its time
       └── once more, later

A holder is a token: the text by which `lease.is_gone` knows its process. Told by the server's clock
alone; whoever lets a request wait takes `requests.LOCK` first, in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import orjson

from bibsync.store import Connection
from bibsync.store.requests import FIRST_FILL, LOCK, WISHED, Row

ABSORBABLE = """
select w.request, w.job, c.name
from requests w
join collections c using (collection)
join requests r on r.collection = w.collection and r.job = w.job and r.state = 'running'
where w.state = 'waiting' and w.due_at <= clock_timestamp() and w.job = 'purchases'
  and w.since is null and w.until is null and not w.force_reimport and w.priority > $2
  and r.priority >= $1 and not r.cancel_asked
  and (r.until is null or r.until >= clock_timestamp())
  and exists (
      select from runs x
      where x.collection = r.collection and x.request = r.request and x.stream = r.job
        and x.finished is null
  )
for update of w skip locked
"""
"""Bulk work that is at a collection's purchases, up to the present, reads its new days first: what
a schedule wants is done by it. A person's wish waits for its turn."""
ABSORB = """
update requests set state = 'done', outcome = 'absorbed', finished = clock_timestamp()
where request = any($1::bigint[])
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
IS_ANY_EXPIRED = """
select exists (
    select from requests
    where state = 'waiting' and claims + attempts = 0 and expires_at <= clock_timestamp()
)
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
HOLDERS = """
select holder, bool_or(held_until < clock_timestamp()) as silent from requests
where state = 'running' group by holder
"""
ABANDONED = """
select request from requests
where state = 'running' and (held_until < clock_timestamp() or holder = any($1::text[]))
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
    claims = case when $6 then 0 when $5::text is null then claims else least(claims, 1) end,
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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended, and what is told of it."""

    outcome: str
    problem: Mapping[str, object] | None = None
    result: Mapping[str, object] | None = None
    run: int | None = None
    state: Literal["done", "cancelled"] = field(default="done")


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
    if not await conn.fetchval(IS_ANY_EXPIRED):
        return []
    async with conn.transaction():
        await conn.execute(LOCK)
        rows: list[Row] = await conn.fetch(DROP_EXPIRED)
    return rows


async def absorb(conn: Connection) -> list[Row]:
    """End what schedules want of collections at which bulk work is under way; return it."""
    if not await conn.fetch(ABSORBABLE, FIRST_FILL, WISHED):
        return []
    async with conn.transaction():
        await conn.execute(LOCK)
        rows: list[Row] = await conn.fetch(ABSORBABLE, FIRST_FILL, WISHED)
        await conn.execute(ABSORB, [row["request"] for row in rows])
    return rows


async def settle_left(conn: Connection, problem: Mapping[str, object]) -> list[Row]:
    """End what waits of collections that left the configuration, and return it."""
    rows: list[Row] = await conn.fetch(SETTLE_LEFT, _json(problem))
    return rows


async def holders(conn: Connection) -> dict[str, bool]:
    """Return who holds requests, and whether it hasn't prolonged them in time."""
    return {row["holder"]: row["silent"] for row in await conn.fetch(HOLDERS)}


async def take_back(conn: Connection, gone: Sequence[str] = ()) -> list[int]:
    """Let wait again what is held by these, and by who hasn't prolonged it; return it."""
    await conn.execute(LOCK)
    left = [row["request"] for row in await conn.fetch(ABANDONED, list(gone))]
    return await put_back(conn, None, left, wait=timedelta(0))


async def put_back(
    conn: Connection,
    token: str | None,
    numbers: Sequence[int],
    *,
    wait: timedelta,
    attempts: int = 0,
    earliest: datetime | None = None,
    begun: bool = True,
) -> list[int]:
    """Let what `token` holds wait again, due after `wait` and not before `earliest`; return it.

    No `token`: whoever holds it. `attempts` are added to those that count against `retries`. What
    had not `begun` may expire. What somebody has cancelled meanwhile is cancelled.
    """
    await conn.execute(LOCK)
    each = list(numbers)
    await conn.execute(ABSORB_TWINS, each, token)
    rows = await conn.fetch(PUT_BACK, each, wait, attempts, earliest, token, not begun)
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


def _json(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
