"""One run over one stream of one collection: the road, from top to bottom.

    lease ─ fence ─┬─ choose what to read next ◄────────────────────────────┐
                   └─ window ─ page ─ record ─ store ─ ... ─ end proven ─ coverage

Promises: a page and what it proves are committed together, in a transaction that no request is
part of and that a deposed run can't make. So a run may be cancelled at any await: what was
committed stays, what wasn't is asked for again by the next run, without anyone's doing. A window
that fails is left uncovered and costs no other window; a collection that fails costs no other
collection.

What is read next is `choice`'s to say, `perusal` reads a window, `ask` asks politely, `contents`
opens pages, `fence` commits. Time and chance come in through `Means`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import structlog

from bibsync import choice, coverage, events, fence, lease, outlook
from bibsync.ask import BLANK_WAITS_S, Breakers, Inquiry
from bibsync.choice import Known, Memory, Piece
from bibsync.collection import Collection
from bibsync.daybook import Daybook
from bibsync.errors import (
    BibsyncError,
    CollectionPaused,
    LeaseHeld,
    LeaseLost,
    Problem,
    SourceBusy,
    SourceError,
    SourceParked,
    SourceTimedOut,
    StoreUnavailable,
    first_of,
)
from bibsync.fence import Fence
from bibsync.lease import Key, Leases
from bibsync.perusal import LEFT, Desk, TooWide, peruse
from bibsync.run import Order, Outcome, Summary, Tally
from bibsync.source import Source, present
from bibsync.store import Connection, Pool, collections, lanes, runs, windows
from bibsync.store.leases import Holder
from bibsync.window import Window

LAST_WORD_S = 5.0
"""How long a run that is cancelled may take to note that it was."""
PARKED_AT_MOST = timedelta(hours=1)
"""How long the daemon leaves a stream alone after its vendor gave no answer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every run of a process uses: the store, the vendors, time and chance."""

    pool: Pool
    leases: Leases
    source: Callable[[Collection], Source]
    lease_ttl: timedelta = timedelta(seconds=60)
    wait_lock: timedelta = timedelta(0)
    breakers: Breakers = field(default_factory=Breakers)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)
    blank_waits_s: Sequence[float] = BLANK_WAITS_S


async def harvest_each(
    due: Mapping[int, Collection],
    order: Order,
    means: Means,
    *,
    at_once: int,
    tallies: Mapping[int, Tally],
) -> list[Summary]:
    """Harvest every collection, at most `at_once` together, and return their summaries in order.

    Collections and tallies are by the collection's number; a tally may be watched while its run
    goes on. One collection's failure becomes its summary and the others go on; a defect cancels
    them all.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> Summary:
        async with gate:
            return await harvest(due[number], number, order, means, tally=tallies[number])

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
    return [task.result() for task in tasks]


async def harvest(
    collection: Collection, number: int, order: Order, means: Means, *, tally: Tally
) -> Summary:
    """Run once over one stream of a collection and report it.

    Whatever goes wrong with vendor, database or lease becomes the summary's problem; a defect
    and a cancellation leave this function.
    """
    began = time.monotonic()
    key = (number, order.stream)
    run: Run | None = None
    with structlog.contextvars.bound_contextvars(collection=collection.name, stream=order.stream):
        try:
            async with lease.hold(
                means.leases, key, ttl=means.lease_ttl, wait=means.wait_lock, random=means.random
            ) as holder:
                run = await _begin(collection, key, order, means, tally=tally, holder=holder)
                async with _ended(run):
                    await run.go()
            outcome, problem = run.outcome, run.problem
        except LeaseHeld as held:
            outcome, problem = Outcome.LOCKED, held.problem
        except LeaseLost as lost:
            outcome, problem = Outcome.DEPOSED, lost.problem
        except (StoreUnavailable, SourceError) as failed:
            outcome, problem = Outcome.FAILED, failed.problem
    _leave_if_cancelled()
    return Summary(
        collection=collection.name,
        stream=order.stream,
        run=run.number if run else None,
        outcome=outcome,
        tally=tally,
        caught_up_to=run.caught_up_to if run else None,
        duration_s=time.monotonic() - began,
        problem=problem,
    )


