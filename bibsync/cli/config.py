"""bibsync config: is the configuration right, and what is in force."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from bibsync.cli.context import DEBUG, Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import out, out_json, say, table
from bibsync.config import Config, find, show as shown
from bibsync.errors import ConfigInvalid

app = typer.Typer(
    no_args_is_help=True, help="Check and show the configuration.\n\nbibsync config check"
)


@app.command(short_help="Check it: every problem at once.")
def check(json: Json = False) -> None:
    """Check the configuration: every problem at once, each with its line; exit 5 if there is one.

    bibsync config check
    """
    try:
        config = configuration()
    except ConfigInvalid as error:
        if json:
            _print(_place(), problems=error.problems)
        raise
    names = [each.name for each in config.collections]
    warnings = [*config.warnings]
    if not names:
        warnings.append(_nothing(config))
        say(f"warning: {warnings[-1]}")
    if json:
        _print(config.path, names, warnings)
        return
    where = config.path or "There is no configuration file; defaults and environment"
    out(f"{where}: all is well, {counted(len(names), 'collection')}.")


@app.command(short_help="Show every value and where it is from.")
def show(json: Json = False) -> None:
    """Show every value in force and where it is from; secrets are masked.

    bibsync config show
    """
    config = configuration()
    if json:
        for each in shown(config):
            out_json({"key": each.key, "value": each.value, "origin": each.origin})
        return
    table(("KEY", "VALUE", "FROM"), ((each.key, each.value, each.origin) for each in shown(config)))


def _nothing(config: Config) -> str:
    where = f"{config.path} names" if config.path else "There is"
    return f"{where} no collection, so there is nothing to sync."


def _place() -> Path | None:
    """Return the file that was to be read, there or not."""
    named = DEBUG.config or os.environ.get("BIBSYNC_CONFIG")
    return Path(named) if named else find(None, {})


def _print(
    path: Path | None,
    names: Sequence[str] = (),
    warnings: Sequence[str] = (),
    *,
    problems: Sequence[str] = (),
) -> None:
    out_json(
        {
            "schema": "bibsync.config/1",
            "path": str(path) if path else None,
            "collections": list(names),
            "warnings": list(warnings),
            "problems": list(problems),
        }
    )
