"""bibsync run-once: sync now, in the foreground."""

import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import structlog
import typer

from bibsync import events, harvest, outlook, store
from bibsync.choice import Kind, Known
from bibsync.cli import context, progress
from bibsync.cli.context import DEBUG, Json, configuration
from bibsync.cli.text import local, moment, out_json, printable, say, span, table
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.errors import ConfigInvalid, NotFound, UsageWrong
from bibsync.harvest import Means
from bibsync.lease import PostgresLeases
from bibsync.run import PURCHASES, Order, Outcome, Summary, Tally, exit_code, utc_text
from bibsync.sources import Hosts, open_source
from bibsync.store import Pool, collections

NO_FILE = (
    "There is no configuration: neither $BIBSYNC_CONFIG, ./bibsync.toml nor "
    "/etc/bibsync/bibsync.toml."
)
WHY = {
    Kind.ROLLING: "last 24 hours",
    Kind.REREAD: "due again",
    Kind.GAP: "not stored yet",
    Kind.BLANK: "was blank",
    Kind.LANE: "re-import",
}
STREAMS = (PURCHASES,)
SPARE_CONNECTIONS = 2
MOST_CONNECTIONS = 24
"""Runs wait for each other's connections; a server of 100 serves four such processes."""
STOPPED = "Stopped. What was stored stays stored; run again and it goes on from there."


def run_once(
    collection: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Sync this collection; may be given several times."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Sync every collection of the configuration.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only from here on: a date, a time (UTC), or 7d."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only before this: a date, a time (UTC), or 7d."),
    ] = None,
    stream: Annotated[str, typer.Option(help="What to sync: purchases.")] = PURCHASES,
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
    json: Json = False,
) -> None:
    """Sync collections now, in the foreground: new purchases, gaps, and days that are due again.

    bibsync run-once --all

    bibsync run-once --collection "Springfield cloudLibrary" --since 7d

    Interrupted, it goes on where it was with the next run. Exit codes: 0 done, 3 partly or with new
    rejects, 4 credentials refused, 6 vendor unavailable, 7 database unavailable, 11 locked.
    """
    if bool(collection) == every:
        raise UsageWrong("run-once needs either --collection NAME or --all.")
    if stream not in STREAMS:
        raise UsageWrong(
            f"--stream: there is no stream {stream!r}; there is: {', '.join(STREAMS)}."
        )
    now = datetime.now(UTC)
    order = Order(
        stream=stream,
        since=moment(since, name="--since", now=now),
        until=moment(until, name="--until", now=now),
        force_reimport=force_reimport,
    )
    if order.since and order.until and order.since >= order.until:
        raise UsageWrong("--since must be before --until.")
    waiting = span(wait_lock, name="--wait-lock") if wait_lock else timedelta(0)
    config = configuration()
    chosen = chosen_of(config, collection)
    if not chosen:
        if config.path is None:
            raise ConfigInvalid((NO_FILE,), remedy="Write one, see README, or give --config FILE.")
        say("The configuration names no collection; there is nothing to sync.")
        return
    if dry_run:
        context.run(_list_windows(config, chosen, order, json=json))
        return
    summaries: list[Summary] = []
    try:
        work = sync(config, chosen, order, wait_lock=waiting, ended=summaries.append)
        context.run(work, stopped=STOPPED)
    finally:
        names = [each.name for each in chosen]
        summaries.sort(key=lambda each: names.index(each.collection))
        report(summaries, config, json=json)
    raise typer.Exit(exit_code(summaries, all_of_them=every))


def chosen_of(config: Config, names: list[str] | None) -> list[Collection]:
    """Return the collections of these names, all where there are none, in the file's order.

    Raises:
        NotFound: a name stands nowhere in the configuration.
    """
    known = {each.name: each for each in config.collections}
    for name in names or ():
        if name not in known:
            there = ", ".join(f'"{each}"' for each in known) or "none"
            raise NotFound(
                f'There is no collection "{name}".', remedy=f"The configuration has: {there}."
            )
    return [each for each in config.collections if not names or each.name in names]


