"""Work that is left to the daemon: requests instead of runs in the foreground."""

from collections.abc import Sequence
from typing import Annotated

import typer

from bibsync import store
from bibsync.cli import context
from bibsync.cli.text import out, out_json, printable, say
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.run import METADATA, PURCHASES, Order
from bibsync.store import collections, requests
from bibsync.store.requests import Terms, Wish

Queue = Annotated[
    bool, typer.Option("--queue", help="Leave it to the daemon, and print the requests' numbers.")
]


def leave(config: Config, chosen: Sequence[Collection], order: Order, *, json: bool) -> None:
    """Ask the daemon to carry out an order for each of these collections; nobody waits for it.

    Titles that purchases bring are looked up after them; an order of metadata looks up again.
    """
    asked = context.run(_asked(config, chosen, order))
    for name, number in asked:
        if json:
            out_json({"collection": name, "request": number})
        else:
            out(printable(f"{name}: request {number}"))
    if not json:
        say("A daemon does it; see: bibsync runs list")


async def _asked(
    config: Config, chosen: Sequence[Collection], order: Order
) -> list[tuple[str, int]]:
    terms = Terms(
        trigger=order.trigger,
        by=context.person(),
        priority=requests.BULK if order.force_reimport else requests.WISHED,
    )
    async with context.writable(config) as pool, store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, config.collections)
        return [
            (each.name, await requests.ask(conn, _wish(order, numbers[each.name]), terms))
            for each in chosen
        ]


def _wish(order: Order, collection: int) -> Wish:
    return Wish(
        job=METADATA if order.stream == METADATA else PURCHASES,
        collection=collection,
        since=order.since,
        until=order.until,
        force_reimport=order.force_reimport,
        lane=order.lane,
    )
