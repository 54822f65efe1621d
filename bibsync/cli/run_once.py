"""bibsync run-once: sync now, in the foreground."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bibsync.cli import completion, context, forecast, queued, syncing
from bibsync.cli.context import Json, configuration
from bibsync.cli.queued import Queue
from bibsync.cli.text import say
from bibsync.errors import ConfigInvalid, UsageWrong
from bibsync.run import METADATA, PURCHASES, Order
from bibsync.settings.moments import moment, span

NO_FILE = (
    "There is no configuration: neither $BIBSYNC_CONFIG, ./bibsync.toml nor "
    "/etc/bibsync/bibsync.toml."
)
STREAMS = (PURCHASES, METADATA)


def run_once(
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Sync this collection; may be given several times.",
            autocompletion=completion.collections,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Sync every collection of the configuration.")
    ] = False,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM",
            help="purchases or metadata. Left out: the one, then the other.",
            autocompletion=completion.words(*STREAMS),
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only from here on: a date, a time (UTC), or 7d."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only before this: a date, a time (UTC), or 7d."),
    ] = None,
    force_reimport: Annotated[
        bool,
        typer.Option("--force-reimport", help="Read everything of that span again; resumable."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the windows; ask nobody, write nothing."),
    ] = False,
    wait_lock: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Wait so long for a run that is under way: 90s, 5m."),
    ] = None,
    queue: Queue = False,
    json: Json = False,
) -> None:
    """Sync collections now, in the foreground: new purchases, gaps, and days that are due again.

    bibsync run-once --all

    bibsync run-once --collection "Springfield cloudLibrary" --since 7d

    Interrupted, it goes on where it was with the next run. New titles are looked up afterwards.
    Exit codes: 0 done, 3 partly or with new rejects, 4 credentials refused, 6 vendor unavailable,
    7 database or Redis unavailable, 11 locked.
    """
    if bool(collection) == every:
        raise UsageWrong("run-once needs either --collection NAME or --all.")
    now = datetime.now(UTC)
    purchases = Order(
        since=moment(since, name="--since", now=now),
        until=moment(until, name="--until", now=now),
        force_reimport=force_reimport,
    )
    orders = _orders(purchases, stream)
    waiting = span(wait_lock, name="--wait-lock") if wait_lock else timedelta(0)
    if queue and (dry_run or wait_lock):
        raise UsageWrong("--queue excludes --dry-run and --wait-lock: nobody waits for a request.")
    config = configuration()
    chosen = config.chosen(collection)
    if not chosen:
        if config.path is None:
            raise ConfigInvalid((NO_FILE,), remedy="Write one, see README, or give --config FILE.")
        say("The configuration names no collection; there is nothing to sync.")
        return
    if queue:
        queued.leave(config, chosen, orders[0], json=json)
        return
    if dry_run:
        context.run(forecast.show(config, chosen, orders, json=json))
        return
    syncing.foreground(config, chosen, orders, wait_lock=waiting, all_of_them=every, json=json)


def _orders(purchases: Order, stream: str | None) -> list[Order]:
    """Return what is to be done, in this order.

    Raises:
        UsageWrong: there is no such stream, or its order makes no sense.
    """
    if purchases.since and purchases.until and purchases.since >= purchases.until:
        raise UsageWrong("--since must be before --until.")
    if stream not in (None, *STREAMS):
        raise UsageWrong(
            f"--stream: there is no stream {stream!r}; there is: {', '.join(STREAMS)}."
        )
    if stream == METADATA and purchases != Order():
        raise UsageWrong(
            "--since, --until and --force-reimport are about purchases, not about metadata.",
            remedy="Leave them out: every title that waits for a look-up is looked up.",
        )
    orders = {PURCHASES: purchases, METADATA: Order(stream=METADATA)}
    return [orders[stream]] if stream else [*orders.values()]
