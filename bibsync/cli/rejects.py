"""bibsync rejects: records that could not be stored."""

import base64
import re
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Annotated, Any

import orjson
import typer

from bibsync import store
from bibsync.cli import completion, context, settling
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import (
    flush,
    local,
    out,
    out_json,
    printable,
    say,
    table,
    times,
    writing,
)
from bibsync.config import Config
from bibsync.errors import NotFound, UsageWrong
from bibsync.exports import mnemonic
from bibsync.marc import to_xml
from bibsync.marc.reader import legible
from bibsync.run import utc_text
from bibsync.store import rejects
from bibsync.window import Window

app = typer.Typer(
    no_args_is_help=True,
    help="Look at records that could not be stored, and settle them.\n\nbibsync rejects list",
)

PAGE = 500
STATES = ("open", "resolved", "dismissed", "all")

FORMATS = ("mnemonic", "marcxml", "hex", "raw")
ROOT = '<record xmlns="http://www.loc.gov/MARC21/slim">'
LINE = re.compile("<(leader|controlfield|/?datafield|subfield|/record)(?=[ >])")
INDENT = {
    "leader": "  ",
    "controlfield": "  ",
    "datafield": "  ",
    "/datafield": "  ",
    "subfield": "    ",
    "/record": "",
}
"""How far a line that begins with this tag of MARCXML is moved to the right."""
ROW = 16
"""Bytes in a line of hex."""


@app.command("list", short_help="List rejects: which record, and why.")
def list_(
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of this collection only.", autocompletion=completion.collections
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="For this reason only.")
    ] = None,
    state: Annotated[
        str,
        typer.Option(
            metavar="STATE",
            help="open, resolved, dismissed or all.",
            autocompletion=completion.words(*STATES),
        ),
    ] = "open",
    json: Json = False,
) -> None:
    """List rejects: which record of which window, and why.

    bibsync rejects list --collection "Springfield cloudLibrary"
    """
    if state not in STATES:
        raise UsageWrong(f"--state: there is no state {state!r}; there is: {', '.join(STATES)}.")
    settling.demand_reason(reason)
    config = configuration()
    chosen = {"collection": collection, "reason": reason, "state": state}
    count = context.run(_list(config, chosen, json=json))
    if not count and not json:
        plain = state == "open" and collection is None and reason is None
        say(f"There are no {'open' if plain else 'such'} rejects.")


@app.command(short_help="Show one reject and its bytes.")
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="As `rejects list` shows it.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}; left out: mnemonic, else as it is.",
            autocompletion=completion.words(*FORMATS),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show one reject: its place, its reason, and the record as far as it can be read.

    bibsync rejects show 12

    bibsync rejects show 12 --format raw > 12.xml

    raw is the bytes as the vendor sent them; on a terminal their control characters are escaped.
    """
    if form is not None and form not in FORMATS:
        there = ", ".join(FORMATS)
        raise UsageWrong(f"--format: there is no format {form!r}; there is: {there}.")
    if form is not None and json:
        raise UsageWrong("--json shows everything already; it goes without --format.")
    config = configuration()
    row = context.run(_one(config, number))
    marc = legible(row["raw"])
    if json:
        _show_json(row, marc)
    elif form is None:
        _show_place(row, config)
        out(printable(mnemonic.text({"marc": marc}) if marc else _plain(row["raw"])))
        if marc is None:
            say("It can't be read as MARC; this is what the vendor sent.")
    elif form == "raw":
        _show_raw(row["raw"])
    elif form == "hex":
        for line in _hex(row["raw"]):
            out(line)
    elif marc is None:
        raise UsageWrong(
            f"Reject {number} can't be read as MARC, so it can't be shown as {form}.",
            remedy=f"Look at its bytes: bibsync rejects show {number} --format raw",
        )
    else:
        _show_text(mnemonic.text({"marc": marc}) if form == "mnemonic" else _indented(marc))


app.command(short_help="Read rejects again with today's reader.")(settling.retry)
app.command(short_help="Dismiss rejects that need no look.")(settling.dismiss)


async def _list(config: Config, chosen: dict[str, Any], *, json: bool) -> int:
    count, rows = 0, []
    async with aclosing(_each(config, chosen)) as found:
        async for row in found:
            count += 1
            if json:
                out_json(rejects.document(row))
            else:
                rows.append(_cells(row))
    if rows:
        table(("ID", "COLLECTION", "WINDOW", "POSITION", "REASON", "WHAT"), rows)
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


def _show_place(row: Any, config: Config) -> None:
    """Say of a reject where it was met and why it was set aside."""
    out(f"Reject {row['id']} of {printable(row['collection'])}, {row['state']}")
    out(printable(row["message"]))
    window = f"{utc_text(row['window_start'])} .. {utc_text(row['window_end'])}"
    out(f"Position {row['position']} of the window {window}, run {row['run']}.")
    out(f"First seen {local(row['first_seen'], config.timezone)}, met {times(row['attempts'])}.")
    out()


def _cells(row: Any) -> tuple[object, ...]:
    window = Window(row["window_start"], row["window_end"])
    return row["id"], row["collection"], window, row["position"], row["reason"], row["message"]


def _show_json(row: Any, marc: bytes | None) -> None:
    raw = {"raw_base64": base64.b64encode(row["raw"]).decode()}
    out_json(rejects.document(row) | raw | {"marc": orjson.loads(marc) if marc else None})


def _show_text(text: str) -> None:
    out(printable(text) if sys.stdout.isatty() else text)


def _show_raw(raw: bytes) -> None:
    if sys.stdout.isatty():
        _show_text(_plain(raw))
        return
    with writing():
        sys.stdout.buffer.write(raw)
    flush()


def _plain(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _hex(raw: bytes) -> Iterator[str]:
    """Yield lines of an offset, the bytes in pairs, and what of them is printable ASCII."""
    for at in range(0, len(raw), ROW):
        row = raw[at : at + ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004 - the bounds of ASCII
        yield f"{at:08x}: {row.hex(' ', -2):<39}  {text}"


def _indented(marc: bytes) -> str:
    """Write MARCXML, an element a line; the text in it holds no tag, so tags can be searched."""
    element = to_xml(marc, prefix="").decode().replace("<record>", ROOT, 1)
    return LINE.sub(lambda tag: "\n" + INDENT[tag[1]] + tag[0], element)
