"""bibsync resume: let paused collections go on."""

from typing import Annotated

import typer

from bibsync import store
from bibsync.cli import context, pause
from bibsync.cli.context import Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import out, out_json, printable, say
from bibsync.config import Config
from bibsync.store import collections, pauses


def resume(
    collection: pause.Named = None,
    every: pause.Every = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; it is told with what was done.")
    ] = None,
    json: Json = False,
) -> None:
    """Let paused collections go on: with the next run, the scheduled one or yours.

    bibsync resume --collection "Springfield cloudLibrary"

    bibsync resume --all
    """
    config = configuration()
    chosen = pause.demanded(config, collection, every=every, command="resume")
    pause.demand_line(reason)
    names = context.run(_resume(config, chosen))
    if json:
        for name in names:
            out_json({"collection": name, "paused": False, "reason": reason})
        return
    for name in names:
        out(printable(f"{name} goes on with its next run{f': {reason}' if reason else '.'}"))
    if left := len(chosen) - len(names):
        verb = "was" if left == 1 else "were"
        say(f"{counted(left, 'collection')} {verb} not paused.")


async def _resume(config: Config, chosen: list[str]) -> list[str]:
    async with (
        context.writable(config) as pool,
        store.acquire(pool) as conn,
        conn.transaction(),
    ):
        numbers = await collections.enrol(conn, config.collections)
        return await pauses.resume(conn, [numbers[name] for name in chosen])
