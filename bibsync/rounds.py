"""Rounds: what a service does again and again, also while its database is away for a while.

A round that meets a database that is away is tried again, at growing waits. That it is lost is said
once, and once that it is back: when the last of those that failed has succeeded, so that a database
that can still be read and not written is one failure and not hundreds. Whatever else a round
raises is a defect and leaves `go`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog

from bibsync import events, store
from bibsync.errors import StoreUnavailable
from bibsync.store import Pool

FIRST_S, MOST_S = 0.25, 5.0
"""The shortest and longest wait before a lost database is tried again."""
SILENT_S = 3.0
"""Where it still answers some, the timetable is read within this time."""

log = structlog.get_logger()


Revive = Callable[[], Awaitable[object]]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reached:
    """A database that was reached; `revive` brings it back where it is this process's own."""

    pool: Pool
    revive: Revive | None = None


class Database:
    """Whether the database answers, as all who ask it in this process know it.

    `who` asks is a key of its own: what one is told says nothing of another, since a server that
    is read-only or whose disk is full answers some.
    """

    def __init__(self, reached: Reached) -> None:
        self.pool = reached.pool
        self._revive = reached.revive
        self._failures: dict[Hashable, int] = {}
        self._answered_at = time.monotonic()
        self._failed_at: float | None = None

    @property
    def lost(self) -> bool:
        """Whether it fails anybody."""
        return bool(self._failures)

    @property
    def silent(self) -> bool:
        """Whether it fails somebody, and has answered nobody for a while."""
        return self.lost and time.monotonic() - self._answered_at > SILENT_S

    def failed_since(self, moment: float) -> bool:
        """Whether it has failed anybody since then, of the clock that never goes back."""
        return self._failed_at is not None and self._failed_at >= moment

    def answered(self, who: Hashable) -> None:
        """Note that it does."""
        self._answered_at = time.monotonic()
        if self._failures.pop(who, 0) and not self.lost:
            log.info(events.STORE_RECOVERED)

    async def failed(self, who: Hashable, error: BaseException) -> None:
        """Note that it doesn't, and wait a while before it is asked again."""
        if not self.lost:
            log.error(events.STORE_LOST, problem=store.unavailable(error).problem.as_json())
        self._failed_at = time.monotonic()
        self._failures[who] = self._failures.get(who, 0) + 1
        if self._revive is not None:
            with suppress(StoreUnavailable):
                await self._revive()
        await store.recover(self.pool, error)
        await asyncio.sleep(min(FIRST_S * 2 ** min(self._failures[who], 10), MOST_S))

    def left(self, who: Hashable) -> None:
        """Note that nobody asks any more under this key, whatever was answered last."""
        self._failures.pop(who, None)


async def go(
    database: Database,
    act: Callable[[], Awaitable[float]],
    *,
    woken: asyncio.Event | None = None,
) -> None:
    """Act until cancelled; `act` returns the seconds to wait then, `woken` cuts that short."""
    while True:
        wait_s = await until_answered(database, act, act)
        if woken is None:
            await asyncio.sleep(wait_s)
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await woken.wait()
        woken.clear()


async def until_answered(
    database: Database, who: Hashable, act: Callable[[], Awaitable[Result]]
) -> Result:
    """Act again and again until the database answers, and return what came of it."""
    try:
        while True:
            try:
                result = await act()
            except store.DISCONNECTED as error:
                await database.failed(who, error)
            except Exception:  # what else is raised comes of its answers
                database.answered(who)
                raise
            else:
                database.answered(who)
                return result
    finally:
        database.left(who)
