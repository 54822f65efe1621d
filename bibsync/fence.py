"""The fence: whose commits count, and the one way in which a run writes.

PostgreSQL decides it. Taking over raises the epoch of (collection, stream); every transaction of a
run begins with a statement that finds its row only while epoch, holder and ver are the run's own.
So a deposed run writes nothing, even after a long pause, whatever its lease says.

A COMMIT whose answer got lost has either happened or not: `ver` tells. It happened: the result
stands. It did not: the transaction is done once more. It is never repeated on a guess.

What a single statement writes needs no transaction around it: it carries the fence itself and costs
one round trip instead of four (`commit_at_once`). Nearly every page is written so, being unchanged.

A process that was stopped inside its transaction holds the fence's row. Its session ends by itself
after `idle_ms`; where that doesn't reach it (it stopped in the middle of a statement), whoever
takes over ends the blocking sessions of bibsync's own user.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from bibsync import events, store
from bibsync.errors import LeaseLost, first_of
from bibsync.store import Connection, Pool, fences
from bibsync.store.fences import Standing

IDLE_AT_MOST = timedelta(seconds=15)
TAKE_OVER_WAIT_MS = 2000
RECONNECT_WAITS_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits before trying a lost connection again: half a minute in all, then the run ends."""

Result = TypeVar("Result")
Write = Callable[[Connection], Awaitable[Result]]
Statement = Callable[[Connection, Standing], Awaitable[Result | None]]
"""One statement that writes only where it finds the fence at its standing; None: it did not."""
Begin = Callable[[Connection, int], Awaitable[Result]]
"""What to write in the transaction that raises the epoch, which is its second argument."""
Landed = Callable[[Result], object]
"""Hears, exactly once, what was written, as soon as it is known that it was."""
DEPOSED = "A later run took over this collection; this one writes no more."

log = structlog.get_logger()


def _unheard(_: object) -> None:
    """Hear what was written and do nothing."""


class Once(Protocol):
    """One try to commit; `again` tells that one of the same was made before."""

    async def __call__(self, conn: Connection, *, again: bool) -> None:
        """Commit, or raise."""


class Fence:
    """The right to write for one (collection, stream); one transaction at a time."""

    def __init__(
        self, pool: Pool, key: tuple[int, str], *, epoch: int, holder: str, ver: int, idle_ms: int
    ) -> None:
        self.key = key
        self.epoch = epoch
        self._pool = pool
        self._holder = holder
        self._ver = ver
        self._idle_ms = idle_ms
        self._turn = asyncio.Lock()
        self._pending: Callable[[], object] | None = None

    async def commit(self, write: Write[Result], *, landed: Landed[Result] = _unheard) -> Result:
        """Run `write` in a fenced transaction and return what it returned.

        `write` may run more than once and must do nothing but use its connection. Whoever counts
        what was written does so in `landed`: it is told also where this call was cancelled when
        the COMMIT was on its way; at the latest before the next commit.

        Raises:
            LeaseLost: a later run took over; nothing of this call was written after that.
            StoreUnavailable: the database stayed away; whether the last try landed is for the next
                holder to read from the tables.
        """
        kept: list[Result] = []

        async def once(conn: Connection, **_: bool) -> None:
            async with conn.transaction():
                await self._advance(conn)
                kept[:] = [await write(conn)]
                self._pending = lambda: landed(kept[0])

        await self._until_answered(once)
        return kept[0]

    async def commit_at_once(
        self,
        statement: Statement[Result],
        *,
        unanswered: Result,
        landed: Landed[Result] = _unheard,
    ) -> Result:
        """Run a statement that carries the fence and commits by itself; return what it returned.

        It may be run more than once, and lands once. `unanswered` is returned, and told `landed`,
        where it landed and its answer got lost.

        Raises:
            LeaseLost, StoreUnavailable: as `commit`.
        """
        kept = [unanswered]

        async def once(conn: Connection, *, again: bool) -> None:
            self._pending = lambda: landed(kept[0])
            told = await statement(conn, Standing(self.epoch, self._holder, self._ver))
            if told is not None:
                kept[:] = [told]
            elif not (again and await self._landed(conn)):  # the first try, after it was given up
                self._pending = None
                raise LeaseLost(DEPOSED)

        await self._until_answered(once)
        return kept[0]

    async def _until_answered(self, once: Once) -> None:
        """Have `once` commit, again where its connection was lost and it didn't happen."""
        tried = False

        async def commit(conn: Connection) -> bool:
            nonlocal tried
            if await self._settle(conn) and tried:
                return False
            again, tried = tried, True
            await once(conn, again=again)
            return True

        async with self._turn:
            if await self._reconnecting(commit):  # its connection given back, which may fail too
                self._land()

    async def attempt(self, query: Write[object]) -> None:
        """Try once what may fail without harm, in a transaction of its own."""
        with suppress(*store.DISCONNECTED):
            async with store.acquire(self._pool) as conn, conn.transaction():
                await query(conn)

    async def read(self, query: Write[Result]) -> Result:
        """Run a query that only reads, again where the connection was lost.

        Raises:
            StoreUnavailable: the database stayed away.
        """
        return await self._reconnecting(query)

    async def _reconnecting(self, act: Write[Result]) -> Result:
        """Act on a connection, again where it was lost; that is told once, and that it is back."""
        interrupted = False
        for wait_s in (*RECONNECT_WAITS_S, None):
            try:
                async with store.acquire(self._pool) as conn:
                    result = await act(conn)
            except store.DISCONNECTED as error:
                if wait_s is None:
                    raise store.unavailable(error) from None
                if not interrupted:
                    log.warning(events.STORE_INTERRUPTED, cause=type(error).__name__)
                interrupted = True
                await store.recover(self._pool, error)
                await asyncio.sleep(wait_s)
            else:
                if interrupted:
                    log.info(events.STORE_RECONNECTED)
                return result
        raise AssertionError("the last wait is None")

    async def _advance(self, conn: Connection) -> None:
        mine = await fences.advance(
            conn,
            self.key,
            epoch=self.epoch,
            holder=self._holder,
            ver=self._ver,
            idle_ms=self._idle_ms,
        )
        if not mine:
            raise LeaseLost(DEPOSED)

    async def _landed(self, conn: Connection) -> bool:
        """Tell whether the commit under way has happened."""
        return await fences.landed(
            conn, self.key, epoch=self.epoch, holder=self._holder, ver=self._ver + 1
        )

    async def _settle(self, conn: Connection) -> bool:
        """Find out whether a COMMIT whose answer never came happened; True: it did.

        Its task may have been cancelled just then, or its connection lost.
        """
        if self._pending is None:
            return False
        happened = await self._landed(conn)
        if happened:
            self._land()
        self._pending = None
        return happened

    def _land(self) -> None:
        """Go on from what was written."""
        self._ver += 1
        if self._pending is not None:
            tell, self._pending = self._pending, None
            tell()


