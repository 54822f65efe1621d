"""How a loop that stood still is noticed: it really stands still here, for a known time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from bibsync import events, lag

PERIOD_S = 0.01


def stand_still(seconds: float) -> None:
    """Keep the loop from turning."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Told:
    """Hears how late the timer was."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[float] = asyncio.Queue()

    def __call__(self, seconds: float) -> None:
        self._heard.put_nowait(seconds)

    async def next(self) -> float:
        return await self._heard.get()


class Clock:
    """A clock by which the timer, set every `every_s`, is late by the given seconds in turn."""

    def __init__(self, *lateness: float, every_s: float) -> None:
        self._now = 0.0
        self._lateness = list(lateness)
        self._every_s = every_s
        self._is_set = False
        self.over = asyncio.Event()

    def __call__(self) -> float:
        if self._is_set:
            self._now += self._lateness.pop(0) if self._lateness else 0.0
        else:
            self._now += self._every_s
            if not self._lateness:
                self.over.set()
        self._is_set = not self._is_set
        return self._now


@contextmanager
def watching(told: object, **settings: object) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(lag.watch(told, period_s=PERIOD_S, **settings))
    try:
        yield task
    finally:
        task.cancel()


async def words_of(*lateness: float, every_s: float) -> list[dict[str, object]]:
    """Return what is logged of a loop that was late by these seconds, one after the other."""
    clock = Clock(*lateness, every_s=every_s)
    with capture_logs() as said:
        task = asyncio.create_task(lag.watch(lambda _: None, period_s=0.0, clock=clock))
        await clock.over.wait()
        task.cancel()
        await asyncio.wait([task])
    return said


async def test_a_standstill_is_measured():
    told = Told()
    with watching(told):
        await told.next()

        stand_still(0.3)

        assert await told.next() >= 0.3 - PERIOD_S


async def test_a_loop_that_turns_is_not_late():
    """How late depends on the machine: the least of some is meant."""
    told = Told()
    with watching(told):
        assert min([await told.next() for _ in range(10)]) < 0.1


async def test_the_watch_ends_when_it_is_cancelled():
    told = Told()
    with watching(told) as task:
        await told.next()

    await asyncio.wait([task])

    assert task.cancelled()


async def test_a_standstill_is_logged_with_its_length():
    told = Told()
    with capture_logs() as said, watching(told, lagged_s=0.2):
        await told.next()
        stand_still(0.3)
        await told.next()

    [event] = said
    assert (event["event"], event["log_level"]) == (events.LOOP_LAGGED, "warning")
    assert event["lag_s"] >= 0.3 - PERIOD_S


async def test_standstills_that_follow_each_other_are_logged_once():
    said = await words_of(2.0, 0.0, 1.5, 3.0, 0.0, every_s=1.0)

    assert [(each["event"], each["lag_s"]) for each in said] == [(events.LOOP_LAGGED, 2.0)]


async def test_the_end_of_the_trouble_is_logged_with_what_there_was():
    said = await words_of(2.0, 3.0, 0.0, every_s=lag.CALM_S)

    assert [each["event"] for each in said] == [events.LOOP_LAGGED, events.LOOP_RECOVERED]
    assert (said[1]["times"], said[1]["most_s"]) == (2, 3.0)


async def test_a_standstill_after_the_trouble_was_over_is_logged_again():
    said = await words_of(2.0, 0.0, 1.5, every_s=lag.CALM_S)

    assert [each["lag_s"] for each in said if each["event"] == events.LOOP_LAGGED] == [2.0, 1.5]


async def test_a_short_standstill_is_not_worth_a_word():
    assert await words_of(lag.LAGGED_S * 0.9, every_s=1.0) == []


@pytest.mark.parametrize("early_s", [-0.1, 0.0])
async def test_a_timer_that_fires_early_was_not_late(early_s: float):
    told = Told()
    clock = Clock(early_s, every_s=PERIOD_S)
    with watching(told, clock=clock):
        assert await told.next() == pytest.approx(0.0)
