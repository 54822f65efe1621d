"""bibsync collections: which there are, what they are called, and how one is forgotten."""

import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Annotated, Any

import typer

from bibsync import lease, replicas, store
from bibsync.cli import completion, context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import out_json, printable, say, table
from bibsync.config import Config
from bibsync.errors import LeaseHeld, NotFound, RefusedForSafety, UsageWrong
from bibsync.run import METADATA, PURCHASES, utc_text
from bibsync.settings.values import Unfit, name as readable_name
from bibsync.store import Connection, Pool, collections, records, rejects, runs
from bibsync.store.collections import Row

app = typer.Typer(
    no_args_is_help=True,
    help="See which collections there are, rename or forget one.\n\nbibsync collections list",
)

CONFIGURED, LEFT, NOT_SYNCED = "configured", "left_the_file", "not_synced_yet"
STREAMS = {PURCHASES, METADATA}
KEPT = {
    "records": "records",
    "versions": "earlier versions of records",
    "rejects": "rejects",
    "runs": "runs",
}
"""What is kept of a collection, and how people call it."""


@app.command("list", short_help="List collections, those that left it too.")
def list_(json: Json = False) -> None:
    """List the collections of the configuration, and those of the database that left it.

    bibsync collections list
    """
    config = configuration()
    documents = context.run(_listed(config))
    if json:
        for each in documents:
            first, last = utc_text(each["first_success"]), utc_text(each["last_success"])
            out_json(each | {"first_success": first, "last_success": last})
    elif documents:
        heads = ("NAME", "SOURCE", "LIBRARY", "STATE", "RECORDS", "REJECTS")
        rows = map(_cells, documents)
        table((*heads, "FIRST SUCCESS", "LAST SUCCESS"), rows, zone=config.timezone)
    else:
        say("There is no collection yet.")


@app.command(short_help="Give a collection another name.")
def rename(
    old: Annotated[
        str,
        typer.Argument(
            help="As `collections list` shows it.", autocompletion=completion.collections
        ),
    ],
    new: Annotated[str, typer.Argument(help="A name that no collection has.")],
    json: Json = False,
) -> None:
    """Give a collection another name; its records, runs and rejects stay.

    bibsync collections rename "Springfield" "Springfield cloudLibrary"

    The configuration has to say the new name too; it may say it before or after.
    """
    try:
        readable_name(new)
    except Unfit as unfit:
        raise UsageWrong(f"The new name {unfit}.") from None
    config = configuration()
    said = context.run(_rename(config, old, new))
    if json:
        out_json({"before": old, "name": new, "configured_as": said})
        return
    say(printable(f'"{old}" is "{new}" now.'))
    if said is None:
        say("The configuration has neither; to go on with it, put it in under its new name.")
    elif said != new:
        say(printable(f'warning: the configuration says "{said}", and so will the next run again.'))
        say(printable(f'         Write "{new}" there too.'))


@app.command(short_help="Delete a collection and all kept of it.")
def forget(
    name: Annotated[
        str,
        typer.Argument(
            help="As `collections list` shows it.", autocompletion=completion.collections
        ),
    ],
    confirm: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name once more: delete all of it.")
    ] = None,
    json: Json = False,
) -> None:
    """Delete a collection with everything that is kept of it: records, history, rejects, runs.

    bibsync collections forget "Springfield cloudLibrary"

    Without --confirm it only tells what would be deleted, and the exit code is 13.
    """
    if confirm is not None and confirm != name:
        raise UsageWrong(
            f'--confirm says "{confirm}", and the collection is "{name}".',
            remedy="Say its name both times. Nothing was changed.",
        )
    config = configuration()
    lost = context.run(_forget(config, name, confirmed=confirm is not None))
    configured = name in {each.name for each in config.collections}
    if json:
        done: dict[str, object] = {"forgotten": confirm is not None, "configured": configured}
        out_json({"collection": name, **lost, **done})
    else:
        table(("WHAT", "COUNT"), ((KEPT[what], count) for what, count in lost.items()))
    if confirm is None:
        said = shlex.quote(name)
        raise RefusedForSafety(
            f'Forgetting "{name}" deletes all of that, for good.',
            remedy=f"To do it: bibsync collections forget {said} --confirm {said}",
        )
    if not json:
        say(printable(f'"{name}" is forgotten; the above was deleted.'))
        if configured:
            say("The configuration still has it: the next run begins it anew.")


