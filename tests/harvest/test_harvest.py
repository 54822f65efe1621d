"""The road from window to coverage, against a vendor in memory and a real PostgreSQL."""

from datetime import timedelta

from world import NOW, START, World, bought, collection


async def test_every_purchase_is_stored_once(world: World):
    world.vendor.purchases = bought(1200)

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert summary.outcome == "succeeded"
    assert (summary.tally.new, summary.tally.changed, summary.tally.rejected) == (1200, 0, 0)
    assert world.now == summary.caught_up_to


async def test_a_run_with_nothing_new_asks_little_and_writes_nothing(world: World):
    world.vendor.purchases = bought(300)
    await world.harvest()
    world.vendor.asked.clear()

    summary = await world.harvest()

    assert summary.tally.new == summary.tally.changed == 0
    assert len(world.vendor.asked) <= 4


async def test_no_window_is_read_twice_in_a_run(world: World):
    world.collection = collection(windows_at_once=4)
    world.vendor.purchases = bought(400)

    await world.harvest()

    begun = [window for window, offset in world.vendor.asked if offset == 1]
    assert len(begun) == len(set(begun))
    assert sum((w.width for w in set(begun)), start=timedelta()) == NOW - START
