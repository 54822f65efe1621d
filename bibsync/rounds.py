"""Rounds: what a service does again and again, also while its database is away for a while.

A round that meets a database that is away is tried again, at growing waits; that is said once when
it is lost and once when it is back, however many rounds there are. Whatever else a round raises is
a defect and leaves `go`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from bibsync import events, store
from bibsync.errors import StoreUnavailable
from bibsync.store import Pool

FIRST_S, MOST_S = 0.25, 5.0
"""The shortest and longest wait before a lost database is tried again."""

log = structlog.get_logger()


Revive = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Reached:
    """A database that was reached; `revive` brings it back where it is this process's own."""

    pool: Pool
    revive: Revive | None = None


class Database:
    """Whether the database answers, as all rounds of a process know it."""

    def __init__(self, reached: Reached) -> None:
        self.pool = reached.pool
        self.lost = False
        self._revive = reached.revive
        self._failures = 0

    def answered(self) -> None:
        """Note that it does."""
        self._failures = 0
        if self.lost:
            self.lost = False
            log.info(events.STORE_RECOVERED)

    async def failed(self, error: BaseException) -> None:
        """Note that it doesn't, and wait a while before it is asked again."""
        if not self.lost:
            self.lost = True
            log.error(events.STORE_LOST, problem=store.unavailable(error).problem.as_json())
        self._failures += 1
        if self._revive is not None:
            with suppress(StoreUnavailable):
                await self._revive()
        await store.recover(self.pool, error)
        await asyncio.sleep(min(FIRST_S * 2 ** min(self._failures, 10), MOST_S))


async def go(
    database: Database,
    act: Callable[[], Awaitable[float]],
    *,
    woken: asyncio.Event | None = None,
) -> None:
    """Act until cancelled; `act` returns the seconds to wait then, `woken` cuts that short."""
    while True:
        try:
            wait_s = await act()
        except store.DISCONNECTED as error:
            await database.failed(error)
            continue
        database.answered()
        if woken is None:
            await asyncio.sleep(wait_s)
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await woken.wait()
        woken.clear()
