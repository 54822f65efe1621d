"""Turns that replicas share: one rate and one pause for all; and what happens without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import structlog
from redis_server import RedisServer

from bibsync.errors import SourceBusy
from bibsync.replicas import address, client
from bibsync.replicas.client import Contact
from bibsync.replicas.turns import RedisTurns
from bibsync.sources.budget import LONGEST_WAIT_S, Budget, Turn

HOST = "vendor.example"


class Source:
    """Somebody who takes part."""


@pytest.fixture
async def another(redis_server: RedisServer) -> AsyncIterator[Contact]:
    async with client.connected(address.read(redis_server.url)) as contact:
        yield contact


@pytest.fixture
def budgets(contact: Contact, another: Contact) -> list[Budget]:
    """Return the budgets of two replicas."""
    return [Budget(HOST, shared=RedisTurns(each)) for each in (contact, another)]


def joined(budgets: list[Budget], per_second: float) -> Source:
    source = Source()
    for each in budgets:
        each.join(source, per_second)
    return source


async def turns(budgets: list[Budget], count: int) -> list[float]:
    """Take `count` turns by each, asked for all at once; return when each came, from the first."""
    came: list[float] = []

    async def one(budget: Budget) -> None:
        await budget.turn("The vendor")
        came.append(time.monotonic())

    async with asyncio.TaskGroup() as group:
        for budget in budgets * count:
            group.create_task(one(budget))
    return [each - came[0] for each in came]


async def test_two_replicas_together_keep_one_rate(budgets: list[Budget]):
    source = joined(budgets, 20.0)

    came = await turns(budgets, 6)

    assert came[-1] >= 11 / 20 - 0.02, source
    assert came[-1] < 2 * 11 / 20


async def test_turns_are_given_out_evenly(contact: Contact):
    shared = RedisTurns(contact)

    waits = [(await shared.turn(HOST, 10.0)).wait_s for _ in range(6)]

    assert waits[0] == 0
    assert [b - a for a, b in pairwise(waits)] == pytest.approx([10.0] * 5, abs=0.5)


async def test_hosts_have_turns_of_their_own(contact: Contact):
    shared = RedisTurns(contact)
    await shared.turn(HOST, 10.0)

    assert Turn() == await shared.turn("another.example", 10.0)


async def test_a_clock_that_was_set_back_holds_nobody_up(
    contact: Contact, redis_server: RedisServer
):
    with redis_server.asked() as asked:
        asked.set(f"bibsync:turns:{{{HOST}}}", str(round((time.time() + 3600) * 1e6)), ex=60)

    assert Turn() == await RedisTurns(contact).turn(HOST, 0.2)


async def test_a_high_rate_is_not_held_up_by_redis(budgets: list[Budget]):
    source = joined(budgets, 100_000.0)

    began = time.monotonic()
    await turns(budgets[:1], 1_000)

    assert (time.monotonic() - began) / 1_000 < 0.005, source


async def test_a_pause_that_one_replica_was_told_of_binds_the_other(budgets: list[Budget]):
    source = joined(budgets, 100.0)
    one, other = budgets
    await one.postpone(LONGEST_WAIT_S + 90)

    with pytest.raises(SourceBusy) as raised:
        await other.turn("The vendor")

    assert raised.value.outcome == "postponed", source
    assert raised.value.retry_after == pytest.approx(LONGEST_WAIT_S + 90, abs=2)


class Watched(RedisTurns):
    """Shared turns; `taken` is set once a turn was taken."""

    def __init__(self, contact: Contact):
        super().__init__(contact)
        self.taken = asyncio.Event()

    async def turn(self, host: str, interval_s: float) -> Turn | None:
        turn = await super().turn(host, interval_s)
        self.taken.set()
        return turn


async def test_a_pause_binds_those_of_other_replicas_who_wait_already(
    budgets: list[Budget], another: Contact
):
    watched = Watched(another)
    one, other = budgets[0], Budget(HOST, shared=watched)
    source = joined([one, other], 2.0)
    await one.turn("The vendor")

    waiting = asyncio.create_task(other.turn("The vendor"))
    await watched.taken.wait()
    await one.postpone(LONGEST_WAIT_S + 90)

    with pytest.raises(SourceBusy):
        await waiting
    assert source


async def test_a_short_pause_is_waited_out_and_then_the_rate_is_kept(budgets: list[Budget]):
    source = joined(budgets, 20.0)
    await budgets[0].postpone(0.3)
    began = time.monotonic()

    came = await turns(budgets, 3)

    assert time.monotonic() - began >= 0.3 + 5 / 20 - 0.02, source
    assert came[-1] >= 5 / 20 - 0.02


async def test_a_shorter_pause_does_not_end_a_longer_one(contact: Contact):
    shared = RedisTurns(contact)
    await shared.postpone(HOST, 50.0)
    await shared.postpone(HOST, 1.0)

    assert 45 < (await shared.turn(HOST, 1.0)).pause_s <= 50


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e12])
async def test_a_pause_of_any_length_ends(contact: Contact, seconds: float):
    await RedisTurns(contact).postpone(HOST, seconds)

    assert await RedisTurns(contact).pause_s(HOST) is not None


async def test_without_redis_each_process_keeps_the_rate_by_itself(
    budgets: list[Budget], redis_server: RedisServer
):
    source = joined(budgets, 20.0)
    redis_server.kill()

    with structlog.testing.capture_logs() as said:
        came = await turns(budgets[:1], 5)

    assert came[-1] >= 4 / 20 - 0.02, source
    assert ["redis.lost"] == [each["event"] for each in said]


async def test_a_redis_that_swallows_everything_costs_one_time_out(
    budgets: list[Budget], redis_server: RedisServer
):
    source = joined(budgets, 100.0)
    await turns(budgets, 1)
    redis_server.stop()
    began = time.monotonic()
    try:
        for _ in range(10):
            await budgets[0].turn("The vendor")
        await budgets[0].postpone(0.1)
        await budgets[0].turn("The vendor")
    finally:
        redis_server.go_on()

    assert client.LIMIT_S <= time.monotonic() - began < client.LIMIT_S + 0.7, source


async def test_a_pause_is_kept_without_redis_too(budgets: list[Budget], redis_server: RedisServer):
    source = joined(budgets, 100.0)
    redis_server.kill()
    await budgets[0].postpone(LONGEST_WAIT_S + 90)

    with pytest.raises(SourceBusy):
        await budgets[0].turn("The vendor")
    assert source
