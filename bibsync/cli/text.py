"""How the command line speaks: data to stdout, everything else to stderr.

A terminal is shown tables, times of the configured zone and lengths in words; through a pipe go
tabs, UTC and seconds.

Whoever reads our output may go (`head -1`), and the disk behind it may be full: `ReaderGone` and
`NotWritten` say which, so that neither is mistaken for trouble of the database.
"""

import codecs
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

import orjson
from rich.console import Console

from bibsync.cli import ruled
from bibsync.errors import NotWritten
from bibsync.run import utc_text
from bibsync.window import Window

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
UNKNOWN = "-"


class ReaderGone(Exception):
    """Whoever read our output wants no more of it."""


@contextmanager
def writing(where: str = "The output") -> Iterator[None]:
    """Write inside the block.

    Raises:
        ReaderGone: nobody reads any more.
        NotWritten: it can't be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise NotWritten(f"{where} can't be written: {reason}.", why=error.errno) from None


def say(sentence: str) -> None:
    """Tell a person something, on stderr."""
    with suppress(OSError):  # there is nobody to tell that nobody can be told
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()


def out(line: str = "") -> None:
    """Write a line of data to stdout."""
    with writing():
        sys.stdout.write(line + "\n")


def out_json(document: Mapping[str, object]) -> None:
    """Write a document as one line of JSON to stdout; what isn't printable is escaped in it."""
    line = orjson.dumps(document, default=_plain).decode()
    plain = str.isprintable if _takes_any_text() else _is_plain
    if not plain(line):
        line = "".join(c if plain(c) else json.dumps(c)[1:-1] for c in line)
    out(line)
    flush()


def flush() -> None:
    """Send off what was written to stdout."""
    with writing():
        sys.stdout.flush()


def hush() -> None:
    """Let what stdout still holds go nowhere: its reader has gone, or its disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(columns: Iterable[str], rows: Iterable[Iterable[object]], *, zone: tzinfo = UTC) -> None:
    """Write a table to stdout: ruled on a terminal, tab-separated elsewhere.

    Cells are text, numbers, and None for what isn't known; moments, which a terminal shows in
    `zone` and others get in UTC; lengths of time, which others get in seconds; windows, in UTC.
    """
    if not sys.stdout.isatty():
        for row in rows:
            out("\t".join(_cell(value) for value in row))
        return
    by_row, headings = [tuple(row) for row in rows], tuple(columns)
    by_column = [[row[n] for row in by_row] for n in range(len(headings))]
    laid_out = [_column(*each, zone) for each in zip(headings, by_column, strict=True)]
    with writing():
        ruled.show(laid_out, Console(markup=False, emoji=False, highlight=False))


def local(at: datetime | None, zone: tzinfo) -> str:
    """Write a moment: for people in the configured zone, through a pipe in UTC."""
    if at is None or not sys.stdout.isatty():
        return utc_text(at) or UNKNOWN
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def lasted(length: timedelta | None) -> str:
    """Write a length of time: for people in words, through a pipe in whole seconds."""
    if length is None:
        return UNKNOWN
    seconds = int(length.total_seconds())
    return lasting(seconds) if sys.stdout.isatty() else str(seconds)


def lasting(seconds: float | None) -> str:
    """Write a length of time for people, in its two largest units."""
    if seconds is None:
        return UNKNOWN
    words: list[str] = []
    left = int(seconds)
    for unit, size in reversed(UNITS.items()):
        if left >= size or (unit == "s" and not words):
            words.append(f"{left // size} {unit}")
            left %= size
        if len(words) == 2:  # noqa: PLR2004 - two units are enough
            break
    return " ".join(words)


def times(count: int) -> str:
    """Write how often something happened, for people."""
    return "once" if count == 1 else f"{count} times"


def printable(text: str) -> str:
    """Make vendor's text safe for a terminal: control characters become visible escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def _column(heading: str, values: Sequence[object], zone: tzinfo) -> ruled.Column:
    """Return a column for a terminal, the zone of its moments behind its heading."""
    known = [value for value in values if value not in {None, UNKNOWN}]
    moments = [value for value in known if isinstance(value, datetime)]
    zones = sorted({f"{each.astimezone(zone):%Z}" for each in moments})
    if any(isinstance(value, Window) for value in known):
        zones = ["UTC"]
    kind: Literal["text", "number", "fixed"] = "text"
    if all(isinstance(value, int | float) for value in known):
        kind = "number"
    elif all(isinstance(value, datetime | timedelta | Window) for value in known):
        kind = "fixed"
    named = f"{heading} ({'/'.join(zones)})" if zones else heading
    return ruled.Column(named, [_shown(value, zone) for value in values], kind)


def _shown(value: object, zone: tzinfo) -> str:
    """Write a value for a terminal."""
    match value:
        case datetime():
            return f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
        case Window(start=start, end=end):
            whole = not any((at.hour, at.minute, at.second) != (0, 0, 0) for at in (start, end))
            form = "%Y-%m-%d" if whole else "%Y-%m-%d %H:%M"
            return f"{start:{form}} .. {end:{form}}"
    return _cell(value)


def _cell(value: object) -> str:
    """Write a value so that it stays within its line and its column."""
    match value:
        case None:
            return UNKNOWN
        case datetime():
            return utc_text(value) or UNKNOWN
        case timedelta():
            return lasted(value)
        case Window(start=start, end=end):
            return f"{utc_text(start)} .. {utc_text(end)}"
    return "".join(c if c.isprintable() else _escape(c) for c in str(value))


def _takes_any_text() -> bool:
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)
