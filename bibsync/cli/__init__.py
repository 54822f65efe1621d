"""The command line: one module per noun, no logic of its own.

Here the commands are gathered and errors become exit codes: one plain sentence with a remedy and a
code on stderr, a traceback only with --debug. Only the command that was called is loaded: one that
reads the database doesn't wait for what speaks to vendors.
"""

import asyncio
import os
import traceback
from importlib import import_module

import typer

from bibsync.cli.context import DEBUG, HOISTED, Interrupted, hoisted, opening
from bibsync.cli.text import ReaderGone, flush, hush, say
from bibsync.errors import BibsyncError, ConfigInvalid, NotWritten

UNEXPECTED = 1
INTERRUPTED = 130

COMMANDS = (
    "demo",
    "init",
    "config",
    "doctor",
    "run-once",
    "backfill",
    "status",
    "runs",
    "collections",
    "records",
    "rejects",
    "db",
    "simulate",
)
"""Each is a module of this package, which holds either the command itself, a function of the same
name, or the commands of a noun, `app`."""
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
            made.add_typer(module.app, name=name)
        else:
            made.command(name)(getattr(module, function))
    return made


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing but a defect leaves a traceback."""
    try:
        try:
            words = hoisted(arguments)
            app(*_called(words))(words, prog_name="bibsync")
        finally:
            flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else UNEXPECTED
    except BaseException as error:  # noqa: BLE001 - the last catcher: everything has an exit code
        return _ended_by(error)
    return 0


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
