"""The command line: one module per noun, no logic of its own.

Here the commands are gathered and errors become exit codes: one plain sentence with a remedy and a
code on stderr, a traceback only with --debug. Only the command that was called is loaded: one that
reads the database doesn't wait for what speaks to vendors.
"""

import asyncio
import errno
import os
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Final

import typer

from bibsync.cli import misuse
from bibsync.cli.context import DEBUG, HOISTED, Interrupted, hoisted, opening
from bibsync.cli.text import ReaderGone, flush, hush, say
from bibsync.errors import BibsyncError, ConfigInvalid, NotWritten, UsageWrong

UNEXPECTED = 1
INTERRUPTED = 130

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "Sync three made-up libraries.",
    "init": "Write a commented configuration.",
    "config": "Check and show the configuration.",
    "doctor": "Check all that a run needs.",
    "daemon": "Keep every collection in step: the service.",
    "run-once": "Sync collections now.",
    "backfill": "Read a stretch of the past again.",
    "schedule": "Look at schedules, change them.",
    "pause": "Leave collections alone for a while.",
    "resume": "Let paused collections go on.",
    "status": "Show how every collection stands.",
    "runs": "Look at what was run.",
    "collections": "List, rename or forget collections.",
    "records": "Look at records and hand them on.",
    "rejects": "Look at what can't be stored, settle it.",
    "stats": "Count records, and what was done.",
    "snapshots": "Look at daily figures, take past days.",
    "cleanup": "Delete what needn't be kept any longer.",
    "notify": "Test who is told of problems.",
    "db": "Look after the database's schema.",
    "simulate": "Serve a made-up cloudLibrary.",
}
"""What the list of commands says of each, 45 letters at most: longer lines are cut in two.

Each is a module of this package, which holds either the command itself, a function of the same
name, or the commands of a noun, `app`.
"""
COMPLETING = "_BIBSYNC_COMPLETE"


def app(*names: str) -> typer.Typer:
    """Return the command line with these commands, all of them where none is named."""
    made = typer.Typer(
        name="bibsync",
        callback=opening,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    for name in names or COMMANDS:
        function = name.replace("-", "_")
        module = import_module(f"{__name__}.{function}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name, short_help=COMMANDS[name])
        else:
            made.command(name, short_help=COMMANDS[name])(getattr(module, function))
    return made


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing but a defect leaves a traceback."""
    try:
        try:
            words = hoisted(arguments)
            code = _carried_out(words)
        finally:
            flush()
    except SystemExit as end:
        if isinstance(end.__context__, OSError):  # so typer ends where nobody reads its help
            return _ended_by(end.__context__)
        return end.code if isinstance(end.code, int) else UNEXPECTED
    except BaseException as error:  # noqa: BLE001 - the last catcher: everything has an exit code
        return _ended_by(error)
    return code


def _carried_out(words: list[str]) -> int:
    """Carry out what the words say, and return the exit code.

    Raises:
        UsageWrong: they have no meaning.
    """
    command = typer.main.get_command(app(*_called(words)))
    try:
        code = command.main(words, prog_name="bibsync", standalone_mode=False)
    except misuse.FOUND as error:
        if misuse.asks_for_help(error):
            say(str(error))
            return UsageWrong.exit_code
        raise misuse.told(error, command, words) from None
    return code if isinstance(code, int) else 0


def _called(words: list[str]) -> tuple[str, ...]:
    """Return the command that is called; nothing where that is for typer to say."""
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in HOISTED:
            return (word,) if word in COMMANDS and COMPLETING not in os.environ else ()
        for _ in range(0 if equals else HOISTED[name]):
            next(rest, None)
    return ()


def _ended_by(error: BaseException) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # typer's own words: the help
        reason = os.strerror(errno.ENOSPC)
        error = NotWritten(f"The output can't be written: {reason}.", why=errno.ENOSPC)
    match error:
        case NotWritten():
            hush()
            return _failed(error)
        case BibsyncError():
            return _failed(error)
        case Interrupted():
            say(error.sentence)
            return error.exit_code
        case KeyboardInterrupt() | asyncio.CancelledError():
            return INTERRUPTED
        case ReaderGone() | BrokenPipeError():
            hush()
            return 0
    return _defect(error)


def _failed(error: BibsyncError) -> int:
    if isinstance(error, ConfigInvalid):
        for problem in error.problems:
            say(problem)
        count = len(error.problems)
        say(f"{count} problem{'s' if count != 1 else ''}. Nothing was started or changed.")
        say(error.remedy)
    else:
        say(f"error: {error.message} [{error.code}]")
        say(f"       {error.remedy}")
    if DEBUG.on:
        traceback.print_exception(error)
    return error.exit_code


def _defect(error: BaseException) -> int:
    say(f"error: unexpected {type(error).__name__} [unexpected]")
    say("       This is a defect of bibsync. Run again with --debug and report what it prints.")
    if DEBUG.on:
        traceback.print_exception(error)
    return UNEXPECTED
