"""What a harvest costs: requests for an empty history, memory for a large one."""

import asyncio
import gc
import statistics
import tracemalloc
from datetime import UTC, datetime, timedelta

from fault_proxy import FaultProxy
from world import MIDNIGHT, NOW, START, Bought, Vendor, World, bought, collection, page

from bibsync import store
from bibsync.run import Order
from bibsync.source import Page
from bibsync.window import DAY, Window

TWELVE_YEARS_AGO = datetime(2012, 3, 10, tzinfo=UTC)
STEP = timedelta(minutes=5)


class EvenVendor:
    """A vendor that sells a title every five minutes and remembers none of them.

    It notes in `peaks` how much memory was in use at most while each window was read.
    """

    host = "vendor.example"
    page_size = 50

    def __init__(self) -> None:
        self.peaks: list[int] = []

    def skew(self) -> float | None:
        return 0.0

    async def page(self, window: Window, *, offset: int) -> Page:
        await asyncio.sleep(0)
        gc.collect()
        if offset == 1:
            self.peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
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


class LookedAt(Vendor):
    """A vendor that counts how often a run compares its clock: at each look at the store."""

    looks = 0

    def skew(self) -> float | None:
        self.looks += 1
        return super().skew()


async def test_more_windows_at_once_need_no_more_looks_at_the_store(world: World):
    """Each look is several statements; where nothing is left, one worker finds that for all."""
    world.vendor = vendor = LookedAt(bought(100))
    world.configure(windows_at_once=1)
    await world.harvest()

    looks = []
    for at_once in (1, 16):
        world.configure(windows_at_once=at_once)
        vendor.looks = 0
        await world.harvest()
        looks.append(vendor.looks)

    assert looks[0] == looks[1]


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


async def test_a_page_of_unchanged_records_begins_no_transaction(database: str):
    """Its checkpoint is one statement, which carries the fence; it is counted all the same."""
    begun, fenced = [], []
    for count in (149, 449):
        async with FaultProxy(database) as proxy, store.open_pool(proxy.url, size=2) as pool:
            titles = bought(count, since=MIDNIGHT)
            world = World(pool, Vendor(titles), collection=collection(f"{count}"))
            world.configure(start_date=MIDNIGHT, windows_at_once=1)
            await world.harvest()
            ver = await world.value("select ver from fences where collection = $1")
            before = proxy.begun

            summary = await world.harvest(Order(force_reimport=True))

            assert summary.tally.unchanged == summary.tally.received
            begun.append(proxy.begun - before)
            fenced.append(await world.value("select ver from fences where collection = $1") - ver)
    assert begun[0] == begun[1]
    assert fenced[0] < fenced[1]


async def test_memory_does_not_grow_with_the_collection(world: World):
    """A window is a day here, of 288 titles; a single peak may be an accident, seven are none."""
    vendor = EvenVendor()
    world.source = lambda *_: vendor
    world.configure(start_date=NOW - 20_000 * STEP, max_window=DAY, windows_at_once=1)
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    try:
        summary = await world.harvest()
    finally:
        tracemalloc.stop()
        gc.unfreeze()

    assert (summary.outcome, summary.tally.new) == ("succeeded", 20_000)
    after_2000, after_20000 = vendor.peaks[3:10], vendor.peaks[-8:-1]
    assert statistics.median(after_20000) < statistics.median(after_2000) * 1.1
