"""How every collection stands: its health and its activity, two words that are never merged.

Health is a judgement over finished runs: ok, late, failing, never_run, paused, disabled. Activity
is what is done now: idle, running, backfilling, waiting_to_retry, waiting_for_lease. A run under
way changes no health.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync import coverage, lease, timetable
from bibsync.collection import Collection, Sync
from bibsync.outlook import lag
from bibsync.run import METADATA, PURCHASES, Outcome, utc_text
from bibsync.store import (
    Connection,
    collections,
    lanes,
    pauses,
    records,
    rejects,
    replicas,
    requests,
    runs,
    schedules,
    titles,
)
from bibsync.store.collections import Row
from bibsync.store.leases import Held
from bibsync.store.pauses import Pause

SCHEMA = "bibsync.status/1"
STREAMS = (PURCHASES, METADATA)
UNHEALTHY = frozenset({"late", "failing"})


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables say, read once for all collections; keys are numbers, or with the stream."""

    rows: dict[str, Row]
    counts: dict[int, tuple[int, int]]
    rejects: dict[int, int]
    lanes: dict[tuple[int, str], lanes.Standing]
    leases: dict[tuple[int, str], Held]
    last_runs: dict[tuple[int, str], Any]
    last_successes: dict[tuple[int, str], datetime]
    titles: dict[int, titles.Standing]
    pauses: dict[int, Pause]
    schedules: list[schedules.Row]
    replicas: list[Any]
    waiting: dict[tuple[int, str], requests.Waiting]


async def read(conn: Connection) -> Tables:
    """Read what there is to know, one query a table."""
    return Tables(
        rows={row.name: row for row in await collections.all_rows(conn)},
        counts=await records.counts(conn),
        rejects=await rejects.count_open(conn),
        lanes=await lanes.standings(conn),
        leases=await lease.alive(conn),
        last_runs=await runs.latest(conn),
        last_successes=await runs.latest_success(conn),
        titles=await titles.standings(conn),
        pauses=await pauses.in_force(conn),
        schedules=await schedules.all_rows(conn),
        replicas=await replicas.seen(conn),
        waiting=await requests.waiting(conn),
    )


NOTHING = Tables({}, {}, {}, {}, {}, {}, {}, {}, {}, [], [], {})
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
        "schedules": timetable.documents(tables.schedules, now),
        "replicas": [replicas.document(row) for row in tables.replicas],
    }


def _collection(
    name: str, row: Row | None, configured: Collection | None, tables: Tables, now: datetime
) -> dict[str, Any]:
    number = row.number if row else 0
    count, withdrawn = tables.counts.get(number, (0, 0))
    return {
        "name": name,
        "health": _health(number, configured, tables, now),
        "activity": _activity(number, tables, now),
        "records": count,
        "withdrawn": withdrawn,
        "rejects_open": tables.rejects.get(number, 0),
        "pause": _paused(tables.pauses.get(number)),
        "streams": _streams(number, configured, tables, now) if row else [],
    }


def _health(number: int, configured: Collection | None, tables: Tables, now: datetime) -> str:
    success = tables.last_successes.get((number, PURCHASES))
    if configured is None:
        return "disabled"
    if number in tables.pauses:
        return "paused"
    if any(_has_failed((number, stream), tables) for stream in STREAMS):
        return "failing"
    if success is None:
        return "never_run"
    return "late" if now - success > configured.sync.late_after else "ok"


def _has_failed(key: tuple[int, str], tables: Tables) -> bool:
    last = tables.last_runs.get(key)
    return last is not None and last["outcome"] in {Outcome.FAILED, Outcome.PARTIAL}


def _paused(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "since": utc_text(pause.since),
        "until": utc_text(pause.until),
        "reason": pause.reason,
        "by": pause.by,
    }


def _activity(number: int, tables: Tables, now: datetime) -> str:
    key = (number, PURCHASES)
    standing = tables.lanes.get(key)
    if key in tables.leases:
        behind = standing is not None and standing.backfilling
        return "backfilling" if behind else "running"
    if (number, METADATA) in tables.leases:
        return "running"
    waiting = [(each, tables.waiting.get(each)) for each in ((number, s) for s in STREAMS)]
    if any(request and request.in_line for _, request in waiting):
        return "waiting_for_lease"
    if standing and standing.parked_until and standing.parked_until > now:
        return "waiting_to_retry"
    if any(request and _has_failed(each, tables) for each, request in waiting):
        return "waiting_to_retry"
    return "idle"


def _streams(
    number: int, configured: Collection | None, tables: Tables, now: datetime
) -> list[dict[str, Any]]:
    """Return how purchases stand, and the look-ups of titles once there are any."""
    covered = _covered((number, PURCHASES), configured, tables, now)
    due = {
        job: _next_due((number, job), configured.name, tables, now)
        for job in STREAMS
        if configured is not None and number not in tables.pauses
    }
    streams = [_stream((number, PURCHASES), tables, covered, due.get(PURCHASES))]
    if known := tables.titles.get(number):
        looked_up = {
            "caught_up_to": utc_text(known.oldest or known.last),
            "gaps": 0,
            "lag_s": int(lag(known.oldest, now).total_seconds()) if known.oldest else 0,
            "titles_described": known.described,
            "titles_waiting": known.waiting,
        }
        either = min(filter(None, due.values()), default=None)  # new titles follow purchases
        streams.append(_stream((number, METADATA), tables, looked_up, either))
    return streams


def _next_due(key: tuple[int, str], name: str, tables: Tables, now: datetime) -> datetime | None:
    """Return when a collection's stream is due: by a schedule, or by a request that waits."""
    scheduled = timetable.next_due(tables.schedules, now, job=key[1], collection=name)
    waiting = tables.waiting.get(key)
    times = [scheduled, waiting.due_at if waiting else None]
    return min(filter(None, times), default=None)


def _covered(
    key: tuple[int, str], configured: Collection | None, tables: Tables, now: datetime
) -> dict[str, Any]:
    standing = tables.lanes.get(key)
    covered = standing.covered if standing else ()
    start = (configured.sync if configured else Sync()).start_date
    if standing and not configured:  # its start_date left the file with it
        start = standing.begins
    caught_up_to = coverage.caught_up_to(covered, start)
    return {
        "caught_up_to": utc_text(caught_up_to),
        "gaps": len(coverage.gaps(covered, start, covered[-1].end)) if covered else 0,
        "lag_s": int(lag(caught_up_to, now).total_seconds()),
    }


def _stream(
    key: tuple[int, str], tables: Tables, reach: dict[str, Any], due: datetime | None
) -> dict[str, Any]:
    last, held = tables.last_runs.get(key), tables.leases.get(key)
    return {
        "stream": key[1],
        **reach,
        "last_success": utc_text(tables.last_successes.get(key)),
        "last_run": runs.summary(last) if last else None,
        "lease": _held(held) if held else None,
        "next_due": utc_text(due),
    }


def _held(held: Held) -> dict[str, Any]:
    return {"holder": held.holder.replica, "since": utc_text(held.since)}
