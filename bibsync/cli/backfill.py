"""bibsync backfill: read a stretch of vendor time again, in the foreground."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bibsync.cli import completion, queued, syncing
from bibsync.cli.context import Json, configuration
from bibsync.cli.queued import Queue
from bibsync.errors import UsageWrong
from bibsync.run import METADATA, Order
from bibsync.settings.moments import moment, span


def backfill(
    collection: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Of this collection; may be given several times.",
            autocompletion=completion.collections,
        ),
    ],
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="From here on: a date, a time (UTC), or 7d."),
    ],
    until: Annotated[
        str,
        typer.Option(metavar="TIME", help="Up to here, not included: a date, a time (UTC), or 7d."),
    ],
    wait_lock: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Wait so long for a run that is under way: 90s, 5m."),
    ] = None,
    queue: Queue = False,
    json: Json = False,
) -> None:
    """Read a stretch of vendor time again, what is stored of it too, and look new titles up.

    bibsync backfill --collection "Springfield cloudLibrary" --since 2024-01-01 --until 2024-02-01

    Interrupted, the same command goes on where it was, and so does any later run of the collection.
    Exit codes as of run-once.
    """
    now = datetime.now(UTC)
    order = Order(
        since=moment(since, name="--since", now=now),
        until=moment(until, name="--until", now=now),
        force_reimport=True,
        lane="backfill",
        trigger="backfill",
    )
    if order.since and order.until and order.since >= order.until:
        raise UsageWrong("--since must be before --until.")
    if queue and wait_lock:
        raise UsageWrong("--queue excludes --wait-lock: nobody waits for a request.")
    waiting = span(wait_lock, name="--wait-lock") if wait_lock else timedelta(0)
    config = configuration()
    chosen = config.chosen(collection)
    if queue:
        queued.leave(config, chosen, order, json=json)
        return
    lookups = Order(stream=METADATA, trigger="backfill")
    syncing.foreground(
        config, chosen, [order, lookups], wait_lock=waiting, all_of_them=False, json=json
    )
