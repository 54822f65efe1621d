"""Cancelled anywhere, as often as one likes, a harvest loses nothing and doubles nothing."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from stepping import Steps
from world import (
    BLANK,
    MIDNIGHT,
    Bought,
    Vendor,
    World,
    bought,
    busy,
    collection,
    page,
    timed_out,
)

from bibsync.errors import SourceRefused
from bibsync.run import Order
from bibsync.source import Page
from bibsync.store import Pool
from bibsync.window import DAY, Window

START = MIDNIGHT - 3 * DAY
SEEDS = 25
CHUNKS = range(8)
CANCELLATIONS = 3
RUNS_AT_MOST = 15


class Faults:
    """A hook by which the vendor errs at random, in every way that it can recover from.

    Of two answers to a window one isn't blank. A title is hidden in one answer at most, and never
    the window's last: that would be a late arrival, which only a later reading can find. So would
    be two that are hidden one after the other, an earlier and a later one: what follows the first
    stands where it stood.
    """

    def __init__(self, vendor: Vendor, random: Random) -> None:
        self.fired: Counter[str] = Counter()
        self._vendor = vendor
        self._random = random
        self._blank: set[Window] = set()
        self._hidden: set[str] = set()
        self._hiding: set[Window] = set()

    def __call__(self, window: Window, offset: int) -> Page | None:
        fault = self._random.choices(
            ("none", "busy", "timeout", "blank", "short", "hidden"), (70, 9, 4, 5, 7, 5)
        )[0]
        if (fault == "blank" and window in self._blank) or (
            fault == "hidden" and window in self._hiding
        ):
            fault = "none"
        self._blank.discard(window)
        if fault == "blank":
            self._blank.add(window)
        inside = self._vendor.inside(window)
        size = self._vendor.page_size
        self.fired[fault] += 1
        if fault == "busy":
            raise busy()
        if fault == "timeout":
            raise timed_out()
        if fault == "blank":
            return BLANK
        self._hiding.discard(window)
        if fault == "short":
            size = self._random.randint(2, size)
        if fault == "hidden":
            self._hiding.add(window)
            inside = self._without_one(inside)
        return page(inside[offset - 1 : offset - 1 + size])

    def _without_one(self, inside: list[Bought]) -> list[Bought]:
        known = [each for each in inside[:-1] if each.key not in self._hidden]
        if not known:
            return inside
        hidden = self._random.choice(known)
        self._hidden.add(hidden.key)
        return [each for each in inside if each is not hidden]


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_a_harvest_cancelled_at_any_step_goes_on_to_the_whole_truth(pool: Pool, chunk: int):
    steps = Steps()
    whole = _world(pool, Random(), f"undisturbed {chunk}")
    await steps.run(whole.harvest())
    length = steps.made

    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        print(f"seed {seed}")  # noqa: T201 - a failure replays from it
        world = _world(pool, Random(seed), f"seed {seed}")
        await _interrupt(world, steps, Random(seed), length)
        summary = await world.harvest()

        assert summary.outcome == "succeeded"
        await _assert_whole(world)


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_a_harvest_cancelled_amid_faults_goes_on_to_the_whole_truth(pool: Pool, chunk: int):
    steps = Steps()
    fired: Counter[str] = Counter()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        print(f"seed {seed}")  # noqa: T201 - a failure replays from it
        random = Random(seed)
        world = _world(pool, random, f"seed {seed}", retries=1)
        world.vendor.hook = faults = Faults(world.vendor, random)
        await _interrupt(world, steps, random, 700)
        await _run_until_covered(world)

        fired += faults.fired
        await _assert_whole(world)
    assert set(fired) == {"none", "busy", "timeout", "blank", "short", "hidden"}


@pytest.mark.parametrize("request_number", [1, 3])
async def test_a_cancellation_is_not_swallowed_where_the_vendor_refuses_at_once(
    world: World, request_number: int
):
    """Whoever cancels a run must see it end as cancelled, whatever else happens then."""

    def cancel_and_refuse(_window: Window, _offset: int) -> None:
        if len(world.vendor.asked) == request_number:
            run.cancel()
            raise SourceRefused("The vendor refuses the account.")

    world.vendor.hook = cancel_and_refuse
    run = asyncio.create_task(world.harvest(), name="run")
    await asyncio.wait([run])

    assert run.cancelled()


async def test_a_cancelled_run_says_so_and_frees_its_lease(world: World):
    world.vendor.purchases = bought(100)
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    world.vendor.before = {3: hang}
    run = asyncio.create_task(world.harvest(), name="run")
    await reached.wait()
    run.cancel()
    await asyncio.wait([run])

    assert run.cancelled()
    assert await world.value("select outcome from runs where collection = $1") == "interrupted"
    held = "select count(*) from leases where collection = $1 and expires_at > clock_timestamp()"
    assert await world.value(held) == 0
    assert (await world.harvest()).outcome == "succeeded"


def _world(pool: Pool, random: Random, name: str, **sync: object) -> World:
    titles = bought(24, since=START)
    for bad in random.sample(range(24), 3):
        titles[bad] = replace(titles[bad], controls=random.choice((0, 2)))
    vendor = Vendor(titles, page_size=4)
    return World(pool, vendor, collection=collection(name, start_date=START, **sync))


async def _interrupt(world: World, steps: Steps, random: Random, length: int) -> None:
    for _ in range(CANCELLATIONS):
        order = Order(force_reimport=random.random() < 0.2)
        await steps.run(world.harvest(order), cancelled_at=random.randrange(1, length))
        world.now += random.choice((timedelta(0), timedelta(0), timedelta(minutes=61)))


async def _run_until_covered(world: World) -> None:
    for _ in range(RUNS_AT_MOST):
        summary = await world.harvest()
        if summary.outcome == "succeeded":
            return
    pytest.fail(f"not covered after {RUNS_AT_MOST} runs: {await world.covered()}")


async def _assert_whole(world: World) -> None:
    bad = sum(each.controls != 1 for each in world.vendor.purchases)
    assert world.truth() == await world.stored()
    assert (Window(START, world.now),) == await world.covered()
    assert len(await world.lanes()) == 1
    assert len(await world.rejects()) == bad
    assert await world.value("select max(version) from records where collection = $1") == 1
    assert await world.value("select count(*) from record_versions where collection = $1") == 0
    unended = "select count(*) from runs where collection = $1 and finished is null"
    assert await world.value(unended) == 0
    assert not await world.open_windows()
    titles = "select count(*) from titles where collection = $1"
    assert await world.value(titles) == len(world.truth())
