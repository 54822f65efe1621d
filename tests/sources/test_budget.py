"""The turns at a vendor's host, in a time that passes by itself."""

import asyncio
from itertools import pairwise

import pytest

from bibsync.errors import SourceBusy
from bibsync.sources.budget import LONGEST_WAIT_S, Budget

TICK = 1e-9
"""Clocks are never read twice at the same moment, which rounding relies upon."""


class Passing(asyncio.SelectorEventLoop):
    """A loop in which every wait is over at once, its clock having gone on by as much."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when()) + TICK
        super()._run_once()


class Source:
    """Somebody who takes part."""


@pytest.fixture
def run():
    with asyncio.Runner(loop_factory=Passing) as runner:
        yield runner.run


async def turns(budget, count):
    """Take `count` turns, asked for all at once; return when each came, from now."""
    loop, came = asyncio.get_running_loop(), []
    began = loop.time()

    async def one():
        await budget.turn("The vendor")
        came.append(loop.time() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return came


@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0, 5.0, 100.0])
def test_turns_are_spread_evenly(run, rate):
    budget, source = Budget(), Source()
    budget.join(source, rate)

    came = run(turns(budget, 21))

    assert [b - a for a, b in pairwise(came)] == pytest.approx([1 / rate] * 20)


@pytest.mark.parametrize("rate", [1_000.0, 100_000.0])
def test_a_high_rate_is_kept_although_timers_are_coarse(run, rate):
    budget, source = Budget(), Source()
    budget.join(source, rate)

    came = run(turns(budget, 5_000))

    assert came[-1] == pytest.approx(5_000 / rate, rel=0.25)


def test_the_lowest_rate_of_those_who_share_a_host_counts(run):
    budget, quick, slow = Budget(), Source(), Source()
    budget.join(quick, 100.0)
    budget.join(slow, 2.0)

    together = run(turns(budget, 5))
    budget.leave(slow)
    alone = run(turns(budget, 5))

    assert together[-1] == pytest.approx(2.0)
    assert alone[-1] == pytest.approx(0.04)


def test_a_source_that_is_gone_is_regarded_no_more(run):
    budget, quick, slow = Budget(), Source(), Source()
    budget.join(quick, 100.0)
    budget.join(slow, 0.1)
    del slow

    assert run(turns(budget, 3))[-1] == pytest.approx(0.02)


def test_a_short_pause_is_waited_out_by_everybody(run):
    budget, source = Budget(), Source()
    budget.join(source, 10.0)

    async def pausing():
        await budget.postpone(20.0)
        return await turns(budget, 3)

    assert run(pausing()) == pytest.approx([20.0, 20.1, 20.2], abs=0.01)


def test_a_pause_binds_those_who_were_already_waiting(run):
    budget, source = Budget(), Source()
    budget.join(source, 1.0)

    async def interrupted():
        async def later():
            await asyncio.sleep(1.5)
            await budget.postpone(10.0)

        async with asyncio.TaskGroup() as group:
            group.create_task(later())
            return await turns(budget, 3)

    came = run(interrupted())

    assert came[:2] == pytest.approx([0.0, 1.0])
    assert came[2] >= 11.5


def test_a_long_pause_is_told_and_not_waited_for(run):
    budget, source = Budget(), Source()
    budget.join(source, 10.0)

    async def postponed():
        await budget.postpone(LONGEST_WAIT_S + 90)
        began = asyncio.get_running_loop().time()
        with pytest.raises(SourceBusy) as raised:
            await budget.turn("The vendor")
        return raised.value, asyncio.get_running_loop().time() - began

    error, waited = run(postponed())

    assert waited == 0
    assert error.outcome == "postponed"
    assert error.retry_after == pytest.approx(LONGEST_WAIT_S + 90)
    assert error.message == "The vendor asked not to be asked again for another 120 seconds."


def test_a_shorter_pause_does_not_end_a_longer_one(run):
    budget, source = Budget(), Source()
    budget.join(source, 10.0)

    async def twice():
        await budget.postpone(25.0)
        await budget.postpone(1.0)
        return await turns(budget, 1)

    assert run(twice()) == pytest.approx([25.0])
