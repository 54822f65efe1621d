"""Where an export goes: stdout, or a file that appears whole under its name, or not at all."""

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bibsync.cli.text import flush, printable, writing

Write = Callable[[bytes], None]

STDOUT = Path("-")


@contextmanager
def opened(output: Path | None) -> Iterator[Write]:
    """Give the way to write to `output`; None is stdout.

    What exists and is no file, but a device or a pipe, is written to as it is.

    Raises:
        ReaderGone, NotWritten: it can't be written.
    """
    if output is None:
        yield _for_terminal if sys.stdout.isatty() else _guarded(sys.stdout.buffer, "The output")
        flush()
    elif _is_whole(output):
        with _whole(output) as (write, finish):
            yield write
            finish()
    else:
        with writing(str(output)):
            file = output.open("wb")
        try:
            yield _guarded(file, str(output))
            with writing(str(output)):
                file.flush()
        finally:
            with suppress(OSError):
                file.close()


@contextmanager
def beside(output: Path | None, name: str) -> Iterator[Write | None]:
    """Give the way to write to a second file beside `output`, None where that is no file.

    If nothing is written, there is no such file afterwards: one of an earlier export would belong
    to records that are no longer these.

    Raises:
        NotWritten: it can't be written.
    """
    if output is None or not _is_whole(output):
        yield None
        return
    place = output.with_name(name)
    used = False
    with _whole(place) as (write, finish):

        def noted(piece: bytes) -> None:
            nonlocal used
            used = True
            write(piece)

        yield noted
        if used:
            finish()
        else:
            with writing(str(place)):
                place.unlink(missing_ok=True)


def _is_whole(output: Path) -> bool:
    with writing(str(output)):
        return output.is_file() or not output.exists()


@contextmanager
def _whole(output: Path) -> Iterator[tuple[Write, Callable[[], None]]]:
    """Give the way to write to a file, and what gives it its name once all is written."""
    where = str(output)
    with writing(where):
        output = output.resolve()
        part = output.with_name(f".{output.name}.{os.getpid()}.part")
        file = part.open("wb")

    def finish() -> None:
        with writing(where):
            file.flush()
            os.fsync(file.fileno())
            part.replace(output)

    try:
        yield _guarded(file, where), finish
    finally:
        with suppress(OSError):
            file.close()
        part.unlink(missing_ok=True)


def _guarded(file: BinaryIO, where: str) -> Write:
    def write(piece: bytes) -> None:
        with writing(where):
            file.write(piece)

    return write


def _for_terminal(piece: bytes) -> None:
    """Write text to a terminal, without what only files need and only terminals obey."""
    text = piece.removeprefix(codecs.BOM_UTF8).decode().replace("\r\n", "\n")
    with writing():
        sys.stdout.write(printable(text))
