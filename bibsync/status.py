"""How every collection stands: its health and its activity, two words that are never merged.

Health is a judgement over finished runs: ok, late, failing, never_run, paused, disabled. Activity
is what is done now: idle, running, backfilling, waiting_to_retry, waiting_for_lease. A run under
way changes no health.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync import coverage
from bibsync.collection import Collection, Sync
from bibsync.outlook import lag
from bibsync.run import PURCHASES, Outcome, utc_text
from bibsync.store import Connection, collections, lanes, leases, records, rejects, runs
from bibsync.store.collections import Row

SCHEMA = "bibsync.status/1"
UNHEALTHY = frozenset({"late", "failing"})
COUNTERS = (
    "windows", "blank", "pages", "requests", "retries", "received", "new", "changed",
    "unchanged", "rejected", "new_rejects", "doubles", "shifts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables say, read once for all collections; keys are numbers, or with the stream."""

    rows: dict[str, Row]
    counts: dict[int, tuple[int, int]]
    rejects: dict[int, int]
    lanes: dict[tuple[int, str], lanes.Standing]
    leases: dict[tuple[int, str], tuple[str, datetime]]
    last_runs: dict[tuple[int, str], Any]
    last_successes: dict[tuple[int, str], datetime]


async def read(conn: Connection) -> Tables:
    """Read what there is to know, one query a table."""
    return Tables(
        rows={row.name: row for row in await collections.all_rows(conn)},
        counts=await records.counts(conn),
        rejects=await rejects.count_open(conn),
        lanes=await lanes.standings(conn),
        leases=await leases.held_now(conn),
        last_runs=await runs.latest(conn),
        last_successes=await runs.latest_success(conn),
    )


NOTHING = Tables({}, {}, {}, {}, {}, {}, {})
"""The tables of a database that nobody has set up yet."""


def document(tables: Tables, configured: Iterable[Collection], *, now: datetime) -> dict[str, Any]:
    """Return the document of `status --json`: configured collections, then those that left."""
    known = {each.name: each for each in configured}
    names = [*known, *sorted(set(tables.rows) - set(known))]
    return {
        "schema": SCHEMA,
        "collections": [
            _collection(name, tables.rows.get(name), known.get(name), tables, now) for name in names
        ],
        "schedules": [],
    }


def _collection(
    name: str, row: Row | None, configured: Collection | None, tables: Tables, now: datetime
) -> dict[str, Any]:
    number = row.number if row else 0
    key = (number, PURCHASES)
    sync = configured.sync if configured else Sync()
    count, withdrawn = tables.counts.get(number, (0, 0))
    return {
        "name": name,
        "health": _health(key, configured, tables, now),
        "activity": _activity(key, tables, now),
        "records": count,
        "withdrawn": withdrawn,
        "rejects_open": tables.rejects.get(number, 0),
        "streams": [_stream(key, sync, tables, now)] if row else [],
    }


def _health(
    key: tuple[int, str], configured: Collection | None, tables: Tables, now: datetime
) -> str:
    last, success = tables.last_runs.get(key), tables.last_successes.get(key)
    if configured is None:
        return "disabled"
    if last is not None and last["outcome"] in {Outcome.FAILED, Outcome.PARTIAL}:
        return "failing"
    if success is None:
        return "never_run"
    return "late" if now - success > configured.sync.late_after else "ok"


def _activity(key: tuple[int, str], tables: Tables, now: datetime) -> str:
    standing = tables.lanes.get(key)
    if key in tables.leases:
        behind = standing is not None and standing.backfilling
        return "backfilling" if behind else "running"
    if standing and standing.parked_until and standing.parked_until > now:
        return "waiting_to_retry"
    return "idle"


def _stream(key: tuple[int, str], sync: Sync, tables: Tables, now: datetime) -> dict[str, Any]:
    standing = tables.lanes.get(key)
    covered = standing.covered if standing else ()
    caught_up_to = coverage.caught_up_to(covered, sync.start_date)
    last, held = tables.last_runs.get(key), tables.leases.get(key)
    return {
        "stream": key[1],
        "caught_up_to": utc_text(caught_up_to),
        "gaps": len(coverage.gaps(covered, sync.start_date, covered[-1].end)) if covered else 0,
        "lag_s": int(lag(caught_up_to, now).total_seconds()),
        "last_success": utc_text(tables.last_successes.get(key)),
        "last_run": _summary(last) if last else None,
        "lease": {"holder": held[0], "since": utc_text(held[1])} if held else None,
        "next_due": None,
    }


def _summary(row: Any) -> dict[str, Any]:
    return {
        "type": "summary",
        "collection": row["name"],
        "stream": row["stream"],
        "run": row["run"],
        "outcome": row["outcome"],
        **{name: row[name] for name in COUNTERS},
        "caught_up_to": utc_text(row["caught_up_to"]),
        "duration_s": round((row["finished"] - row["started"]).total_seconds(), 3),
        "problem": runs.problem(row),
    }
