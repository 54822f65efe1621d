"""Table runs: what was run, by whom, and what came of it."""

from datetime import datetime
from typing import Any

import orjson

from bibsync.errors import Problem
from bibsync.run import Outcome, Tally
from bibsync.store import Connection

START = """
insert into runs (collection, stream, trigger, replica, epoch, started)
values ($1, $2, $3, $4, $5, $6) returning run
"""
END_ABANDONED = """
update runs set finished = $4, outcome = 'interrupted'
where collection = $1 and stream = $2 and epoch < $3 and finished is null
"""
END = """
update runs
set finished = $3, outcome = $4, windows = $5, blank = $6, pages = $7, requests = $8, retries = $9,
    received = $10, new = $11, changed = $12, unchanged = $13, rejected = $14, new_rejects = $15,
    doubles = $16, shifts = $17, caught_up_to = $18, problem = $19
where collection = $1 and run = $2
"""
LATEST = """
select distinct on (collection, stream) r.*, c.name
from runs r join collections c using (collection)
where r.finished is not null
order by collection, stream, started desc
"""
LATEST_SUCCESS = """
select collection, stream, max(finished) as finished
from runs where outcome = 'succeeded' group by collection, stream
"""


async def start(
    conn: Connection,
    key: tuple[int, str],
    *,
    trigger: str,
    replica: str,
    epoch: int,
    now: datetime,
) -> int:
    """Begin a run and return its number; runs of earlier epochs that never ended are closed."""
    await conn.execute(END_ABANDONED, *key, epoch, now)
    run: int = await conn.fetchval(START, *key, trigger, replica, epoch, now)
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
    )


async def latest(conn: Connection) -> dict[tuple[int, str], Any]:
    """Return the last finished run of each collection and stream."""
    return {(row["collection"], row["stream"]): row for row in await conn.fetch(LATEST)}


async def latest_success(conn: Connection) -> dict[tuple[int, str], datetime]:
    """Return when each collection and stream last succeeded."""
    rows = await conn.fetch(LATEST_SUCCESS)
    return {(row["collection"], row["stream"]): row["finished"] for row in rows}


def problem(row: Any) -> dict[str, Any] | None:
    """Return the problem that a run's row tells, None where there was none."""
    found: dict[str, Any] | None = orjson.loads(row["problem"]) if row["problem"] else None
    return found