async def take(
    pool: Pool, key: tuple[int, str], holder: str, *, ttl: timedelta, begin: Begin[Result]
) -> tuple[Fence, Result]:
    """Raise the epoch, which deposes whoever ran before, and run `begin` in that transaction.

    Raises:
        StoreUnavailable: the database can't be reached, or an old session can't be ended.
        LeaseLost: the collection is gone.
    """
    idle = min(ttl, IDLE_AT_MOST)
    for attempt in range(3):
        try:
            async with store.acquire(pool) as conn:
                return await _raise(pool, conn, key, holder, idle=idle, begin=begin)
        except store.GONE:
            raise LeaseLost(store.FORGOTTEN) from None
        except store.DISCONNECTED as error:
            if attempt == 2:  # noqa: PLR2004 - the last of three tries
                raise store.unavailable(error) from None
            await asyncio.sleep(RECONNECT_WAITS_S[attempt])
    raise AssertionError("three tries")


async def _raise(
    pool: Pool,
    conn: Connection,
    key: tuple[int, str],
    holder: str,
    *,
    idle: timedelta,
    begin: Begin[Result],
) -> tuple[Fence, Result]:
    try:
        async with asyncio.TaskGroup() as group, conn.transaction():
            pid = await fences.backend(conn)
            ender = group.create_task(_end_blockers(pool, pid), name="end blockers")
            epoch, ver = await fences.raise_epoch(conn, key, holder, wait_ms=2 * TAKE_OVER_WAIT_MS)
            begun = await begin(conn, epoch)
            ender.cancel()
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
    idle_ms = int(idle.total_seconds() * 1000)
    fence = Fence(pool, key, epoch=epoch, holder=holder, ver=ver, idle_ms=idle_ms)
    return fence, begun


async def _end_blockers(pool: Pool, pid: int) -> None:
    """After a while, end the sessions that keep the one taking over from the fence's row."""
    await asyncio.sleep(TAKE_OVER_WAIT_MS / 1000)
    async with store.acquire(pool) as conn:
        ended = await fences.end_blockers(conn, pid)
    if ended:
        log.warning(events.LEASE_TAKEN_OVER, ended_sessions=len(ended))
