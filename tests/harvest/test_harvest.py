"""The road from window to coverage, against a vendor in memory and a real PostgreSQL."""

from world import World, bought


async def test_every_purchase_is_stored_once(world: World):
    world.vendor.purchases = bought(1200)

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert summary.outcome == "succeeded"
    assert (1200, 0, 0) == (summary.tally.new, summary.tally.changed, summary.tally.rejected)
    assert world.now == summary.caught_up_to


async def test_a_run_with_nothing_new_asks_little_and_writes_nothing(world: World):
    world.vendor.purchases = bought(300)
    await world.harvest()
    world.vendor.asked.clear()

    summary = await world.harvest()

    assert summary.tally.new == summary.tally.changed == 0
    assert len(world.vendor.asked) <= 4
