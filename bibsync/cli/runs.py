"""bibsync runs: what was run, by whom, and what came of it."""

import sys
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any

import typer

from bibsync import store
from bibsync.cli import completion, context
from bibsync.cli.context import Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import lasted, local, out, out_json, printable, say, table
from bibsync.config import Config
from bibsync.errors import NotFound, UsageWrong
from bibsync.run import Outcome
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.settings.moments import moment
from bibsync.store import rejects, runs

app = typer.Typer(no_args_is_help=True, help="Look at what was run.\n\nbibsync runs list")

OUTCOMES = (*Outcome, runs.RUNNING)
MOST = 1_000_000
NAMED = 10
"""How many rejects are named on screen; JSON has them all."""


@app.command("list", short_help="List runs, the newest first.")
def list_(
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of this collection only.", autocompletion=completion.collections
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM",
            help=", ".join(JOBS_KNOWN),
            autocompletion=completion.words(*JOBS_KNOWN),
        ),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            metavar="OUTCOME",
            help=", ".join(OUTCOMES),
            autocompletion=completion.words(*OUTCOMES),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begun since: a date, a time (UTC), or 7d.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST, metavar="NUMBER", help="At most so many.")
    ] = 50,
    json: Json = False,
) -> None:
    """List runs, the newest first.

    bibsync runs list --collection "Springfield cloudLibrary" --outcome failed
    """
    _demand(stream, JOBS_KNOWN, "stream")
    _demand(outcome, OUTCOMES, "outcome")
    begun = moment(since, name="--since", now=datetime.now(UTC))
    config = configuration()
    chosen = {"stream": stream, "outcome": outcome, "since": begun, "limit": limit}
    rows = context.run(_listed(config, collection, chosen))
    if json:
        for row in rows:
            out_json(runs.document(row))
    elif rows:
        heads = ("RUN", "COLLECTION", "STREAM", "OUTCOME", "BY", "STARTED", "TOOK")
        table((*heads, "NEW", "CHANGED", "REJECTED"), map(_cells, rows), zone=config.timezone)
    else:
        say("There are no such runs.")


@app.command(short_help="Show one run, what it did, what stopped it.")
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="As `runs list` shows it.")],
    json: Json = False,
) -> None:
    """Show one run: what it did, what stopped it, which rejects it met first.

    bibsync runs show 17
    """
    config = configuration()
    row, met = context.run(_one(config, number))
    if json:
        found = {"rejects_first_met": len(met), "reject_ids": met, "result": runs.result(row)}
        out_json(runs.document(row) | {"records_changed": row["records_changed"]} | found)
        return
    _tell(row, config.timezone)
    if row["name"] is None:
        _tell_result(row)
    else:
        _tell_counted(row, met)


def _tell(row: Any, zone: tzinfo) -> None:
    """Say what a run was, what stopped it, and how long it took."""
    whose = f"of {printable(row['name'])}, {row['stream']}" if row["name"] else row["stream"]
    out(f"Run {row['run']}{' ' if row['name'] else ', '}{whose}: {_outcome(row)}")
    if problem := runs.problem(row):
        out(printable(f"{problem['message']} [{problem['code']}]"))
        out(printable(problem["remedy"]))
        out()
    out(f"Begun {local(row['started'], zone)} by {row['trigger']}, {printable(row['replica'])}.")
    if row["finished"]:
        took = lasted(_took(row)) + ("" if sys.stdout.isatty() else " s")
        out(f"Ended {local(row['finished'], zone)}, after {took}.")
    if row["caught_up_to"]:
        out(f"Caught up to {local(row['caught_up_to'], zone)}.")


def _tell_counted(row: Any, met: list[int]) -> None:
    """Say what a run of a collection did."""
    out()
    for name in runs.COUNTERS:
        out(f"{name.replace('_', ' '):<12} {row[name]}")
    out()
    if count := row["records_changed"]:
        out(f"{counted(count, 'record')} changed; the version before is kept of each.")
    out(_first_met(met))


def _tell_result(row: Any) -> None:
    """Say what a job came to: what was found, what was counted; JSON has all of it."""
    result = runs.result(row) or {}
    if findings := result.get("findings"):
        out()
        for each in findings:
            whose = f"{each['collection']}: " if each["collection"] else ""
            out(printable(f"{each['state']:<8} {each['check']:<20} {whose}{each['message']}"))
    if numbers := {name: value for name, value in result.items() if isinstance(value, int)}:
        out()
        for name, value in numbers.items():
            out(f"{name.replace('_', ' '):<20} {value}")


async def _listed(config: Config, name: str | None, chosen: dict[str, Any]) -> list[Any]:
    async with context.readable(config) as pool:
        if pool is None:
            return []
        async with store.acquire(pool) as conn:
            number = None if name is None else await context.number_of(conn, config, name)
            return await runs.listed(conn, collection=number, **chosen)


async def _one(config: Config, number: int) -> tuple[Any, list[int]]:
    async with context.readable(config) as pool:
        if pool is not None and 0 < number <= rejects.LAST:
            async with store.acquire(pool) as conn:
                row = await runs.one(conn, number)
                if row is not None:
                    return row, await rejects.first_met_by(conn, row["collection"], number)
        raise NotFound(f"There is no run {number}.", remedy="`bibsync runs list` shows them.")


def _cells(row: Any) -> tuple[object, ...]:
    return (
        row["run"],
        row["name"],
        row["stream"],
        _outcome(row),
        row["trigger"],
        row["started"],
        _took(row),
        row["new"],
        row["changed"],
        row["rejected"],
    )


def _outcome(row: Any) -> str:
    return row["outcome"] or runs.RUNNING


def _took(row: Any) -> timedelta | None:
    finished = row["finished"]
    return finished - row["started"] if finished else None


def _first_met(met: list[int]) -> str:
    """Say which rejects a run met first."""
    if not met:
        return "No reject was met for the first time."
    named = ", ".join(map(str, met[:NAMED])) + (", ..." if len(met) > NAMED else "")
    return f"{counted(len(met), 'reject')} met for the first time: {named}"


def _demand(word: str | None, words: tuple[str, ...], name: str) -> None:
    if word is not None and word not in words:
        raise UsageWrong(f"--{name}: there is no {name} {word!r}; there is: {', '.join(words)}.")
