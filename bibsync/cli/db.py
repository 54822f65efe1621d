"""bibsync db: the database's schema."""

import typer

from bibsync import store
from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import out, out_json, say
from bibsync.config import Config
from bibsync.errors import SchemaUnfit
from bibsync.store import schema
from bibsync.store.embedded import exists

app = typer.Typer(
    no_args_is_help=True, help="Look after the database's schema.\n\nbibsync db status"
)


@app.command(short_help="Create or upgrade the schema.")
def upgrade(json: Json = False) -> None:
    """Create or upgrade the schema; safe while others run, and when run twice.

    bibsync db upgrade
    """
    applied = context.run(_upgrade(configuration()))
    if json:
        out_json({"schema": "bibsync.db/1", "applied": list(applied)})
    elif applied:
        out(f"Applied {', '.join(applied)}.")
    else:
        out("The schema is up to date.")


@app.command(short_help="Tell which migrations there are.")
def status(json: Json = False) -> None:
    """Tell which migrations the database has, and which it lacks (exit 7 if it has some only).

    bibsync db status
    """
    found = context.run(_state(configuration()))
    if json:
        out_json(
            {
                "schema": "bibsync.db/1",
                "applied": list(found.applied),
                "missing": list(found.missing),
            }
        )
    else:
        for name in found.applied:
            out(f"{name}\tapplied")
        for name in found.missing:
            out(f"{name}\tmissing")
        if found.empty:
            say(
                "The database is empty; `bibsync db upgrade` or the next run-once makes its tables."
            )
    if found.missing and not found.empty:
        raise SchemaUnfit(f"The database's schema lacks {', '.join(found.missing)}.")


async def _upgrade(config: Config) -> tuple[str, ...]:
    async with context.connected(config) as pool, store.acquire(pool) as conn:
        return await schema.upgrade(conn)


async def _state(config: Config) -> schema.State:
    if config.database.url is None and not exists(config.state_dir):
        return schema.State((), tuple(each.name for each in schema.migrations()))
    async with context.connected(config) as pool, store.acquire(pool) as conn:
        return await schema.state(conn)
