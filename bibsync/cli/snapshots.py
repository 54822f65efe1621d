"""bibsync snapshots: what each day came to, and days that nobody took."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Any

import typer

from bibsync import census, store
from bibsync.cli import completion, context
from bibsync.cli.context import Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.stats import days_of
from bibsync.cli.text import local, out_json, printable, say, table
from bibsync.config import Config
from bibsync.store import snapshots

app = typer.Typer(
    no_args_is_help=True,
    help="Look at what each day came to, and take past days.\n\nbibsync snapshots list",
)

COLUMNS = (
    "DAY", "COLLECTION", "RECORDS", "ADDED", "UPDATED", "DELETED", "REJECTS", "REQUESTS", "RUNS",
    "FAILED",
)  # fmt: skip
LISTED = timedelta(days=30)


@app.command("list", short_help="List days, the oldest first.")
def list_(
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From here on: a date, or 7d. Left out: 30 days."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this: a date, or 7d.")
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of this collection only.", autocompletion=completion.collections
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what each day of each collection came to, the oldest first.

    bibsync snapshots list --since 2024-01-01

    Days are UTC days. A figure that wasn't known any more when the day was taken is a -.
    """
    now = datetime.now(UTC)
    begin, end = days_of(since, until, now=now)
    begin = begin or (end or now.date()) - LISTED
    config = configuration()
    rows = context.run(_listed(config, begin, end, collection, json=json))
    if rows:
        table(COLUMNS, map(_cells, rows))
    elif rows is not None:
        say("No such day was taken; `bibsync snapshots fill` takes past days.")


@app.command(short_help="Take past days that nobody took.")
def fill(
    since: Annotated[str, typer.Option(metavar="TIME", help="From this day on: a date, or 7d.")],
    until: Annotated[
        str, typer.Option(metavar="TIME", help="Up to this day, not included: a date, or 7d.")
    ],
    json: Json = False,
) -> None:
    """Take the days of a past range that nobody took, from what is stored.

    bibsync snapshots fill --since 2024-01-01 --until 2024-07-01

    Days that were taken stay as they are. What was cleaned up since isn't guessed: those figures
    stay unknown.
    """
    begin, end = days_of(since, until, now=datetime.now(UTC))
    config = configuration()
    document = context.run(_filled(config, begin or date.min, end or date.max))
    if document is None:
        say("There is no database yet; nothing was taken.")
    elif json:
        out_json(document)
    else:
        _tell(document, config.timezone)


async def _listed(
    config: Config, since: date, until: date | None, name: str | None, *, json: bool
) -> list[Any] | None:
    """Return the days; None where each was printed as it came."""
    rows: list[Any] = []
    async with context.readable(config) as pool:
        if pool is None:
            return None if json else rows
        async with store.acquire(pool) as conn:
            number = None if name is None else await context.number_of(conn, config, name)
            async for row in snapshots.each(conn, since, until, number):
                if json:
                    out_json(snapshots.document(row))
                else:
                    rows.append(row)
    return None if json else rows


async def _filled(config: Config, since: date, until: date) -> dict[str, Any] | None:
    async with context.readable(config) as pool:
        if pool is None:
            return None
        async with store.acquire(pool) as conn, conn.transaction():
            return await census.fill(conn, since, until)


def _tell(document: dict[str, Any], zone: tzinfo) -> None:
    columns = ("COLLECTION", "TAKEN", "TAKEN BEFORE", "INCOMPLETE")
    words = ("name", "taken", "taken_before", "incomplete")
    table(columns, ([each[word] for word in words] for each in document["collections"]))
    for each in document["collections"]:
        if each["incomplete"]:
            days = counted(each["incomplete"], "day")
            since = local(datetime.fromisoformat(each["kept_since"]), zone)
            why = f"because what is older than {since} was cleaned up"
            say(printable(f"{each['name']}: of {days} some figures are unknown, {why}."))
    if not document["collections"]:
        say("No day of that range has ended while there was a collection; nothing was taken.")


def _cells(row: Any) -> tuple[object, ...]:
    words = ("new", "changed", "withdrawn", "rejects", "requests", "runs", "failed_runs")
    return row["day"], row["name"], row["records"], *(row[word] for word in words)
