"""One run over one stream of one collection: the road, from top to bottom.

    lease ─ fence ─┬─ choose what to read next ◄────────────────────────────┐
                   ├─ window ─ page ─ record ─ store ─ ... ─ end proven ─ coverage
                   └─ titles ─ look-up ─ description

Promises: a page and what it proves are committed together, in a transaction that no request is
part of and that a deposed run can't make. So a run may be cancelled at any await: what was
committed stays, what wasn't is asked for again by the next run, without anyone's doing. A window
that fails is left uncovered and costs no other window; a collection that fails costs no other
collection.

The road of purchases goes on in `course`: what is read next is `choice`'s to say, `perusal` reads a
window, `ask` asks politely, `contents` opens pages, `fence` commits. That of metadata goes on in
`lookups`. Time and chance come in through `Means`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Protocol, Self

import structlog

from bibsync import cancellation, events, fence, lease
from bibsync.ask import BLANK_WAITS_S, Breakers, Inquiry
from bibsync.choice import Memory
from bibsync.collection import Collection
from bibsync.course import Course
from bibsync.daybook import Daybook
from bibsync.errors import (
    BibsyncError,
    LeaseHeld,
    LeaseLost,
    Problem,
    SourceError,
    StoreUnavailable,
    first_of,
)
from bibsync.lease import Aside, Key, Leases, Tenure
from bibsync.lookups import LookUps
from bibsync.perusal import Desk
from bibsync.run import METADATA, Order, Outcome, Summary, Tally, Unwitnessed, Witness
from bibsync.source import Permit, Source
from bibsync.store import Connection, Pool, lanes, runs

LAST_WORD_S = 5.0
"""How long a run that is cancelled may take to note that it was."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every run of a process uses: the store, the vendors, time and chance.

    `now` is the wall clock, `clock` counts the seconds that leases and durations are measured in.
    `witness` counts what the runs do.
    """

    pool: Pool
    leases: Leases
    source: Callable[[Collection, Permit], Source]
    lease_ttl: timedelta = timedelta(seconds=60)
    wait_lock: timedelta = timedelta(0)
    breakers: Breakers = field(default_factory=Breakers)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: lease.Clock = lease.seconds
    random: Random = field(default_factory=Random)
    blank_waits_s: Sequence[float] = BLANK_WAITS_S
    witness: Witness = field(default_factory=Unwitnessed)


GOES_ON = frozenset({Outcome.SUCCEEDED, Outcome.PARTIAL})
"""After a run that ended so, the collection's next stream is worth a try."""