async def _listed(config: Config) -> list[dict[str, Any]]:
    configured = {each.name: each for each in config.collections}
    async with context.readable(config) as pool:
        rows: dict[str, Row] = {}
        counts: dict[int, tuple[int, int]] = {}
        open_: dict[int, int] = {}
        successes: dict[int, Any] = {}
        if pool is not None:
            async with store.acquire(pool) as conn:
                rows = {row.name: row for row in await collections.all_rows(conn)}
                counts = await records.counts(conn)
                open_ = await rejects.count_open(conn)
                successes = await runs.successes(conn)
    documents = []
    for name in [*configured, *(name for name in rows if name not in configured)]:
        row = rows.get(name)
        number = row.number if row else context.NEVER_RUN
        first, last = successes.get(number, (None, None))
        account = configured.get(name) or rows[name]
        documents.append(
            {
                "name": name,
                "source": account.source,
                "library_id": account.library_id,
                "state": NOT_SYNCED if row is None else CONFIGURED if name in configured else LEFT,
                "records": counts.get(number, (0, 0))[0],
                "rejects_open": open_.get(number, 0),
                "first_success": first,
                "last_success": last,
            }
        )
    return documents


def _cells(document: dict[str, Any]) -> tuple[object, ...]:
    state = document["state"].replace("_", " ")
    times = (document["first_success"], document["last_success"])
    counts = (document["records"], document["rejects_open"])
    return (document["name"], document["source"], document["library_id"], state, *counts, *times)


async def _rename(config: Config, old: str, new: str) -> str | None:
    async with (
        _database(config, old) as pool,
        store.acquire(pool) as conn,
        conn.transaction(),
    ):
        return await collections.rename(conn, old, new, config.collections)


async def _forget(config: Config, name: str, *, confirmed: bool) -> dict[str, int]:
    """Return what is kept of a collection, and delete it if that is confirmed.

    Raises:
        NotFound: there is no such collection.
        LeaseHeld: a run is under way.
    """
    async with _database(config, name) as pool:
        async with store.acquire(pool) as conn:
            number = (await collections.named(conn, name)).number
            streams = STREAMS | await collections.streams(conn, number)
            if not confirmed:
                return await collections.contents(conn, number)
        async with (
            _leases(config, pool, number, streams),
            store.acquire(pool) as conn,
            conn.transaction(),
        ):
            return await _delete(conn, number)


async def _delete(conn: Connection, number: int) -> dict[str, int]:
    lost = await collections.contents(conn, number)
    await collections.forget(conn, number)
    return lost


@asynccontextmanager
async def _database(config: Config, name: str) -> AsyncIterator[Pool]:
    async with context.readable(config) as pool:
        if pool is None:
            raise NotFound(f'There is no collection "{name}".', remedy="The database has: none.")
        yield pool


@asynccontextmanager
async def _leases(
    config: Config, pool: Pool, number: int, streams: set[str]
) -> AsyncIterator[None]:
    """Hold the leases of all streams of a collection, so that no run begins meanwhile.

    Raises:
        LeaseHeld: a run is under way.
    """
    chance, ttl = Random(), config.daemon.lease_ttl  # noqa: S311 - it spreads renewals in time
    url = config.redis.url
    async with replicas.coordinated(url, pool, ttl=ttl) as shared, AsyncExitStack() as stack:
        for stream in sorted(streams):
            held = lease.hold(shared.leases, (number, stream), ttl=ttl, random=chance)
            try:
                await stack.enter_async_context(held)
            except LeaseHeld as other:
                remedy = "Wait for that run to end, then say it again. Nothing was changed."
                raise LeaseHeld(other.message, remedy=remedy) from None
        yield
