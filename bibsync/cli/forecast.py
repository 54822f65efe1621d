"""What a run would ask for: windows and look-ups. Nobody is asked, nothing is written."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bibsync import outlook, store
from bibsync.choice import Kind, Piece
from bibsync.cli import context
from bibsync.cli.report import counted
from bibsync.cli.text import out_json, say, table
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.run import METADATA, Order, utc_text
from bibsync.store import Pool, collections, titles

WHY = {
    Kind.ROLLING: "last 24 hours",
    Kind.REREAD: "due again",
    Kind.GAP: "not stored yet",
    Kind.BLANK: "was blank",
    Kind.LANE: "re-import",
}


async def show(
    config: Config, chosen: list[Collection], orders: Sequence[Order], *, json: bool
) -> None:
    """List the windows that these orders would ask for, and how many titles they'd look up.

    Raises:
        ConfigInvalid: a run would refuse the configuration, as a name now means another library.
    """
    now = datetime.now(UTC)
    windows: list[tuple[str, Piece]] = []
    lookups: dict[str, int] = {}
    async with context.readable(config) as pool:
        if pool:
            async with store.acquire(pool) as conn:
                collections.refuse_moved(config.collections, await collections.all_rows(conn))
        for each in chosen:
            for order in orders:
                if order.stream == METADATA:
                    lookups[each.name] = await _titles(pool, each, now)
                else:
                    found = await _windows(pool, each, order, now)
                    windows += [(each.name, piece) for piece in found]
    (_print_json if json else _print)(windows, lookups)


def _print_json(windows: Sequence[tuple[str, Piece]], lookups: dict[str, int]) -> None:
    for name, piece in windows:
        out_json(
            {
                "type": "window",
                "collection": name,
                "stream": "purchases",
                "kind": piece.kind.value,
                "start": utc_text(piece.window.start),
                "end": utc_text(piece.window.end),
            }
        )
    for name, count in lookups.items():
        if count:
            out_json({"type": "lookups", "collection": name, "stream": METADATA, "titles": count})


def _print(windows: Sequence[tuple[str, Piece]], lookups: dict[str, int]) -> None:
    table(
        ("COLLECTION", "WHY", "FROM", "BEFORE"),
        ((name, WHY[piece.kind], piece.window.start, piece.window.end) for name, piece in windows),
    )
    for name, count in lookups.items():
        if count:
            say(f"{name}: {counted(count, 'title')} on the list of look-ups.")
    asked = counted(len(windows), "window")
    say(f"{asked} would be asked for. Nobody was asked, nothing was written.")


async def _windows(
    pool: Pool | None, collection: Collection, order: Order, now: datetime
) -> Sequence[Piece]:
    known = None
    number = await _number(pool, collection)
    if pool and number:
        async with store.acquire(pool) as conn:
            key, cutoff = (number, order.stream), now.replace(microsecond=0)
            known = await outlook.look(conn, key, collection.sync, order, now=now, cutoff=cutoff)
    if known is None or not known.lanes:
        known = outlook.unseen(collection.sync, order, now=now)
    return tuple(outlook.plan(known, order))


async def _titles(pool: Pool | None, collection: Collection, now: datetime) -> int:
    number = await _number(pool, collection)
    if not pool or not number:
        return 0
    async with store.acquire(pool) as conn:
        return await titles.count_due(conn, number, now)


async def _number(pool: Pool | None, collection: Collection) -> int | None:
    """Return the collection's number, None where it was never synced."""
    if pool is None:
        return None
    async with store.acquire(pool) as conn:
        rows = {row.name: row.number for row in await collections.all_rows(conn)}
    return rows.get(collection.name)
