"""What the commands about records share: which collection, which record, and that it is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import typer

from bibsync import store
from bibsync.cli import completion, context
from bibsync.config import Config
from bibsync.errors import NotFound
from bibsync.store import Connection, versions

ControlNumber = Annotated[str, typer.Argument(help="Field 001 of the record.")]
Of = Annotated[
    str,
    typer.Option(
        "--collection",
        metavar="NAME",
        help="Of this collection.",
        autocompletion=completion.collections,
    ),
]


@asynccontextmanager
async def reading(config: Config, name: str) -> AsyncIterator[tuple[Connection, int] | None]:
    """Connect, and give the collection's number too; None where there is no database yet.

    Raises:
        NotFound: there is no such collection.
        StoreUnavailable, SchemaUnfit: the database can't be used.
    """
    async with context.readable(config) as pool:
        if pool is None:
            if name not in {each.name for each in config.collections}:
                raise NotFound(f'There is no collection "{name}".')
            yield None
            return
        async with store.acquire(pool) as conn:
            yield conn, await context.number_of(conn, config, name)


def no_record(control_number: str, collection: str) -> NotFound:
    """Return the error that says so."""
    return NotFound(
        f'There is no record "{control_number}" in "{collection}".',
        remedy="`bibsync records export` writes all there are.",
    )


async def version(conn: Connection, collection: int, control_number: str, number: int) -> Any:
    """Return that version of a record, None where there isn't even the record.

    Raises:
        NotFound: the record has no such version.
    """
    if newest := await versions.before(conn, collection, control_number):
        with suppress(*store.UNSTORABLE):
            if row := await versions.one(conn, collection, control_number, number):
                return row
        raise NotFound(
            f'There is no version {number} of "{control_number}"; '
            f"the newest is {newest['version']}.",
            remedy="`bibsync records history` lists them.",
        )
    return None
