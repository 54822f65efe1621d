"""bibsync records: the records that are stored."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from bibsync import store
from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import flush, local, moment, out, out_json, printable, say, writing
from bibsync.config import Config
from bibsync.errors import NotFound, UsageWrong
from bibsync.exports import jsonl, mnemonic
from bibsync.store import records

app = typer.Typer(
    no_args_is_help=True,
    help='Look at records and hand them on.\n\nbibsync records export --collection "Springfield"',
)

FORMATS = ("jsonl",)
EVER = datetime(1, 1, 1, tzinfo=UTC)

Write = Callable[[bytes], None]

Of = Annotated[str, typer.Option("--collection", metavar="NAME", help="Of this collection.")]


@app.command()
def show(
    control_number: Annotated[str, typer.Argument(help="Field 001 of the record.")],
    collection: Of,
    json: Json = False,
) -> None:
    """Show one record as it is stored, field by field.

    bibsync records show ehasb89 --collection "Springfield cloudLibrary"
    """
    config = configuration()
    row = context.run(_one(config, collection, control_number))
    if json:
        out_json(jsonl.document(row))
        return
    out(f"{row['collection_name']}, {row['control_number']}, version {row['version']}")
    for word, at in (
        ("first seen", row["first_seen"]),
        ("last changed", row["last_changed"]),
        ("last seen", row["last_seen"]),
    ):
        out(f"{word} {local(at, config.timezone)}")
    if row["repairs"]:
        out(f"repaired: {', '.join(row['repairs'])}")
    out()
    out(printable(mnemonic.text(row)))


@app.command()
def export(
    collection: Of,
    form: Annotated[str, typer.Option("--format", help="jsonl")] = "jsonl",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Left out: standard output.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Changed since: a date, a time, or 7d.")
    ] = None,
) -> None:
    """Write the records of a collection, one at a time, in constant memory.

    bibsync records export --collection "Springfield cloudLibrary" --output records.jsonl
    """
    if form not in FORMATS:
        raise UsageWrong(f"--format: there is no format {form!r}; there is: {', '.join(FORMATS)}.")
    changed = moment(since, name="--since", now=datetime.now(UTC)) or EVER
    config = configuration()
    with _target(output) as write:
        count = context.run(_export(config, collection, changed, write))
    if output is not None:
        say(f"{count} records written to {output}.")


async def _one(config: Config, collection: str, control_number: str) -> Any:
    async with context.readable(config) as pool:
        row = None
        if pool is not None:
            async with store.acquire(pool) as conn:
                number = await context.number_of(conn, config, collection)
                with suppress(*store.UNSTORABLE):
                    row = await records.one(conn, number, control_number.strip())
        if row is None:
            raise NotFound(
                f'There is no record "{control_number}" in "{collection}".',
                remedy="`bibsync records export` writes all there are.",
            )
        return row


async def _export(config: Config, collection: str, since: datetime, write: Write) -> int:
    count = 0
    async with context.readable(config) as pool:
        if pool is None:
            return count
        async with store.acquire(pool) as conn:
            number = await context.number_of(conn, config, collection)
            async with aclosing(records.each(conn, number, since)) as rows:
                async for row in rows:
                    write(jsonl.line(row))
                    count += 1
    return count


@contextmanager
def _target(output: Path | None) -> Iterator[Write]:
    """Give the way to write; a file that is named appears whole under its name, or not at all.

    What exists and is no file, but a device or a pipe, is written to as it is.

    Raises:
        ReaderGone, NotWritten: it can't be written.
    """
    if output is None:
        yield _guarded(sys.stdout.buffer, "The output")
        flush()
        return
    where = str(output)
    with writing(where):
        output = output.resolve()
        whole = output.is_file() or not output.exists()
        part = output.with_name(f".{output.name}.{os.getpid()}.part") if whole else output
        file = part.open("wb")
    try:
        yield _guarded(file, where)
        with writing(where):
            file.flush()
            if whole:
                os.fsync(file.fileno())
                part.replace(output)
    finally:
        with suppress(OSError):
            file.close()
        if whole:
            part.unlink(missing_ok=True)


def _guarded(file: BinaryIO, where: str) -> Write:
    def write(line: bytes) -> None:
        with writing(where):
            file.write(line)

    return write
