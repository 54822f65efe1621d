"""Delivery over one channel: in order, again after growing waits, and not for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from random import Random

import pytest
import structlog
from library import BEGIN, Clock

from bibsync import store
from bibsync.notify.channel import Channel, Undelivered
from bibsync.notify.delivery import LONGEST_WAIT_S, MOST, Pace, Style, deliver
from bibsync.notify.wording import Message
from bibsync.store import Connection, Pool, notices
from bibsync.store.notices import End, Word

STYLE = Style(UTC, "sync01")
DAY = timedelta(days=1)
KNOWN = {
    "stream": "purchases",
    "outcome": "failed",
    "problem": None,
    "last_success": None,
    "caught_up_to": None,
}


@dataclass
class Ear:
    """A channel that hears, unless it is deaf."""

    most: int = 1
    name: str = "mail"
    deaf: bool = False
    partly: bool = False
    heard: list[list[str]] = field(default_factory=list)
    tries: int = 0

    async def send(self, messages: Sequence[Message]) -> None:
        self.tries += 1
        if self.deaf:
            raise Undelivered("deaf")
        self.heard.append([each.id for each in messages])
        if self.partly:
            raise Undelivered("one of two is deaf", partly=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock.seconds, Random(1))


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with store.acquire(pool) as conn:
        yield conn


async def open_some(conn: Connection, count: int, *, first: int = 0) -> None:
    words = [Word("failing", f"library {n}", KNOWN) for n in range(first, first + count)]
    await notices.begin(conn, words, now=BEGIN)


async def go(pool: Pool, ear: Channel, pace: Pace, clock: Clock) -> None:
    await deliver(pool, ear, pace, STYLE, now=clock.now)


async def test_a_few_are_told_one_by_one_in_order_and_more_together(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    ear = Ear(most=100)
    await open_some(conn, 3)
    await go(pool, ear, pace, clock)
    await open_some(conn, 9, first=3)
    await go(pool, ear, pace, clock)

    await go(pool, ear, pace, clock)

    assert [1, 1, 1, 9] == [len(each) for each in ear.heard]
    assert [f"{n}-failing" for n in range(1, 13)] == [word for each in ear.heard for word in each]


async def test_a_channel_that_fails_is_left_alone_for_ever_longer_up_to_an_hour(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    ear = Ear(deaf=True)
    await open_some(conn, 1)
    waits = []
    with structlog.testing.capture_logs() as logged:
        for _ in range(10):
            await go(pool, ear, pace, clock)
            await go(pool, ear, pace, clock)
            waits.append(pace.not_before - clock.seconds())
            clock.go(timedelta(seconds=waits[-1] + 0.001))
        ear.deaf = False
        await go(pool, ear, pace, clock)

    assert 11 == ear.tries
    assert all(0.75 * 30 * 2**n <= wait <= 30 * 2**n for n, wait in enumerate(waits[:7]))
    assert all(0.75 * LONGEST_WAIT_S <= wait <= LONGEST_WAIT_S for wait in waits[7:])
    assert ["notice.undelivered", "channel.recovered", "notice.told"] == [
        each["event"] for each in logged
    ]


async def test_what_could_not_be_told_for_a_week_is_given_up(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    ear = Ear(deaf=True)
    await open_some(conn, 2)
    with structlog.testing.capture_logs() as logged:
        clock.go(7 * DAY - timedelta(seconds=1))
        await go(pool, ear, pace, clock)
        ended = [each["event"] for each in logged]
        clock.go(DAY)
        await go(pool, ear, pace, clock)
    ear.deaf = False
    clock.go(DAY)
    await go(pool, ear, pace, clock)

    assert "notice.given_up" not in ended
    assert [2] == [each["messages"] for each in logged if each["event"] == "notice.given_up"]
    assert [] == ear.heard


async def test_an_old_problem_that_lasts_is_told_over_a_channel_that_is_new(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    ear = Ear()
    await open_some(conn, 1)
    clock.go(30 * DAY)

    await go(pool, ear, pace, clock)

    assert [["1-failing"]] == ear.heard


async def test_no_more_than_so_many_wait(pool: Pool, conn: Connection, pace: Pace, clock: Clock):
    ear = Ear(most=MOST)
    await open_some(conn, MOST + 5)

    with structlog.testing.capture_logs() as logged:
        await go(pool, ear, pace, clock)

    assert [5] == [each["messages"] for each in logged if each["event"] == "notice.given_up"]
    assert [MOST] == [len(each) for each in ear.heard]
    assert "6-failing" == ear.heard[0][0]


async def test_where_some_have_got_it_nobody_gets_it_twice(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    ear = Ear(partly=True)
    await open_some(conn, 1)

    with structlog.testing.capture_logs() as logged:
        await go(pool, ear, pace, clock)
        await go(pool, ear, pace, clock)

    assert [["1-failing"]] == ear.heard
    assert 1 == sum(each["event"] == "notice.undelivered" for each in logged)


@dataclass
class Slow(Ear):
    """An ear that hears only when it is let."""

    listening: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, messages: Sequence[Message]) -> None:
        self.listening.set()
        await self.let.wait()
        await super().send(messages)


async def test_while_one_replica_sends_no_other_does_and_the_end_waits_its_turn(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    slow, other = Slow(), Ear()
    await open_some(conn, 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(go(pool, slow, pace, clock), name="one replica")
        await slow.listening.wait()
        over = End(1, KNOWN | {"calm_until": BEGIN.isoformat()}, silently=False)
        await notices.end(conn, [over], now=BEGIN)
        await go(pool, other, pace, clock)
        slow.let.set()

    assert [["1-failing"], ["1-failing-over"]] == slow.heard
    assert [] == other.heard


async def test_a_sending_that_is_stopped_is_sent_again(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    """It may have arrived: twice is better than never."""
    slow, later = Slow(), Ear()
    await open_some(conn, 1)
    task = asyncio.create_task(go(pool, slow, pace, clock), name="one that is stopped")
    await slow.listening.wait()
    task.cancel()
    await asyncio.wait([task])

    await go(pool, later, pace, clock)

    assert task.cancelled()
    assert [["1-failing"]] == later.heard


@dataclass
class Swallowing(Slow):
    """An ear that takes a cancellation for the end of its waiting, as libraries do by mistake."""

    async def send(self, messages: Sequence[Message]) -> None:
        try:
            await super().send(messages)
        except asyncio.CancelledError:
            self.heard.append([each.id for each in messages])


async def test_a_stop_that_a_library_swallows_is_a_stop_all_the_same(
    pool: Pool, conn: Connection, pace: Pace, clock: Clock
):
    """`asyncio.wait_for` does so before Python 3.12 where the answer comes at the same moment."""
    ear = Swallowing()
    await open_some(conn, 2)
    task = asyncio.create_task(go(pool, ear, pace, clock), name="one that is stopped")
    await ear.listening.wait()
    task.cancel()
    await asyncio.wait([task], timeout=30)

    assert task.cancelled()
    assert [["1-failing"]] == ear.heard
    assert [2] == [each.number for each in await notices.pending(conn, "mail", now=BEGIN, limit=9)]
