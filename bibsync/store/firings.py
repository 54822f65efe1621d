"""Table firings: the slots of schedules that came, each once, and what became of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.store import Connection

FIRE = """
insert into firings (schedule, job, slot, trigger, fired_by, fired_at, outcome, finished)
values (
    $1, $2, coalesce($3, clock_timestamp()), $4, $5, clock_timestamp(), $6,
    case when $6::text is null then null else clock_timestamp() end
)
on conflict (schedule, slot) do nothing
returning firing
"""
FINISH = """
with over as (
    select f.firing, f.schedule,
           count(q.request) filter (where q.outcome in ('succeeded', 'absorbed', 'paused')) as good,
           count(q.request) filter (where q.outcome = 'dropped') as dropped,
           count(q.request) as requests
    from firings f left join requests q using (firing)
    where f.finished is null
    group by f.firing, f.schedule
    having count(*) filter (where q.state in ('waiting', 'running')) = 0
)
update firings f
set finished = clock_timestamp(),
    outcome = case
        when over.requests = 0 then 'absorbed'
        when over.good = over.requests then 'succeeded'
        when over.dropped = over.requests then 'dropped'
        when over.good > 0 then 'partial'
        else 'failed'
    end
from over
where f.firing = over.firing and f.finished is null
returning f.firing, f.schedule, f.outcome
"""
OF = "select * from firings where schedule = $1 order by firing desc limit $2"


@dataclass(frozen=True, slots=True)
class Finished:
    """A firing all of whose requests have ended, and how they did together."""

    firing: int
    schedule: str
    outcome: str


async def fire(
    conn: Connection,
    schedule: str,
    job: str,
    *,
    slot: datetime | None,
    trigger: str,
    by: str,
    outcome: str | None = None,
) -> int | None:
    """Note that a slot came, `slot` None: now; return its number, None where it came before.

    With an `outcome` nothing is to be done for it any more.
    """
    number: int | None = await conn.fetchval(FIRE, schedule, job, slot, trigger, by, outcome)
    return number


async def finish(conn: Connection) -> list[Finished]:
    """Finish the firings whose requests have all ended, and return them."""
    return [Finished(*row) for row in await conn.fetch(FINISH)]


async def of(conn: Connection, schedule: str, *, limit: int) -> list[Any]:
    """Return the last firings of a schedule, the newest first."""
    rows: list[Any] = await conn.fetch(OF, schedule, limit)
    return rows
