"""The command line: one module per noun, no logic of its own.

Here the commands are gathered and errors become exit codes: one plain sentence with a remedy and a
code on stderr, a traceback only with --debug.
"""

import asyncio
import traceback

import typer

from bibsync.cli import config, db, demo, records, rejects, run_once, simulate, status
from bibsync.cli.context import DEBUG, Interrupted, hoisted, opening
from bibsync.cli.text import NotWritten, ReaderGone, flush, hush, say
from bibsync.errors import BibsyncError, ConfigInvalid

UNEXPECTED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="bibsync",
    callback=opening,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("run-once")(run_once.run_once)
app.command("status")(status.status)
app.add_typer(rejects.app, name="rejects")
app.add_typer(records.app, name="records")
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.command("simulate")(simulate.simulate)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing but a defect leaves a traceback."""
    try:
        try:
            app(hoisted(arguments), prog_name="bibsync")
        finally:
            flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else UNEXPECTED
    except BaseException as error:  # noqa: BLE001 - the last catcher: everything has an exit code
        return _ended_by(error)
    return 0


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