async def sync(
    config: Config,
    chosen: list[Collection],
    order: Order,
    *,
    wait_lock: timedelta,
    ended: Callable[[Summary], None],
) -> None:
    """Sync these collections, showing progress on stderr; `ended` hears each one's summary."""
    _quieten(config)
    tallies = {each.name: Tally() for each in chosen}
    size = min(config.daemon.concurrency * 2, len(chosen) * 2, MOST_CONNECTIONS)
    async with context.writable(config, size=size + SPARE_CONNECTIONS) as pool, Hosts() as hosts:
        numbers = await _enrol(pool, config)
        means = Means(
            pool=pool,
            leases=PostgresLeases(pool),
            source=lambda each: open_source(each, hosts),
            lease_ttl=config.daemon.lease_ttl,
            wait_lock=wait_lock,
        )
        async with progress.shown(tallies):
            await harvest.harvest_each(
                {numbers[each.name]: each for each in chosen},
                order,
                means,
                at_once=config.daemon.concurrency,
                tallies={numbers[each.name]: tallies[each.name] for each in chosen},
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


async def _list_windows(
    config: Config, chosen: list[Collection], order: Order, *, json: bool
) -> None:
    now = datetime.now(UTC)
    rows = []
    async with _outlooks(config, chosen, order, now) as outlooks:
        for name, known in outlooks:
            for piece in outlook.plan(known, order):
                window = piece.window
                if json:
                    out_json(
                        {
                            "type": "window",
                            "collection": name,
                            "stream": order.stream,
                            "kind": piece.kind.value,
                            "start": utc_text(window.start),
                            "end": utc_text(window.end),
                        }
                    )
                else:
                    start, end = (local(at, UTC) for at in (window.start, window.end))
                    rows.append((name, WHY[piece.kind], start, end))
    if not json:
        table(("COLLECTION", "WHY", "FROM", "BEFORE"), rows)
        windows = _counted(len(rows), "window")
        say(f"{windows} would be asked for. Nobody was asked, nothing was written.")


@asynccontextmanager
async def _outlooks(
    config: Config, chosen: list[Collection], order: Order, now: datetime
) -> AsyncIterator[Iterable[tuple[str, Known]]]:
    async with context.readable(config) as pool:
        found = []
        for each in chosen:
            known = await _outlook(pool, each, order, now) if pool else None
            found.append((each.name, known or outlook.unseen(each.sync, order, now=now)))
        yield found


async def _outlook(pool: Pool, collection: Collection, order: Order, now: datetime) -> Known | None:
    async with store.acquire(pool) as conn:
        rows = {row.name: row.number for row in await collections.all_rows(conn)}
        if collection.name not in rows:
            return None
        key = (rows[collection.name], order.stream)
        cutoff = now.replace(microsecond=0)
        known = await outlook.look(conn, key, collection.sync, order, now=now, cutoff=cutoff)
        return known if known.lanes else None


def report(summaries: list[Summary], config: Config, *, json: bool) -> None:
    """Print what the runs came to: JSON lines, or a table and a sentence for each problem."""
    if not summaries:
        return
    if json:
        for each in summaries:
            out_json(each.as_json())
        return
    table(
        ("COLLECTION", "OUTCOME", "NEW", "CHANGED", "UNCHANGED", "REJECTED", "CAUGHT UP TO"),
        (
            (
                each.collection,
                each.outcome.value,
                each.tally.new,
                each.tally.changed,
                each.tally.unchanged,
                each.tally.rejected,
                local(each.caught_up_to, config.timezone),
            )
            for each in summaries
        ),
    )
    for each in summaries:
        for sentence in told(each):
            say(printable(f"{each.collection}: {sentence}"))


def told(summary: Summary) -> list[str]:
    """Say in sentences what a person should know of a run beyond its figures."""
    sentences = []
    if summary.outcome is Outcome.SUCCEEDED and not summary.tally.windows:
        sentences.append("All of that is stored already, or lies outside; nobody was asked.")
    if summary.problem is not None and summary.outcome is not Outcome.SUCCEEDED:
        problem = summary.problem
        sentences += [f"{problem.message} [{problem.code}]", problem.remedy]
    if count := summary.tally.failed_windows:
        sentences.append(f"{_counted(count, 'window')} failed; the next run asks again.")
    if count := summary.tally.new_rejects:
        sentences.append(f"{_counted(count, 'new reject')}; see: bibsync rejects list")
    return sentences


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
