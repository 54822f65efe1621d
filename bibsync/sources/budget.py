"""How often a vendor's host may be asked: one budget for all collections that share the host.

A request waits here for its turn before its time-out begins. Turns are spread evenly, at the
lowest rate that any source of the host allows. A vendor that named a moment (Retry-After)
is not asked before it: short pauses are waited out, longer ones end as SourceBusy, unasked.

Replicas share one budget where they have a place to keep it (`SharedTurns`); while that can't be
asked, and without it, each process has its own.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from aiolimiter import AsyncLimiter

from bibsync.errors import SourceBusy
from bibsync.fault import Fault

LONGEST_WAIT_S = 30.0
"""The longest pause that a request waits out; the longest backoff inside a run."""

BURST_S = 0.01
"""Turns closer together than this are handed out together: timers are no finer."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A shared turn: it comes in `wait_s`; or there is none, as a pause goes on for `pause_s`."""

    wait_s: float = 0.0
    pause_s: float = 0.0


class SharedTurns(Protocol):
    """The turns at vendors' hosts, shared by replicas. None is said where they can't be asked."""

    async def turn(self, host: str, interval_s: float) -> Turn | None:
        """Take the host's next turn; after it none comes for `interval_s`."""

    async def pause_s(self, host: str) -> float | None:
        """Return for how many seconds more the host is not to be asked."""

    async def postpone(self, host: str, seconds: float) -> None:
        """Let nobody have a turn at the host for `seconds`; a longer pause goes on."""


class Budget:
    """The turns at one host, which `shared` knows by its name."""

    def __init__(self, host: str = "", *, shared: SharedTurns | None = None) -> None:
        self._host = host
        self._shared = shared
        self._rates: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        self._rate = math.inf
        self._limiter = _limiter(1.0)
        self._not_before = -math.inf

    def join(self, source: object, per_second: float) -> None:
        """Let `source` take part, as long as it lives, at no more than `per_second` in all."""
        self._rates[source] = per_second

    def leave(self, source: object) -> None:
        """Regard the rate of `source` no more."""
        self._rates.pop(source, None)

    async def postpone(self, seconds: float) -> None:
        """Hand out no turn for `seconds` from now, whatever collection asks, in any replica."""
        self._pause(seconds)
        if self._shared:
            await self._shared.postpone(self._host, seconds)

    async def turn(self, vendor: str) -> None:
        """Wait for the next turn.

        Raises:
            SourceBusy: the vendor asked for a pause longer than LONGEST_WAIT_S.
        """
        while True:
            await self._end_of_pause(vendor)
            await self._next_turn()
            if self._pause_s() <= 0:  # a pause may have begun while this one waited
                return

    async def _next_turn(self) -> None:
        """Wait for a turn; where the replicas' shared pause forbids it, only note that pause."""
        limiter = self._limiter_in_force()
        shared = self._shared
        turn = await shared.turn(self._host, 1 / self._rate) if shared else None
        if shared is None or turn is None:
            await limiter.acquire()
            return
        self._pause(turn.pause_s)
        if turn.wait_s > 0:
            await asyncio.sleep(turn.wait_s)
            self._pause(await shared.pause_s(self._host) or 0.0)

    async def _end_of_pause(self, vendor: str) -> None:
        while (pause := self._pause_s()) > 0:
            if pause > LONGEST_WAIT_S:
                raise SourceBusy(
                    f"{vendor} asked not to be asked again for another {pause:.0f} seconds.",
                    outcome=Fault.POSTPONED,
                    retry_after=pause,
                )
            await asyncio.sleep(pause)

    def _limiter_in_force(self) -> AsyncLimiter:
        rate = min(self._rates.values(), default=self._rate)
        if rate != self._rate:
            self._rate, self._limiter = rate, _limiter(rate)
        return self._limiter

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._not_before = max(self._not_before, _now() + seconds)

    def _pause_s(self) -> float:
        return self._not_before - _now()


def _limiter(per_second: float) -> AsyncLimiter:
    burst = max(1.0, per_second * BURST_S)
    return AsyncLimiter(burst, burst / per_second)


def _now() -> float:
    return asyncio.get_running_loop().time()
