"""Forced re-imports: lanes that resume, join, and let new purchases go first."""

import asyncio
from datetime import datetime

from world import NOW, START, Bought, Script, World, bought, busy

from bibsync.run import Order
from bibsync.window import DAY, Window

FORCED = Order(force_reimport=True)


async def test_a_forced_reimport_reads_everything_again_and_closes(world: World):
    world.vendor.purchases = bought(140)
    await world.harvest()
    world.vendor.asked.clear()

    summary = await world.harvest(FORCED)

    assert (summary.outcome, summary.tally.new, summary.tally.changed) == ("succeeded", 0, 0)
    assert min(window.start for window, _ in world.vendor.asked) == START
    assert len(await world.lanes()) == 1
    assert (Window(START, NOW),) == await world.covered()


async def test_a_forced_reimport_finds_what_was_retitled_and_keeps_its_predecessor(world: World):
    world.vendor.purchases = bought(20)
    await world.harvest()
    first = world.vendor.purchases[0]
    world.vendor.purchases[0] = Bought(first.at, first.key, "A better title")

    summary = await world.harvest(FORCED)

    assert world.truth() == await world.stored()
    assert (summary.tally.new, summary.tally.changed) == (0, 1)
    versions = "select count(*) from record_versions where collection = $1"
    assert await world.value(versions) == 1


async def test_an_interrupted_reimport_goes_on_where_it_was_in_an_ordinary_run(world: World):
    world.configure(retries=0, windows_at_once=1, max_window=4 * DAY)
    world.vendor.purchases = bought(140)
    await world.harvest()
    world.vendor.hook = Script([*[None] * 12, *(busy() for _ in range(5))])
    await world.harvest(FORCED)
    [_, lane] = await world.lanes()
    done = lane.covered
    world.vendor.asked.clear()

    summary = await world.harvest()

    assert (summary.outcome, len(await world.lanes())) == ("succeeded", 1)
    asked_again = [
        window
        for window, _ in world.vendor.asked
        if any(window.overlaps(part) for part in done) and window.start < NOW - DAY
    ]
    assert asked_again == []
    assert min(window.start for window, _ in world.vendor.asked) == START


async def test_new_purchases_never_wait_for_a_reimport(world: World):
    world.vendor.purchases = bought(70)
    await world.harvest()
    world.vendor.asked.clear()
    world.now += 5 * DAY

    await world.harvest(FORCED)

    starts = [window.start for window, _ in world.vendor.asked]
    fresh = [n for n, start in enumerate(starts) if start >= NOW - DAY]
    old = [n for n, start in enumerate(starts) if start < NOW - DAY]
    assert max(fresh[:2]) < min(old)


async def test_purchases_made_during_a_long_reimport_are_read_within_the_hour(world: World):
    world.configure(windows_at_once=1, max_window=DAY)
    world.vendor.purchases = bought(70)
    await world.harvest()
    purchase = Bought(NOW + DAY / 24, "fresh", "Fresh")
    world.vendor.purchases.append(purchase)
    seen: list[datetime] = []

    def slowly(window: Window, _offset: int) -> None:
        world.now += DAY / 96
        if window.start <= purchase.at < window.end:
            seen.append(world.now)

    world.vendor.hook = slowly

    await world.harvest(FORCED)

    assert world.truth() == await world.stored()
    assert seen[0] - purchase.at <= DAY / 12, "long before the reimport's end"
    assert world.now - seen[0] > DAY / 4


async def test_an_equal_order_joins_the_open_lane(world: World):
    world.configure(retries=0, windows_at_once=1)
    world.vendor.purchases = bought(70)
    await world.harvest()
    for _ in range(2):
        world.vendor.hook = Script([None, *(busy() for _ in range(5))])
        await world.harvest(FORCED)

    assert len(await world.lanes()) == 2

    world.vendor.hook = None
    await world.harvest(FORCED)
    assert len(await world.lanes()) == 1


async def test_another_order_opens_a_lane_of_its_own(world: World):
    world.configure(retries=0, windows_at_once=1)
    await world.harvest()
    for since in (START + DAY, START + 2 * DAY):
        world.vendor.hook = Script([None, *(busy() for _ in range(5))])
        await world.harvest(Order(force_reimport=True, since=since, until=START + 20 * DAY))

    assert [lane.start for lane in (await world.lanes())[1:]] == [START + DAY, START + 2 * DAY]

    await world.harvest()
    assert len(await world.lanes()) == 1


async def test_a_forced_span_is_read_again_and_nothing_else(world: World):
    await world.harvest()
    world.vendor.asked.clear()
    span = Window(START + 3 * DAY, START + 9 * DAY)

    await world.harvest(Order(force_reimport=True, since=span.start, until=span.end))

    asked = [window for window, _ in world.vendor.asked]
    assert all(span.contains(window) for window in asked)
    assert span.width <= sum((window.width for window in asked), start=DAY * 0)
    assert len(await world.lanes()) == 1


async def test_a_cancelled_reimport_keeps_its_lane(world: World):
    await world.harvest()
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    world.vendor.before = {len(world.vendor.asked) + 3: hang}

    async with asyncio.TaskGroup() as group:
        run = group.create_task(world.harvest(FORCED))
        await reached.wait()
        run.cancel()

    assert len(await world.lanes()) == 2
    world.vendor.before = {}
    assert (await world.harvest()).outcome == "succeeded"
    assert len(await world.lanes()) == 1


async def test_a_run_of_a_collection_that_was_forgotten_meanwhile_is_deposed(world: World):
    """It was enrolled, and waited for its turn or for the lease."""
    await world.enrol()
    await world.execute("delete from collections where collection = $1")

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("deposed", "deposed")
    assert [] == world.vendor.asked
