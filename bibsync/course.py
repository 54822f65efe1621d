"""The course of one run under its fence: chooses windows, has them read, and says how it went.

A window that fails is left uncovered, with the time of its failure, and not chosen again by this
run. Five different ones failing in a row at a host, refused credentials, a pause longer than a run
waits, or a collection that is paused or left the configuration end the run; what was stored stays.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from bibsync import choice, coverage, events, outlook
from bibsync.ask import Breakers
from bibsync.choice import Known, Piece
from bibsync.errors import (
    CollectionPaused,
    Problem,
    SourceBusy,
    SourceError,
    SourceParked,
    SourceTimedOut,
    first_of,
)
from bibsync.fence import Fence
from bibsync.perusal import Desk, TooWide, peruse
from bibsync.run import Order, Outcome
from bibsync.source import present
from bibsync.store import Connection, lanes, pauses, runs, windows
from bibsync.window import Window

PARKED_AT_MOST = timedelta(hours=1)
"""The longest time for which the daemon leaves a stream alone, whatever its vendor asks for."""
LEFT_ALONE = timedelta(minutes=5)
"""How long a vendor that failed is spared where it named no time itself."""

log = structlog.get_logger()


class Course:
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
        self._over = False
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
            await lanes.close_finished(conn, self._key, now=known.now, cutoff=known.cutoff)
            if self._order.force_reimport:
                await self._open_lane(conn, known)

        await self._fence.commit(write)
        self._desk.tally.to_read = choice.outstanding(await self._known())

    async def _open_lane(self, conn: Connection, known: Known) -> None:
        """Open the lane that was ordered, or join it.

        What was begun before a new one doesn't count for it, so it is read from its start again.
        """
        span = outlook.span(known, self._order)
        if span is None:
            return
        asked = (self._order.since, self._order.until)
        opened = await lanes.open_lane(
            conn, self._key, self._order.lane, span, asked=asked, now=known.now
        )
        if opened not in {lane.number for lane in known.lanes}:
            await windows.drop_each(conn, self._key, choice.begun(known))

    async def _work(self) -> None:
        while await self._read_one():
            pass

    async def _read_one(self) -> bool:
        """Read the next window; False: none is left."""
        piece = await self._next()
        if piece is None:
            return False
        try:
            with structlog.contextvars.bound_contextvars(window=str(piece.window)):
                await self._read(piece)
        finally:
            async with self._moved:
                self._desk.memory.reading.remove(piece)
        return True

    async def _read(self, piece: Piece) -> None:
        try:
            await peruse(self._desk, piece)
            self._breaker.succeeded()
        except TooWide:
            await self._drop(piece)
        except SourceBusy as busy:
            await self._give_up(piece, busy)

    async def _next(self) -> Piece | None:
        """Choose; wait while all that is left is being read by this run.

        No window ends between the look at the store and the choice, else it were chosen again. Days
        that became due meanwhile are looked for once more before the run ends. Whoever ends a
        window looks; those that wait do so only where that one found something, or the end.
        """
        memory = self._desk.memory
        async with self._moved:
            while not self._over:
                looked_before = bool(self._days_due)
                piece = choice.choose(await self._known(), memory)
                if piece is not None:
                    memory.reading.append(piece)
                    self._moved.notify()
                    return piece
                if memory.reading:
                    await self._moved.wait()
                elif looked_before:
                    self._days_due.clear()
                else:
                    self._over = True
                    self._moved.notify_all()
        return None

    async def _known(self) -> Known:
        """Look at what the store knows now, and at the clocks."""
        desk, order = self._desk, self._order
        now = desk.now()
        cutoff = desk.memory.present(now, present(now, desk.source.skew()))

        async def query(conn: Connection) -> Known:
            await pauses.demand_open(conn, self._key[0])
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
        log.info(events.WINDOW_HALVED)

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
        self._park(LEFT_ALONE)
        log.warning(events.WINDOW_FAILED, code=busy.code, outcome=busy.outcome, why=busy.message)
        self._breaker.fail(piece.window)
        if self._breaker.open:
            raise busy
