"""Table runs: what was run, by whom, and what came of it."""

from datetime import date, datetime
from typing import Any

import orjson

from bibsync.errors import Problem
from bibsync.run import Outcome, Tally, utc_text
from bibsync.store import Connection

START = """
insert into runs (collection, stream, trigger, replica, epoch, started, request)
values ($1, $2, $3, $4, $5, $6, $7) returning run
"""
END_ABANDONED = """
update runs set finished = $4, outcome = 'interrupted'
where collection = $1 and stream = $2 and epoch < $3 and finished is null
"""
END = """
update runs
set finished = $3, outcome = $4, windows = $5, blank = $6, pages = $7, requests = $8, retries = $9,
    received = $10, new = $11, changed = $12, unchanged = $13, rejected = $14, new_rejects = $15,
    doubles = $16, shifts = $17, caught_up_to = $18, problem = $19,
    unanswered = $20
where collection = $1 and run = $2
"""
LATEST = """
select distinct on (collection, stream) r.*, c.name
from runs r join collections c using (collection)
where r.finished is not null and (r.requests > 0 or r.received = 0)
order by collection, stream, started desc
"""
LATEST_SUCCESS = """
select collection, stream, max(finished) as finished
from runs where outcome = 'succeeded' and (requests > 0 or received = 0)
group by collection, stream
"""
SUCCESSES = """
select collection, min(finished) as first, max(finished) as last
from runs
where outcome = 'succeeded' and stream = 'purchases' and (requests > 0 or received = 0)
group by collection
"""
COUNTERS = (
    "windows", "blank", "pages", "requests", "retries", "received", "new", "changed",
    "unchanged", "rejected", "new_rejects", "doubles", "shifts", "unanswered",
)  # fmt: skip
COUNTED = ", ".join(f"r.{name}" for name in COUNTERS)
COUNTED_NOTHING = ", ".join("0" for _ in COUNTERS)
EACH = f"""
select r.run, c.name, r.collection, r.stream, r.trigger, r.replica, r.started, r.finished,
       r.outcome, r.caught_up_to, r.problem, null::json as result, {COUNTED}
from runs r join collections c using (collection)
union all
select q.request, null, null, q.job, q.trigger, q.replica, q.started, q.finished,
       case q.outcome when 'cancelled' then 'interrupted' else q.outcome end,
       null, q.problem, q.result, {COUNTED_NOTHING}
from requests q
where q.collection is null and q.started is not null and q.state <> 'waiting'
"""  # noqa: S608 - of constants
"""Runs, and jobs about all collections as if they were runs: their numbers are of one sequence."""
LISTED = f"""
select r.* from ({EACH}) r
where ($1::int is null or r.collection = $1) and ($2::text is null or r.stream = $2)
  and ($3::text is null or coalesce(r.outcome, 'running') = $3)
  and ($4::timestamptz is null or r.started >= $4)
  and ($6::timestamptz is null or (r.started, r.run) < ($6, $7::bigint))
  and ($8::boolean is null or (r.finished is null) = $8)
order by r.started desc, r.run desc
limit $5
"""  # noqa: S608 - of constants
ONE = f"""
select r.*,
       (select count(*) from record_versions v
        where v.collection = r.collection and v.replaced_by = r.run) as records_changed
from ({EACH}) r
where r.run = $1
"""  # noqa: S608 - of constants
BY_DAY = """
select (finished at time zone 'UTC')::date as day, count(*) as runs,
       count(*) filter (where outcome in ('failed', 'partial')) as failed_runs,
       sum(requests) as requests,
       coalesce(sum(received) filter (where stream = 'purchases'), 0) as received,
       coalesce(sum(new) filter (where stream = 'purchases'), 0) as new,
       coalesce(sum(changed) filter (where stream = 'purchases'), 0) as changed,
       coalesce(sum(rejected) filter (where stream = 'purchases'), 0) as rejected
from runs where finished >= $1 group by 1
"""
RUNNING = "running"
"""What the list calls runs that have no outcome yet."""


