"""Syncing in the foreground, as run-once, backfill and demo do: progress, summaries, exit code."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
import typer

from bibsync import events, harvest, replicas, store
from bibsync.cli import context, progress, report
from bibsync.cli.context import DEBUG
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.harvest import Means
from bibsync.run import Order, Summary, Tally, exit_code
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool, collections

SPARE_CONNECTIONS = 2
MOST_CONNECTIONS = 24
"""Runs wait for each other's connections; a server of 100 serves four such processes."""
STOPPED = "Stopped. What was stored stays stored; run again and it goes on from there."


def foreground(
    config: Config,
    chosen: list[Collection],
    orders: Sequence[Order],
    *,
    wait_lock: timedelta,
    all_of_them: bool,
    json: bool,
) -> None:
    """Sync these collections, report each run, also those that a signal ended, and exit.

    Raises:
        typer.Exit: with the code that the runs came to.
        Interrupted: a signal came.
    """
    summaries: list[Summary] = []
    try:
        work = sync(config, chosen, orders, wait_lock=wait_lock, ended=summaries.append)
        context.run(work, stopped=STOPPED)
    finally:
        places = [(each.name, order.stream) for each in chosen for order in orders]
        summaries.sort(key=lambda each: places.index((each.collection, each.stream)))
        report.report(summaries, config, json=json)
    raise typer.Exit(exit_code(summaries, all_of_them=all_of_them))


async def sync(
    config: Config,
    chosen: list[Collection],
    orders: Sequence[Order],
    *,
    wait_lock: timedelta,
    ended: Callable[[Summary], None],
) -> None:
    """Sync these collections, showing progress on stderr; `ended` hears each run's summary."""
    _quieten(config)
    tallies = {each.name: [Tally() for _ in orders] for each in chosen}
    size = min(config.daemon.concurrency * 2, len(chosen) * 2, MOST_CONNECTIONS)
    ttl = config.daemon.lease_ttl
    async with (
        context.writable(config, size=size + SPARE_CONNECTIONS) as pool,
        replicas.coordinated(config.redis.url, pool, ttl=ttl) as coordination,
        Hosts(shared=coordination.turns) as hosts,
    ):
        numbers = await _enrol(pool, config)
        means = Means(
            pool=pool,
            leases=coordination.leases,
            source=lambda each, permit: open_source(each, hosts, permit),
            lease_ttl=ttl,
            wait_lock=wait_lock,
        )
        async with progress.shown(tallies):
            await harvest.harvest_each(
                {numbers[each.name]: each for each in chosen},
                orders,
                means,
                at_once=config.daemon.concurrency,
                tallies={
                    (numbers[each.name], order.stream): tally
                    for each in chosen
                    for order, tally in zip(orders, tallies[each.name], strict=True)
                },
                ended=ended,
            )


async def _enrol(pool: Pool, config: Config) -> dict[str, int]:
    async with store.acquire(pool) as conn, conn.transaction():
        return await collections.enrol(conn, config.collections)


def _quieten(config: Config) -> None:
    """A person watches a terminal: leave out the events that the bars show."""
    if sys.stderr.isatty() and not DEBUG.on and config.log.level == "info":
        events.configure("warning", config.log.format)
    structlog.contextvars.clear_contextvars()
