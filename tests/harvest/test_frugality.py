"""What a harvest costs: requests for an empty history, memory for a large one."""

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from world import NOW, START, Bought, World, bought, page

from bibsync.run import Order
from bibsync.source import Page
from bibsync.window import DAY, Window

TWELVE_YEARS_AGO = datetime(2012, 3, 10, tzinfo=UTC)


STEP = timedelta(minutes=5)


class EvenVendor:
    """A vendor that sells a title every five minutes and remembers none of them."""

    host = "vendor.example"
    page_size = 50

    def skew(self) -> float | None:
        return 0.0

    async def page(self, window: Window, *, offset: int) -> Page:
        await asyncio.sleep(0)
        first = -(-(window.start - timedelta(seconds=1) - START) // STEP)
        last = -(-(window.end - START) // STEP)
        numbers = range(first, last)[offset - 1 : offset - 1 + self.page_size]
        return page(Bought(START + n * STEP, f"t{n:06d}", f"Title {n}") for n in numbers)


async def test_twelve_empty_years_cost_few_requests(world: World):
    world.configure(start_date=TWELVE_YEARS_AGO)

    summary = await world.harvest()

    assert (Window(TWELVE_YEARS_AGO, NOW),) == await world.covered()
    assert summary.tally.requests < 200


async def test_nothing_new_costs_at_most_four_requests(world: World):
    world.configure(start_date=TWELVE_YEARS_AGO)
    world.vendor.purchases = bought(100)
    await world.harvest()

    again = await world.harvest()

    assert again.tally.requests <= 4


async def test_the_daily_re_reading_costs_about_eighteen_requests(world: World):
    """Nothing is bought here; days with purchases take a request more each."""
    world.configure(start_date=NOW - 100 * DAY, reread=tuple(2**n * DAY for n in range(7)))
    for _ in range(70):
        summary = await world.harvest()
        world.now += DAY

    assert summary.tally.requests <= 18


async def test_what_is_unchanged_is_written_nowhere(world: World):
    world.vendor.purchases = bought(300)
    await world.harvest()
    moved = "select sum(xmin::text::bigint) from {} where collection = $1"
    before = [await world.value(moved.format(each)) for each in ("records", "record_states")]

    await world.harvest(Order(force_reimport=True))

    after = [await world.value(moved.format(each)) for each in ("records", "record_states")]
    assert before == after


async def test_memory_does_not_grow_with_the_collection(world: World):
    await _peak(world, 500)  # what is made once, caches and statements, is made here

    small, large = await _peak(world, 2_000), await _peak(world, 20_000)

    assert large < small * 1.1


async def _peak(world: World, count: int) -> int:
    """Harvest so many records into a collection of their own; return the most bytes in use."""
    vendor = EvenVendor()
    own = collection(f"of {count}", start_date=NOW - count * STEP, max_window=DAY)
    run = replace(world, number=0, collection=own, source=lambda _: vendor)
    gc.collect()
    tracemalloc.start()
    try:
        summary = await run.harvest()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (summary.outcome, summary.tally.new) == ("succeeded", count)
    return peak
