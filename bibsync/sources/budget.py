"""How often a vendor's host may be asked: one budget for all collections that share the host.

A request waits here for its turn before its time-out begins. Turns are spread evenly, at the
lowest rate that any source of the host allows. A vendor that named a moment (Retry-After)
is not asked before it: short pauses are waited out, longer ones end as SourceBusy, unasked.

The budget is this process's own; replicas each have one.
"""

import asyncio
import math
from weakref import WeakKeyDictionary

from aiolimiter import AsyncLimiter

from bibsync.errors import SourceBusy

LONGEST_WAIT_S = 30.0
"""The longest pause that a request waits out; the longest backoff inside a run."""

BURST_S = 0.01
"""Turns closer together than this are handed out together: timers are no finer."""


class Budget:
    """The turns at one host."""

    def __init__(self) -> None:
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

    def postpone(self, seconds: float) -> None:
        """Hand out no turn for `seconds` from now, whatever collection asks."""
        self._not_before = max(self._not_before, _now() + seconds)

    async def turn(self, vendor: str) -> None:
        """Wait for the next turn.

        Raises:
            SourceBusy: the vendor asked for a pause longer than LONGEST_WAIT_S.
        """
        while True:
            await self._end_of_pause(vendor)
            await self._limiter_in_force().acquire()
            if self._pause_s() <= 0:  # a pause may have begun while this one waited
                return

    async def _end_of_pause(self, vendor: str) -> None:
        while (pause := self._pause_s()) > 0:
            if pause > LONGEST_WAIT_S:
                raise SourceBusy(
                    f"{vendor} asked not to be asked again for another {pause:.0f} seconds.",
                    outcome="postponed",
                    retry_after=pause,
                )
            await asyncio.sleep(pause)

    def _limiter_in_force(self) -> AsyncLimiter:
        rate = min(self._rates.values(), default=self._rate)
        if rate != self._rate:
            self._rate, self._limiter = rate, _limiter(rate)
        return self._limiter

    def _pause_s(self) -> float:
        return self._not_before - _now()


def _limiter(per_second: float) -> AsyncLimiter:
    burst = max(1.0, per_second * BURST_S)
    return AsyncLimiter(burst, burst / per_second)


def _now() -> float:
    return asyncio.get_running_loop().time()