async def start(
    conn: Connection,
    key: tuple[int, str],
    *,
    trigger: str,
    replica: str,
    epoch: int,
    now: datetime,
    request: int | None = None,
) -> int:
    """Begin a run and return its number; runs of earlier epochs that never ended are closed."""
    await conn.execute(END_ABANDONED, *key, epoch, now)
    run: int = await conn.fetchval(START, *key, trigger, replica, epoch, now, request)
    return run


async def end(
    conn: Connection,
    collection: int,
    run: int,
    *,
    outcome: Outcome,
    tally: Tally,
    caught_up_to: datetime | None,
    problem: Problem | None,
    now: datetime,
) -> None:
    """Note how the run ended and what it counted."""
    await conn.execute(
        END,
        collection,
        run,
        now,
        outcome.value,
        tally.windows,
        tally.blank,
        tally.pages,
        tally.requests,
        tally.retries,
        tally.received,
        tally.new,
        tally.changed,
        tally.unchanged,
        tally.rejected,
        tally.new_rejects,
        tally.doubles,
        tally.shifts,
        caught_up_to,
        orjson.dumps(problem.as_json()).decode() if problem else None,
        tally.unanswered,
    )


async def latest(conn: Connection) -> dict[tuple[int, str], Any]:
    """Return the last finished run of each collection and stream.

    One that read rejects again, received records without a request, tells nothing of the vendor
    and is passed over.
    """
    return {(row["collection"], row["stream"]): row for row in await conn.fetch(LATEST)}


async def latest_success(conn: Connection) -> dict[tuple[int, str], datetime]:
    """Return when each collection and stream last succeeded."""
    rows = await conn.fetch(LATEST_SUCCESS)
    return {(row["collection"], row["stream"]): row["finished"] for row in rows}


async def successes(conn: Connection) -> dict[int, tuple[datetime, datetime]]:
    """Return when the purchases of each collection were first and last synced with success."""
    rows = await conn.fetch(SUCCESSES)
    return {row["collection"]: (row["first"], row["last"]) for row in rows}


async def by_day(conn: Connection, since: datetime) -> dict[date, Any]:
    """Return what the runs that ended on a UTC day came to together, of each day that has some.

    Records are counted of purchases alone: what look-ups receive are descriptions.
    """
    return {row["day"]: row for row in await conn.fetch(BY_DAY, since)}


async def listed(
    conn: Connection,
    *,
    collection: int | None = None,
    stream: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    active: bool | None = None,
    before: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[Any]:
    """Return runs, and jobs that are about all collections, newest first.

    None matches everything, `RUNNING` those that haven't ended. A job has no collection, its name
    as stream, and is among them once it has begun; one that waits for another try isn't.
    `active` says whether they are still to end; `before` is start and number of the last one seen.
    """
    last = before or (None, None)
    rows: list[Any] = await conn.fetch(
        LISTED, collection, stream, outcome, since, limit, *last, active
    )
    return rows


async def one(conn: Connection, number: int) -> Any | None:
    """Return a run and how many records it changed, None where there is none."""
    return await conn.fetchrow(ONE, number)


def summary(row: Any) -> dict[str, Any]:
    """Return a run's row as contract section 5 has a summary; one under way has no outcome yet."""
    finished, started = row["finished"], row["started"]
    return {
        "type": "summary",
        "collection": row["name"],
        "stream": row["stream"],
        "run": row["run"],
        "outcome": row["outcome"],
        **{name: row[name] for name in COUNTERS},
        "caught_up_to": utc_text(row["caught_up_to"]),
        "duration_s": round((finished - started).total_seconds(), 3) if finished else None,
        "problem": problem(row),
    }


def document(row: Any) -> dict[str, Any]:
    """Return what `runs list --json` says of a run: its summary, who began it, and when."""
    return summary(row) | {
        "id": row["run"],
        "trigger": row["trigger"],
        "replica": row["replica"],
        "started": utc_text(row["started"]),
        "finished": utc_text(row["finished"]),
    }


def result(row: Any) -> dict[str, Any] | None:
    """Return what a job that is about all collections came to; None of any other run."""
    found: dict[str, Any] | None = orjson.loads(row["result"]) if row["result"] else None
    return found


def problem(row: Any) -> dict[str, Any] | None:
    """Return the problem that a run's row tells, None where there was none."""
    found: dict[str, Any] | None = orjson.loads(row["problem"]) if row["problem"] else None
    return found
