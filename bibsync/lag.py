"""How late the event loop is: whether the process still gets round to everything.

A timer that fires late says that something kept the loop from turning for as long: too much work
in one piece, a machine without breath, a process that was stopped. What stands still is everything,
renewals of leases too. A standstill is seen by as much less as had passed since the timer was set,
that is by `period_s` at most. A machine's sleep doesn't count.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from bibsync import events

PERIOD_S: Final = 0.25
"""How often the timer is set."""
LAGGED_S: Final = 1.0
"""A standstill as long as this is worth a word."""
CALM_S: Final = 60.0
"""So long without another one, and it is over."""

log = structlog.get_logger()


async def watch(
    told: Callable[[float], object],
    *,
    period_s: float = PERIOD_S,
    lagged_s: float = LAGGED_S,
    calm_s: float = CALM_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Tell, until cancelled, each time by how many seconds the timer was late.

    A standstill is logged once, with how long it was; those that follow are counted, and logged
    together when none came for `calm_s`. `clock` counts seconds.
    """
    trouble = _Trouble(lagged_s, calm_s)
    while True:
        due = clock() + period_s
        await asyncio.sleep(period_s)
        now = clock()
        late_s = max(0.0, now - due)
        told(late_s)
        trouble.note(late_s, now)


class _Trouble:
    """Times in which the loop stood still now and then: said when they begin and end."""

    def __init__(self, lagged_s: float, calm_s: float) -> None:
        self._lagged_s = lagged_s
        self._calm_s = calm_s
        self._times = 0
        self._most_s = 0.0
        self._last = 0.0

    def note(self, late_s: float, now: float) -> None:
        if late_s >= self._lagged_s:
            if not self._times:
                log.warning(events.LOOP_LAGGED, lag_s=round(late_s, 3))
            self._times += 1
            self._most_s = max(self._most_s, late_s)
            self._last = now
        elif self._times and now - self._last >= self._calm_s:
            log.info(events.LOOP_RECOVERED, times=self._times, most_s=round(self._most_s, 3))
            self._times, self._most_s = 0, 0.0
