"""bibsync schedule: when jobs are due, looked at and changed while the daemon runs."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from bibsync import store, timetable
from bibsync.cli import completion, context
from bibsync.cli.context import Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import local, out, out_json, printable, say, table
from bibsync.config import Config
from bibsync.errors import UsageWrong
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.store import Connection, schedules

app = typer.Typer(
    no_args_is_help=True, help="Look at schedules and change them.\n\nbibsync schedule list"
)

COLUMNS = ("SCHEDULE", "JOB", "DUE", "ZONE", "LAST FIRED", "OUTCOME", "NEXT DUE", "ORIGIN")
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `schedule list` shows it.")]
Result = TypeVar("Result")


@app.command("list", short_help="List schedules, with what comes next.")
def list_(
    times: Annotated[
        bool, typer.Option("--times", help="Show the next five times of each.")
    ] = False,
    json: Json = False,
) -> None:
    """List schedules: what they start, when they last fired and are due next.

    bibsync schedule list --times
    """
    config = configuration()
    documents = context.run(_listed(config))
    if json:
        for each in documents:
            out_json(each)
        return
    table(COLUMNS, map(_cells, documents), zone=config.timezone)
    for each in documents:
        if times:
            _show_times(each, config)
        if each["collections"]:
            say(printable(_told_whose(each)))
        if each["origin"] == "edited":
            say(printable(_told_edited(each)))


@app.command("set", short_help="Change a schedule, or make one.")
def set_(
    name: Name,
    job: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help=f"What it starts: {', '.join(JOBS_KNOWN)}.",
            autocompletion=completion.words(*JOBS_KNOWN),
        ),
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(metavar="LINE", help='Five fields, "0 4 * * *", or @daily and its like.'),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Once, at a date and time of its zone."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Europe/Berlin; its times are read there.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not begun so long after its time: dropped.")
    ] = None,
    jitter: Annotated[
        str | None, typer.Option(metavar="TIME", help="Spread the collections over so long.")
    ] = None,
    catch_up: Annotated[
        bool | None,
        typer.Option("--catch-up/--no-catch-up", help="Fire once, late, when times were missed."),
    ] = None,
    retries: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="So often again after a passing failure.")
    ] = None,
    retry_delay: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long to wait before each.")
    ] = None,
    keep_results: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long its results are kept.")
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Of this collection only; may be given several times.",
            autocompletion=completion.collections,
        ),
    ] = None,
) -> None:
    """Change a schedule, or make one: what isn't named stays as it is.

    bibsync schedule set purchases --cron "30 2 * * *" --timezone Europe/Berlin

    bibsync schedule set tonight --job snapshot --at 2026-12-24T22:00

    In force within 5 s on every replica, from its next time on. The configuration's own word is
    kept beside it; `schedule reset` returns to that.
    """
    given: dict[str, object] = {
        "job": job,
        "cron": cron,
        "at": at,
        "timezone": timezone,
        "expires": expires,
        "jitter": jitter,
        "catch_up": catch_up,
        "retries": retries,
        "retry_delay": retry_delay,
        "keep_results": keep_results,
        "collections": collection,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise UsageWrong("schedule set needs something to set.")
    _edit(name, changes)


@app.command(short_help="Let a schedule fire again.")
def enable(name: Name) -> None:
    """Let a disabled schedule fire again, from its next time on.

    bibsync schedule enable purchases
    """
    _edit(name, {"enabled": True})


@app.command(short_help="Let a schedule rest.")
def disable(name: Name) -> None:
    """Let a schedule rest until it is enabled again; what it has begun goes on.

    bibsync schedule disable metadata
    """
    _edit(name, {"enabled": False})


@app.command(short_help="Fire a schedule now, beside its times.")
def run(name: Name, json: Json = False) -> None:
    """Fire a schedule now, beside its times, also a disabled one; a daemon does the work.

    bibsync schedule run purchases
    """

    async def fire(conn: Connection, _: Config) -> tuple[int, list[int]]:
        return await timetable.fire_now(conn, name, trigger="person", by=context.person())

    firing, requests = _changed(fire)
    if json:
        out_json({"schedule": name, "firing": firing, "requests": requests})
        return
    out(printable(f"{name} has fired: {counted(len(requests), 'request')}."))
    say("A daemon does them; see: bibsync runs list")


@app.command(short_help="Return to what the configuration says.")
def reset(name: Name) -> None:
    """Return a schedule to what the configuration says; one that it doesn't have is deleted.

    bibsync schedule reset purchases
    """

    async def back(conn: Connection, config: Config) -> bool:
        return await timetable.reset(conn, name, config)

    if not _changed(back):
        out(printable(f"{name} is gone: the configuration doesn't have it."))
        return
    _show_one(name)


def _edit(name: str, changes: dict[str, object]) -> None:
    async def edit(conn: Connection, config: Config) -> None:
        await timetable.edit(conn, name, changes, config=config, by=context.person())

    _changed(edit)
    _show_one(name)


def _changed(change: Callable[[Connection, Config], Awaitable[Result]]) -> Result:
    """Make a change in one transaction, the timetable being there."""
    config = configuration()

    async def write() -> Result:
        async with (
            context.writable(config) as pool,
            store.acquire(pool) as conn,
            conn.transaction(),
        ):
            await timetable.seed(conn, config)
            return await change(conn, config)

    return context.run(write())


async def _listed(config: Config) -> list[dict[str, Any]]:
    async with context.readable(config) as pool:
        if pool is None:
            now = datetime.now(UTC)
            return timetable.documents(timetable.expected([], config, now), now)
        async with store.acquire(pool) as conn:
            rows, now = await schedules.all_rows(conn), await schedules.now(conn)
            return timetable.documents(timetable.expected(rows, config, now), now)


def _show_one(name: str) -> None:
    config = configuration(warned=False)
    [document] = [each for each in context.run(_listed(config)) if each["name"] == name]
    out(printable(f"{name}: {_due(document)}, {document['timezone']}."))
    _show_times(document, config)
    if document["collections"]:
        say(printable(_told_whose(document)))


def _show_times(document: dict[str, Any], config: Config) -> None:
    for number, text in enumerate(document["next_times"]):
        at = datetime.fromisoformat(text)
        out(
            printable(
                f"  {document['name'] if not number else '':<12} {local(at, config.timezone)}"
            )
        )


def _due(document: dict[str, Any]) -> str:
    return document["words"] if document["enabled"] else f"disabled ({document['words']})"


def _cells(document: dict[str, Any]) -> tuple[object, ...]:
    last, following = document["last_fired"], document["next_due"]
    return (
        document["name"],
        document["job"],
        _due(document),
        document["timezone"],
        datetime.fromisoformat(last) if last else None,
        document["last_outcome"],
        datetime.fromisoformat(following) if following else None,
        document["origin"],
    )


def _told_whose(document: dict[str, Any]) -> str:
    """Say which collections a schedule is about, where not about all."""
    return f"{document['name']} is about {_said(document['collections'])} only."


def _told_edited(document: dict[str, Any]) -> str:
    """Say who edited a schedule, and what the configuration says instead."""
    name, by = document["name"], document["edited_by"]
    if not document["in_configuration"]:
        return f"{name} was made by {by}; the configuration doesn't have it."
    said = ", ".join(f"{key} {_said(value)}" for key, value in document["configured"].items())
    return f"{name} was edited by {by}; the configuration says {said}."


def _said(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, list):
        return ", ".join(f'"{each}"' for each in value) or "all"
    return str(value).lower() if isinstance(value, bool) else str(value)
