"""bibsync records export: all records of a collection, in a format that others read.

A record that the format can't hold is left out, told, and kept in MARCXML beside the file, so that
it neither gets lost nor spoils the records behind it.
"""

import sys
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bibsync.cli import completion, context, stored, target
from bibsync.cli.context import configuration
from bibsync.cli.report import counted
from bibsync.cli.stored import Of
from bibsync.cli.target import Write
from bibsync.cli.text import printable, say
from bibsync.config import Config
from bibsync.errors import UsageWrong
from bibsync.exports import FORMATS, Format, Row, Unfit, marcxml
from bibsync.run import PARTLY
from bibsync.settings.moments import moment
from bibsync.store import records

EVER = datetime(1, 1, 1, tzinfo=UTC)
PLAIN = "jsonl"
ENDINGS = {
    **{form.suffix: name for name, form in FORMATS.items()},
    ".ndjson": "jsonl",
    ".marc": "mrc",
    ".marcxml": "marcxml",
    "": PLAIN,
}
"""The format that the ending of a file's name tells."""
TOLD = 20
"""How many records that don't fit are told by name."""


class LeftOut:
    """Records that a format can't hold: told on stderr, and written as MARCXML if there is where.

    `write` is None where there is no file to write them beside.
    """

    def __init__(self, write: Write | None) -> None:
        self.count = 0
        self._write = write

    def add(self, row: Row, unfit: Unfit) -> None:
        """Leave out a record."""
        self.count += 1
        if self.count <= TOLD:
            say(f"left out: {printable(row['control_number'])}: {unfit.reason}")
        if self._write:
            if self.count == 1:
                self._write(marcxml.FORMAT.head)
            self._write(marcxml.FORMAT.one(row))

    def end(self) -> None:
        """Tell how many more there were, and end the file."""
        if self.count > TOLD:
            say(f"left out: {self.count - TOLD} more")
        if self._write and self.count:
            self._write(marcxml.FORMAT.tail)


def export(
    collection: Of,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="jsonl, mrc, marcxml or csv. Left out: as FILE's name ends; jsonl without one.",
            autocompletion=completion.words(*FORMATS),
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Left out, or -: standard output.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Changed or described since: a date, a time, or 7d."),
    ] = None,
) -> None:
    """Write the records of a collection, one at a time, in constant memory.

    bibsync records export --collection "Springfield cloudLibrary" --output records.jsonl

    FILE appears whole, or not at all.

    jsonl: a JSON document a line, with everything that is known of a record.

    marcxml, mrc: the MARC records in UTF-8, a withdrawn one with the status d (leader/05). mrc is
    ISO 2709 and holds at most 9,999 bytes a field and 99,999 a record: a record that doesn't fit is
    left out, named on stderr, and written to NAME.oversize.xml beside NAME.mrc; the exit code is 3
    then.

    csv: for spreadsheets, with a byte order mark so that Excel reads UTF-8. Lists are joined
    by " | ". A cell that a spreadsheet would compute (it begins with = + - @) gets an apostrophe in
    front: programs had better read jsonl.
    """
    output = None if output == target.STDOUT else output
    name = form or _told_by(output)
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageWrong(f"--format: there is no format {name!r}; there is: {known}.")
    if output is None:
        refuse_terminal(name, remedy="Give --output FILE, or another --format.")
    changed = moment(since, name="--since", now=datetime.now(UTC)) or EVER
    config = configuration()
    with target.opened(output) as write, target.beside(output, _aside(output)) as aside:
        left_out = LeftOut(aside)
        work = _export(config, collection, changed, (FORMATS[name], write, left_out))
        count = context.run(work)
        left_out.end()
    if output is not None:
        say(f"{counted(count, 'record')} written to {printable(str(output))} ({name}).")
    if left_out.count:
        say(_summary(left_out.count, name, output if aside else None))
        raise typer.Exit(PARTLY)


def refuse_terminal(name: str, *, remedy: str) -> None:
    """Don't write a binary format to stdout where that is a terminal.

    Raises:
        UsageWrong: that would be done.
    """
    if FORMATS[name].binary and sys.stdout.isatty():
        raise UsageWrong(f"{name} is binary, and no terminal can show it.", remedy=remedy)


async def _export(
    config: Config, collection: str, since: datetime, way: tuple[Format, Write, LeftOut]
) -> int:
    form, write, left_out = way
    count = 0
    async with stored.reading(config, collection) as found:
        write(form.head)
        if found:
            async with aclosing(records.each(*found, since)) as rows:
                async for row in rows:
                    try:
                        piece = form.one(row)
                    except Unfit as unfit:
                        left_out.add(row, unfit)
                        continue
                    write(piece)
                    count += 1
        write(form.tail)
    return count


def _told_by(output: Path | None) -> str:
    """Return the format that the file's name tells.

    Raises:
        UsageWrong: its ending is one that nobody knows.
    """
    ending = output.suffix if output else ""
    if ending.lower() not in ENDINGS:
        raise UsageWrong(
            f"--output: the ending {printable(ending)} tells no format.",
            remedy=f"Give --format too: {', '.join(FORMATS)}.",
        )
    return ENDINGS[ending.lower()]


def _aside(output: Path | None) -> str:
    """Return the name of the file beside `output`: NAME.oversize.xml for NAME and NAME.mrc."""
    return f"{output.name.removesuffix(FORMATS['mrc'].suffix)}.oversize.xml" if output else ""


def _summary(count: int, name: str, output: Path | None) -> str:
    records_ = "1 record doesn't fit" if count == 1 else f"{count} records don't fit"
    place = f"left out; see {output.with_name(_aside(output))}" if output else "left out"
    return f"{records_} into {name} and {'is' if count == 1 else 'are'} {place}."