def _leave_if_cancelled() -> None:
    """Go on with a cancellation that came together with an error.

    Before Python 3.13 a task group forgets it then; and it counts right only where the block
    itself waits for the tasks, as every block here does.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _begin(
    collection: Collection, key: Key, order: Order, means: Means, *, tally: Tally, holder: Holder
) -> "Run":
    """Depose whoever ran before and begin the run's row, in one transaction."""

    async def begin(conn: Connection, epoch: int) -> int:
        await lanes.open_live(conn, key, collection.sync.start_date)
        return await runs.start(
            conn, key, trigger=order.trigger, replica=holder.replica, epoch=epoch, now=means.now()
        )

    source = means.source(collection)
    mine, number = await fence.take(means.pool, key, holder.token, ttl=means.lease_ttl, begin=begin)
    desk = Desk(
        run=number,
        sync=collection.sync,
        fence=mine,
        source=source,
        inquiry=Inquiry(
            source,
            retries=collection.sync.retries,
            tally=tally,
            random=means.random,
            blank_waits_s=means.blank_waits_s,
        ),
        memory=Memory(),
        daybook=Daybook(collection.sync.start_date),
        tally=tally,
        now=means.now,
    )
    log.info(events.RUN_STARTED, run=number, epoch=mine.epoch, trigger=order.trigger)
    return Run(desk, order, means.breakers)


