"""bibsync pause: leave collections alone until a time, or until they are resumed."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bibsync import store
from bibsync.cli import completion, context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import local, out, out_json, printable, say
from bibsync.config import Config
from bibsync.errors import UsageWrong
from bibsync.run import utc_text
from bibsync.settings.moments import span
from bibsync.store import collections, pauses

Named = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="This collection; may be given several times.",
        autocompletion=completion.collections,
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Every collection of the configuration.")]


def pause(
    collection: Named = None,
    every: Every = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; status and refused runs show it.")
    ] = None,
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Only so long: 90s, 5m, 6h, 7d."),
    ] = None,
    json: Json = False,
) -> None:
    """Pause collections: nothing of them is asked until they are resumed, or the time is over.

    bibsync pause --collection "Springfield cloudLibrary" --for 6h --reason "vendor maintenance"

    bibsync pause --all

    A run under way, of whatever process, stops behind the page in flight; what was stored stays.
    """
    config = configuration()
    chosen = demanded(config, collection, every=every, command="pause")
    demand_line(reason)
    until = datetime.now(UTC) + span(lasting, name="--for") if lasting else None
    names = context.run(_pause(config, chosen, until, reason))
    if json:
        for name in names:
            out_json({"collection": name, "paused": True, "until": utc_text(until)})
        return
    ends = f"until {local(until, config.timezone)}" if until else "until it is resumed"
    for name in names:
        out(printable(f"{name} is paused {ends}."))
    say(f"Let {'it' if len(names) == 1 else 'them'} go on before: bibsync resume")


def demand_line(reason: str | None) -> None:
    """Refuse a reason that is more than a line.

    Raises:
        UsageWrong: it is.
    """
    if reason is not None and (not reason.isprintable() or len(reason) > pauses.LONGEST):
        raise UsageWrong(f"--reason is one line of text, at most {pauses.LONGEST} letters.")


def demanded(config: Config, names: list[str] | None, *, every: bool, command: str) -> list[str]:
    """Return the names of the collections that the options mean.

    Raises:
        UsageWrong: both options, or none.
        NotFound: a name stands nowhere in the configuration.
    """
    if bool(names) == every:
        raise UsageWrong(f"{command} needs either --collection NAME or --all.")
    return [each.name for each in config.chosen(names)]


async def _pause(
    config: Config, chosen: list[str], until: datetime | None, reason: str | None
) -> list[str]:
    async with (
        context.writable(config) as pool,
        store.acquire(pool) as conn,
        conn.transaction(),
    ):
        numbers = await collections.enrol(conn, config.collections)
        meant = [numbers[name] for name in chosen]
        return await pauses.pause(conn, meant, until=until, reason=reason, by=context.person())
