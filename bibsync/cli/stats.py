"""bibsync stats: how many records there are, and what came and went."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from bibsync import census, store
from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import lasting, out, out_json, say, table
from bibsync.config import Config
from bibsync.errors import UsageWrong
from bibsync.settings.moments import moment
from bibsync.store import statistics

HELD = ("COLLECTION", "RECORDS", "WITHDRAWN", "VERSIONS", "REJECTS")
FORMATS = ("FORMAT", "RECORDS", "WITHDRAWN")
ACTIVITY = {
    "DAY": "day",
    "RUNS": "runs",
    "FAILED": "failed_runs",
    "PRODUCTS": "received",
    "ADDED": "new",
    "UPDATED": "changed",
    "DELETED": "withdrawn",
    "REJECTED": "rejected",
    "REQUESTS": "requests",
}
"""The columns of the activity, as users of Aspen's export log know them, and our words for them."""
SHOWN_AS = {"new": "added", "changed": "updated", "withdrawn": "deleted", "failed_runs": "failed"}
SUMS = ("COLLECTION", "FIGURE", "DAYS", "MIN", "MAX", "MEAN", "MEDIAN", "TOTAL")
TOGETHER = "all"


def stats(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Days from here on: a date, or 7d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Days before this: a date, or 7d.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Count now, however new the last count is.")
    ] = False,
    json: Json = False,
) -> None:
    """Count records by collection and format, and show what was done in the last 30 days.

    bibsync stats

    bibsync stats --since 2024-01-01 --until 2025-01-01

    Without --since and --until: the daemon's last count, or a new one where there is none. With
    one of them: least, greatest, mean, median and sum of each figure of the daily snapshots.
    """
    ranged = since is not None or until is not None
    if ranged and fresh:
        raise UsageWrong("--fresh counts what there is now; leave out --since and --until.")
    begin, end = days_of(since, until, now=datetime.now(UTC))
    config = configuration()
    if ranged:
        document = context.run(_ranged(config, begin, end))
    else:
        document = context.run(_statistics(config, fresh=fresh))
    if document is None:
        say("There is nothing to count yet.")
    elif json:
        out_json(document)
    elif ranged:
        _show_range(document)
    else:
        _show(document)


def days_of(
    since: str | None, until: str | None, *, now: datetime
) -> tuple[date | None, date | None]:
    """Read --since and --until as UTC days: the one that the first lies in, up to the other.

    Raises:
        UsageWrong: one is no time, or there is no day between them.
    """
    begin = census.day_of(moment(since, name="--since", now=now))
    end = census.day_after(moment(until, name="--until", now=now))
    if begin and end and begin >= end:
        raise UsageWrong(f"No day lies between --since {since} and --until {until}.")
    return begin, end


async def _statistics(config: Config, *, fresh: bool) -> dict[str, Any] | None:
    """Return the count that is kept, or a new one, which isn't: reading writes nothing."""
    async with context.readable(config) as pool:
        if pool is None:
            return None
        async with store.acquire(pool) as conn:
            kept = None if fresh else await statistics.newest(conn)
            return kept or await census.statistics(conn)


async def _ranged(config: Config, since: date | None, until: date | None) -> dict[str, Any] | None:
    async with context.readable(config) as pool:
        if pool is None:
            return None
        async with store.acquire(pool) as conn:
            return await census.ranged(conn, since, until)


def _show(document: dict[str, Any]) -> None:
    totals = {"name": TOGETHER} | document["totals"]
    _part("collection", HELD, [_held(each) for each in (*document["collections"], totals)])
    _part("format", FORMATS, [_format(each) for each in document["formats"]])
    days = [[each[word] for word in ACTIVITY.values()] for each in document["activity"]]
    active = [each for each in days if any(each[1:])] if sys.stdout.isatty() else days
    _part("day", tuple(ACTIVITY), active)
    age = datetime.now(UTC) - datetime.fromisoformat(document["made_at"])
    say(f"Counted {lasting(max(age.total_seconds(), 0))} ago; --fresh counts anew. Days are UTC.")


def _part(kind: str, heads: Sequence[str], rows: Sequence[Iterable[object]]) -> None:
    """Write one of the tables: through a pipe each line says which it is of."""
    if not sys.stdout.isatty():
        table((kind, *heads), ((kind, *row) for row in rows))
    elif rows:
        table(heads, rows)
        out()


def _held(each: dict[str, Any]) -> tuple[object, ...]:
    return tuple(
        each[word] for word in ("name", "records", "withdrawn", "versions", "rejects_open")
    )


def _format(each: dict[str, Any]) -> tuple[object, ...]:
    return each["format"] or None, each["records"], each["withdrawn"]


def _show_range(document: dict[str, Any]) -> None:
    if not document["collections"]:
        say("No day of that range was taken; `bibsync snapshots fill` takes past days.")
        return
    together = {"name": TOGETHER} | document["all"]
    rows = [
        (each["name"], SHOWN_AS.get(figure, figure), *sums.values())
        for each in (*document["collections"], together)
        for figure, sums in each.items()
        if figure != "name"
    ]
    table(SUMS, rows)
