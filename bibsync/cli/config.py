"""bibsync config: is the configuration right, and what is in force."""

import typer

from bibsync.cli.context import Json, configuration
from bibsync.cli.text import out, out_json, table
from bibsync.config import show as shown

app = typer.Typer(
    no_args_is_help=True, help="Check and show the configuration.\n\nbibsync config check"
)


@app.command()
def check(json: Json = False) -> None:
    """Check the configuration: every problem at once, each with its line; exit 5 if there is one.

    bibsync config check
    """
    config = configuration()
    if json:
        out_json(
            {
                "schema": "bibsync.config/1",
                "path": str(config.path) if config.path else None,
                "collections": [each.name for each in config.collections],
                "warnings": list(config.warnings),
            }
        )
        return
    where = config.path or "There is no configuration file; defaults and environment"
    count = len(config.collections)
    out(f"{where}: all is well, {count} collection{'s' if count != 1 else ''}.")


@app.command()
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