class Place:
    """One of the places for runs at work; a run that merely waits for its lease stands aside."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = False

    async def __aenter__(self) -> Self:
        await self._places.acquire()
        self._taken = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._taken:
            self._places.release()

    @asynccontextmanager
    async def given_up(self) -> AsyncIterator[None]:
        """Leave the place to others while the block lasts, and wait for one at its end."""
        self._places.release()
        self._taken = False
        yield
        await self._places.acquire()
        self._taken = True


class Run(Protocol):
    """One run of any stream under its fence."""

    number: int
    problem: Problem | None
    caught_up_to: datetime | None

    @property
    def outcome(self) -> Outcome:
        """How the run stands, from what it did and what stopped it."""

    async def go(self) -> None:
        """Do all there is to do."""

    async def end(self, outcome: Outcome) -> None:
        """Note how the run ended."""


def _nobody(_: Summary) -> None:
    """Hear a summary and do nothing."""


async def harvest_each(
    due: Mapping[int, Collection],
    orders: Sequence[Order],
    means: Means,
    *,
    at_once: int,
    tallies: Mapping[Key, Tally],
    ended: Callable[[Summary], None] = _nobody,
) -> list[Summary]:
    """Harvest every collection, at most `at_once` together, and return their summaries in order.

    One that waits for its lease isn't counted meanwhile: it never keeps a free one from its turn.
    Collections are by their number, tallies by number and stream; a tally may be watched while its
    run goes on. Each collection has its `orders` done one after the other, as long as they go well.
    `ended` hears each summary as its run ends, also where all of this is cancelled. One
    collection's failure becomes its summary and the others go on; a defect cancels them all.
    """
    places = asyncio.Semaphore(at_once)

    async def one(number: int) -> list[Summary]:
        summaries: list[Summary] = []
        async with Place(places) as place:
            for order in orders:
                tally = tallies[number, order.stream]
                summaries.append(
                    await harvest(
                        due[number],
                        number,
                        order,
                        means,
                        tally=tally,
                        ended=ended,
                        aside=place.given_up,
                    )
                )
                if summaries[-1].outcome not in GOES_ON:
                    break
        return summaries

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(one(number), name=f"harvest {each.name}")
                for number, each in due.items()
            ]
            if tasks:
                await asyncio.wait(tasks)
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
    return [summary for task in tasks for summary in task.result()]


async def harvest(
    collection: Collection,
    number: int,
    order: Order,
    means: Means,
    *,
    tally: Tally,
    ended: Callable[[Summary], None] = _nobody,
    aside: Aside = nullcontext,
) -> Summary:
    """Run once over one stream of a collection and report it.

    Whatever goes wrong with vendor, database or lease becomes the summary's problem. A defect and a
    cancellation leave this function; `ended` has heard the summary of a cancelled run then.
    """
    began = means.clock()
    key = (number, order.stream)
    run: Run | None = None

    def told(outcome: Outcome, problem: Problem | None = None) -> Summary:
        summary = Summary(
            collection=collection.name,
            stream=order.stream,
            run=run.number if run else None,
            outcome=outcome,
            tally=tally,
            caught_up_to=run.caught_up_to if run else None,
            duration_s=means.clock() - began,
            problem=problem,
        )
        _log_end(summary)
        if outcome is not Outcome.LOCKED:  # nothing was run
            means.witness.ended(order.stream, outcome)
        ended(summary)
        return summary

    with (
        structlog.contextvars.bound_contextvars(collection=collection.name, stream=order.stream),
        means.witness.watch(collection.name, order.stream, tally),
    ):
        try:
            async with lease.hold(
                means.leases,
                key,
                ttl=means.lease_ttl,
                wait=means.wait_lock,
                random=means.random,
                clock=means.clock,
                aside=aside,
            ) as tenure:
                run = await _begin(collection, key, order, means, tally=tally, tenure=tenure)
                with structlog.contextvars.bound_contextvars(run=run.number):
                    async with _ended(run, tenure):
                        await run.go()
            outcome, problem = run.outcome, run.problem
            cancellation.go_on()
        except asyncio.CancelledError:
            told(Outcome.INTERRUPTED)
            raise
        except LeaseHeld as held:
            outcome, problem = Outcome.LOCKED, held.problem
        except LeaseLost as lost:
            outcome, problem = Outcome.DEPOSED, lost.problem
        except (StoreUnavailable, SourceError) as failed:
            outcome, problem = Outcome.FAILED, failed.problem
        return told(outcome, problem)


def _log_end(summary: Summary) -> None:
    """Tell how a run ended; who tries again until its lease is free tells of that by itself."""
    tell = log.info if summary.problem is None else log.warning
    if summary.outcome is Outcome.LOCKED:
        tell = log.debug
    tell(
        events.RUN_ENDED,
        run=summary.run,
        outcome=summary.outcome.value,
        received=summary.tally.received,
        requests=summary.tally.requests,
        problem=summary.problem.as_json() if summary.problem else None,
    )


async def _begin(
    collection: Collection, key: Key, order: Order, means: Means, *, tally: Tally, tenure: Tenure
) -> Run:
    """Depose whoever ran before and begin the run's row, in one transaction."""

    async def begin(conn: Connection, epoch: int) -> int:
        if order.stream != METADATA:
            await lanes.open_live(conn, key, collection.sync.start_date)
        return await runs.start(
            conn,
            key,
            trigger=order.trigger,
            replica=holder.replica,
            epoch=epoch,
            now=means.now(),
            request=order.request,
        )

    holder = tenure.holder
    source = means.source(collection, tenure.in_force)
    mine, number = await fence.take(means.pool, key, holder.token, ttl=means.lease_ttl, begin=begin)
    inquiry = Inquiry(
        source,
        retries=collection.sync.retries,
        tally=tally,
        random=means.random,
        blank_waits_s=means.blank_waits_s,
        answered=partial(means.witness.answered, collection.name),
    )
    log.info(events.RUN_STARTED, run=number, epoch=mine.epoch, trigger=order.trigger)
    if order.stream == METADATA:
        return LookUps(
            number,
            source,
            fence=mine,
            inquiry=inquiry,
            tally=tally,
            now=means.now,
        )
    desk = Desk(
        run=number,
        sync=collection.sync,
        fence=mine,
        source=source,
        inquiry=inquiry,
        memory=Memory(),
        daybook=Daybook(collection.sync.start_date),
        tally=tally,
        now=means.now,
    )
    return Course(desk, order, means.breakers)


@asynccontextmanager
async def _ended(run: Run, tenure: Tenure) -> AsyncIterator[None]:
    """End the run's row when the block ends, also when it is cancelled or lost its lease."""
    try:
        yield
        cancellation.go_on()
        await run.end(run.outcome)
    except asyncio.CancelledError:
        with suppress(BibsyncError, TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await run.end(Outcome.DEPOSED if tenure.lost else Outcome.INTERRUPTED)
        raise