@asynccontextmanager
async def _ended(run: "Run") -> AsyncIterator[None]:
    """End the run's row when the block ends, also when it is cancelled."""
    try:
        yield
    except asyncio.CancelledError:
        with suppress(BibsyncError, TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await run.end(Outcome.INTERRUPTED)
        raise
    await run.end(run.outcome)


class Run:
    """One run under its fence: chooses windows, has them read, and says how it went."""

    def __init__(self, desk: Desk, order: Order, breakers: Breakers) -> None:
        self.number = desk.run
        self.problem: Problem | None = None
        self.caught_up_to: datetime | None = None
        self._desk = desk
        self._order = order
        self._key = desk.fence.key
        self._fence: Fence = desk.fence
        self._breaker = breakers.of(desk.source.host)
        self._parked_until: datetime | None = None
        self._paused = False
        self._moved = asyncio.Condition()
        self._days_due: dict[datetime, tuple[Window, ...]] = {}

    @property
    def outcome(self) -> Outcome:
        """How the run stands, from what it did and what stopped it."""
        if self._paused:
            return Outcome.PAUSED
        if self.problem is None:
            return Outcome.SUCCEEDED
        return Outcome.PARTIAL if self._desk.tally.windows else Outcome.FAILED

    async def go(self) -> None:
        """Read everything there is to read, `windows_at_once` windows at a time.

        The first window is read alone: it shows whether the vendor knows us, and its clock.
        """
        try:
            await self._prepare()
            if await self._read_one():
                async with asyncio.TaskGroup() as group:
                    workers = [
                        group.create_task(self._work(), name=f"windows {number} of {self._key}")
                        for number in range(self._desk.sync.windows_at_once)
                    ]
                    await asyncio.wait(workers)
        except BaseExceptionGroup as failed:
            self._stopped_by(first_of(failed))
        except (CollectionPaused, SourceError) as stopped:
            self._stopped_by(stopped)

    async def end(self, outcome: Outcome) -> None:
        """Note how the run ended."""
        tally, sync = self._desk.tally, self._desk.sync

        async def write(conn: Connection) -> None:
            live = (await lanes.unfinished(conn, self._key))[0]
            self.caught_up_to = coverage.caught_up_to(live.covered, sync.start_date)
            await lanes.park(conn, self._key, self._parked_until)
            await runs.end(
                conn,
                self._key[0],
                self.number,
                outcome=outcome,
                tally=tally,
                caught_up_to=self.caught_up_to,
                problem=self.problem,
                now=self._desk.now(),
            )

        await self._fence.commit(write)
        log.info(
            events.RUN_ENDED,
            run=self.number,
            outcome=outcome.value,
            received=tally.received,
            requests=tally.requests,
        )

    def _stopped_by(self, error: BaseException) -> None:
        """Take what stops a run, but not the process, as its problem."""
        if not isinstance(error, CollectionPaused | SourceError):
            raise error
        self.problem = error.problem
        self._paused = isinstance(error, CollectionPaused)
        if isinstance(error, SourceParked):
            self._park(timedelta(seconds=error.wait_s))

    def _park(self, wait: timedelta) -> None:
        """Let the daemon try again after `wait`, but within an hour."""
        self._parked_until = self._desk.now() + min(wait, PARKED_AT_MOST)

    async def _prepare(self) -> None:
        """Drop what no run goes on with, open the lane that was ordered, measure the way."""
        known = await self._known()

        async def write(conn: Connection) -> None:
            await windows.drop_each(conn, self._key, choice.superseded(known))
            if self._order.force_reimport:
                await self._open_lane(conn, known)

        await self._fence.commit(write)
        self._desk.tally.to_read = choice.outstanding(await self._known())

    async def _open_lane(self, conn: Connection, known: Known) -> None:
        span = outlook.span(known, self._order)
        if span is not None:
            asked = (self._order.since, self._order.until)
            await lanes.open_lane(conn, self._key, "reimport", span, asked=asked, now=known.now)

    async def _work(self) -> None:
        while await self._read_one():
            pass

    async def _read_one(self) -> bool:
        """Read the next window; False: none is left."""
        piece = await self._next()
        if piece is None:
            return False
        try:
            await peruse(self._desk, piece)
            self._breaker.succeeded()
        except TooWide:
            await self._drop(piece)
        except SourceBusy as busy:
            await self._give_up(piece, busy)
        finally:
            async with self._moved:
                self._desk.memory.reading.remove(piece)
                self._moved.notify_all()
        return True

    async def _next(self) -> Piece | None:
        """Choose; wait while all that is left is being read by this run.

        No window ends between the look at the store and the choice, else it were chosen again. Days
        that became due meanwhile are looked for once more before the run ends.
        """
        memory = self._desk.memory
        async with self._moved:
            while True:
                looked_before = bool(self._days_due)
                piece = choice.choose(await self._known(), memory)
                if piece is not None:
                    memory.reading.append(piece)
                    return piece
                if memory.reading:
                    await self._moved.wait()
                elif looked_before:
                    self._days_due.clear()
                else:
                    return None

    async def _known(self) -> Known:
        """Look at what the store knows now, and at the clocks."""
        desk, order = self._desk, self._order
        now = desk.now()
        cutoff = desk.memory.present(now, present(now, desk.source.skew()))

        async def query(conn: Connection) -> Known:
            if not await collections.is_enabled(conn, self._key[0]):
                raise CollectionPaused(LEFT)
            return await outlook.look(
                conn,
                self._key,
                desk.sync,
                order,
                now=now,
                cutoff=cutoff,
                days_due=self._days_due.get(cutoff),
            )

        known = await self._fence.read(query)
        self._days_due = {cutoff: known.days_due}
        return known

    async def _drop(self, piece: Piece) -> None:
        await self._fence.commit(lambda conn: windows.drop(conn, self._key, piece))
        log.info(events.WINDOW_HALVED, window=str(piece.window))

    async def _give_up(self, piece: Piece, busy: SourceBusy) -> None:
        """Leave the window uncovered for this run; after a time-out ask for less of it instead."""
        desk = self._desk
        if isinstance(busy, SourceTimedOut) and piece.may_halve(desk.sync):
            desk.memory.halve(piece, desk.sync)
            await self._drop(piece)
            return
        now = desk.now()
        await self._fence.commit(
            lambda conn: windows.fail(conn, self._key, piece, now=now, why=busy.message)
        )
        desk.memory.failed.append(piece.window)
        desk.tally.failed_windows += 1
        self.problem = busy.problem
        self._park(PARKED_AT_MOST)
        log.warning(
            events.WINDOW_FAILED, window=str(piece.window), outcome=busy.outcome, why=busy.message
        )
        self._breaker.fail(piece.window)
        if self._breaker.open:
            raise busy
