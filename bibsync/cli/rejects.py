"""bibsync rejects: records that could not be stored."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any

import typer

from bibsync import store
from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import local, out, out_json, printable, say, table, times
from bibsync.config import Config
from bibsync.errors import NotFound, UsageWrong
from bibsync.reject import PLAIN, Reason
from bibsync.run import utc_text
from bibsync.store import rejects

app = typer.Typer(
    no_args_is_help=True, help="Look at records that could not be stored.\n\nbibsync rejects list"
)

PAGE = 500
STATES = ("open", "resolved", "dismissed", "all")


@app.command("list")
def list_(
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this collection only.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For this reason only.")] = None,
    state: Annotated[str, typer.Option(help="open, resolved, dismissed or all.")] = "open",
    json: Json = False,
) -> None:
    """List rejects: which record of which window, and why.

    bibsync rejects list --collection "Springfield cloudLibrary"
    """
    if state not in STATES:
        raise UsageWrong(f"--state: there is no state {state!r}; there is: {', '.join(STATES)}.")
    if reason is not None and reason not in set(Reason):
        raise UsageWrong(f"--reason: there is no reason {reason!r}; see: {', '.join(Reason)}.")
    config = configuration()
    chosen = {"collection": collection, "reason": reason, "state": state}
    count = context.run(_list(config, chosen, json=json))
    if not count and not json:
        say("There are no such rejects.")


@app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="As `rejects list` shows it.")],
    json: Json = False,
) -> None:
    """Show one reject: its place, its reason, and the bytes as the vendor sent them.

    bibsync rejects show 12
    """
    config = configuration()
    row = context.run(_one(config, number))
    document = _document(row)
    if json:
        out_json(document | {"raw_base64": base64.b64encode(row["raw"]).decode()})
        return
    out(f"Reject {number} of {row['collection']}, {row['state']}")
    reason, message = PLAIN.get(row["reason"], row["reason"]), printable(row["message"])
    out(f"The record {message if message.startswith(reason) else f'{reason}: {message}'}.")
    window = f"{document['window_start']} .. {document['window_end']}"
    out(f"Position {row['position']} of the window {window}, run {row['run']}.")
    out(f"First seen {local(row['first_seen'], config.timezone)}, met {times(row['attempts'])}.")
    out()
    out(printable(row["raw"].decode("utf-8", "backslashreplace")))


async def _list(config: Config, chosen: dict[str, Any], *, json: bool) -> int:
    count, rows = 0, []
    async with aclosing(_each(config, chosen)) as found:
        async for row in found:
            count += 1
            if json:
                out_json(_document(row))
            else:
                seen = local(row["first_seen"], config.timezone)
                rows.append((row["id"], row["collection"], row["reason"], seen, row["message"]))
    if rows:
        table(("ID", "COLLECTION", "REASON", "FIRST SEEN", "WHAT"), rows)
    return count


async def _each(config: Config, chosen: dict[str, Any]) -> AsyncGenerator[Any, None]:
    async with context.readable(config) as pool:
        if pool is None:
            return
        async with store.acquire(pool) as conn:
            name = chosen["collection"]
            number = None if name is None else await context.number_of(conn, config, name)
            state = None if chosen["state"] == "all" else chosen["state"]
            after = 0
            while page := await rejects.listed(
                conn,
                collection=number,
                reason=chosen["reason"],
                state=state,
                after=after,
                limit=PAGE,
            ):
                for row in page:
                    yield row
                after = page[-1]["id"]


async def _one(config: Config, number: int) -> Any:
    async with context.readable(config) as pool:
        row = None
        if pool is not None:
            async with store.acquire(pool) as conn:
                with suppress(*store.UNSTORABLE):
                    row = await rejects.one(conn, number)
        if row is None:
            raise NotFound(
                f"There is no reject {number}.", remedy="`bibsync rejects list` shows them."
            )
        return row


def _document(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "collection": row["collection"],
        "run": row["run"],
        "window_start": utc_text(row["window_start"]),
        "window_end": utc_text(row["window_end"]),
        "position": row["position"],
        "reason": row["reason"],
        "message": row["message"],
        "first_seen": utc_text(row["first_seen"]),
        "last_seen": utc_text(row["last_seen"]),
        "attempts": row["attempts"],
        "state": row["state"],
    }
