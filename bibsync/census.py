"""The census: how many records there are, what came and went, day by day.

`statistics` counts all there is now, which takes a while, so the newest count is kept and read.
`snapshot` notes what a day came to when it has ended, `fill` does that for days that nobody took,
and `ranged` sums days up. Nothing here is guessed: a figure whose rows were cleaned up is null.

Days are UTC days, whatever zone times are shown in: every replica means the same day, another
`timezone` cuts no day in two, each has 24 hours, and they are the vendor's own days, which windows
and re-reads go by.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from bibsync import store
from bibsync.run import utc_text
from bibsync.store import (
    Connection,
    collections,
    records,
    rejects,
    runs,
    snapshots,
    statistics as kept,
    versions,
)
from bibsync.window import DAY

STATISTICS = "bibsync.statistics/1"
SNAPSHOTS = "bibsync.snapshots/1"
RANGE = "bibsync.range/1"
ACTIVE_DAYS = 30
ACTIVITY = ("runs", "failed_runs", "requests", "received", "new", "changed", "rejected")
KEPT = ("records", "withdrawn", "versions", "rejects_open")


async def statistics(conn: Connection, *, now: datetime | None = None) -> dict[str, Any]:
    """Count everything: totals, by format, by collection, and the activity of the last 30 days.

    `now` is left out but in tests: the database's clock. The day that it lies in is the last one.
    """
    now = now or await store.clock(conn)
    formats = await records.counts_by_format(conn)
    former = await versions.counts(conn)
    waiting = await rejects.count_open(conn)
    by_collection = [
        _collection(row, formats, former, waiting) for row in await collections.all_rows(conn)
    ]
    return {
        "schema": STATISTICS,
        "made_at": utc_text(now),
        "totals": {
            "collections": len(by_collection),
            **{word: sum(each[word] for each in by_collection) for word in KEPT},
        },
        "formats": _formats(formats),
        "collections": by_collection,
        "activity": await _activity(conn, now),
    }


async def renew(conn: Connection) -> dict[str, Any]:
    """Count everything and keep the result for those who read it; the job `statistics`."""
    document = await statistics(conn)
    await kept.keep(conn, document)
    return document


async def snapshot(conn: Connection, *, day: date | None = None) -> dict[str, Any]:
    """Take the day that ended last, again where it was taken before; the job `snapshot`.

    `day` is another day that has ended.
    """
    day = day or (await store.clock(conn)).astimezone(UTC).date() - DAY
    rows = await snapshots.take(conn, day, day + DAY, again=True)
    return _taken(day, day + DAY, rows)


async def fill(conn: Connection, since: date, until: date) -> dict[str, Any]:
    """Take the days from `since` on and before `until` that nobody took, as far as they have ended.

    A day that was taken stays as it is: nothing can be known better later. The same sums as of
    `snapshot`, but that a record withdrawn and given back since counts as never withdrawn.
    """
    today = (await store.clock(conn)).astimezone(UTC).date()
    until = min(until, today)
    rows = await snapshots.take(conn, since, until, again=False) if since < until else []
    return _taken(since, until, rows)


async def ranged(
    conn: Connection, since: date | None = None, until: date | None = None
) -> dict[str, Any]:
    """Sum the days from `since` on and before `until` up, of each collection and of all together.

    None leaves a side open. Each figure has `days`, on how many it is known, `min`, `max`, `mean`,
    `median`, and the `total` of what can be added up; where no day is known, all but that are null.
    """
    by_name: dict[str | None, dict[str, Any]] = defaultdict(dict)
    for row in await snapshots.ranged(conn, since, until):
        by_name[row["name"]][row["figure"]] = _summed(row)
    together = by_name.pop(None, {})
    return {
        "schema": RANGE,
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
        "all": _in_order(together),
        "collections": [{"name": name} | _in_order(each) for name, each in by_name.items()],
    }


def day_of(at: datetime | None) -> date | None:
    """Return the UTC day that a moment lies in."""
    return at and at.astimezone(UTC).date()


def day_after(at: datetime | None) -> date | None:
    """Return the first UTC day that begins at or after a moment."""
    return at and (at.astimezone(UTC) + DAY - timedelta(microseconds=1)).date()


def _collection(
    row: collections.Row,
    formats: Sequence[Any],
    former: Mapping[int, int],
    waiting: Mapping[int, int],
) -> dict[str, Any]:
    own = [each for each in formats if each["collection"] == row.number]
    return {
        "name": row.name,
        "enabled": row.enabled,
        "records": sum(each["records"] for each in own),
        "withdrawn": sum(each["withdrawn"] for each in own),
        "versions": former.get(row.number, 0),
        "rejects_open": waiting.get(row.number, 0),
        "formats": _formats(own),
    }


def _formats(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Add up by format, the most frequent first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        sums[row["format"]][0] += row["records"]
        sums[row["format"]][1] += row["withdrawn"]
    ordered = sorted(sums.items(), key=lambda each: (-each[1][0], each[0]))
    return [
        {"format": name, "records": count, "withdrawn": withdrawn}
        for name, (count, withdrawn) in ordered
    ]


async def _activity(conn: Connection, now: datetime) -> list[dict[str, Any]]:
    """Return what runs did on each of the last days, the oldest first."""
    last = now.astimezone(UTC).date()
    days = [last - DAY * back for back in reversed(range(ACTIVE_DAYS))]
    since = datetime.combine(days[0], time(), UTC)
    ran = await runs.by_day(conn, since)
    withdrawn = await records.withdrawn_by_day(conn, since)
    return [
        {
            "day": day.isoformat(),
            **{word: ran[day][word] if day in ran else 0 for word in ACTIVITY},
            "withdrawn": withdrawn.get(day, 0),
        }
        for day in days
    ]


def _taken(since: date, until: date, rows: Sequence[Any]) -> dict[str, Any]:
    told = [
        {
            "name": row["name"],
            "taken": row["taken"],
            "taken_before": row["days"] - row["taken"],
            "incomplete": row["incomplete"],
            "kept_since": utc_text(row["kept_since"]),
        }
        for row in rows
    ]
    return {
        "schema": SNAPSHOTS,
        "since": since.isoformat(),
        "until": until.isoformat(),
        **{
            word: sum(each[word] for each in told)
            for word in ("taken", "taken_before", "incomplete")
        },
        "collections": told,
    }


def _summed(row: Any) -> dict[str, Any]:
    words = ("days", "min", "max", "mean", "median")
    total = None if row["figure"] == "records" else row["total"]
    return {word: row[word] for word in words} | {"total": total}


def _in_order(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {figure: figures[figure] for figure in snapshots.FIGURES if figure in figures}
