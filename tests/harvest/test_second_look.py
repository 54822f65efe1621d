"""What a second look at the road found, each once lost, doubled or left undone."""

import asyncio
from datetime import timedelta
from random import Random

import pytest
from world import (
    BLANK,
    EMPTY,
    MIDNIGHT,
    NOW,
    START,
    Bought,
    Script,
    Vendor,
    World,
    bought,
    busy,
    collection as named,
)

from bibsync import outlook, store
from bibsync.collection import REREAD
from bibsync.errors import SourceRefused
from bibsync.run import Order
from bibsync.store import Pool
from bibsync.window import DAY

FORCED = Order(force_reimport=True)


def new_process(world: World) -> None:
    """Forget the vendor's clock, as a new process does."""
    world.vendor = Vendor(world.vendor.purchases, ahead_s=world.vendor.ahead_s)


@pytest.mark.parametrize("answer", [BLANK, EMPTY], ids=["blank", "empty"])
async def test_a_window_that_gave_records_does_not_end_with_an_empty_answer(world, answer):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)
    world.vendor.hook = lambda _window, offset: answer if offset > 1 else None

    refused = await world.harvest()
    covered = await world.covered()
    world.vendor.hook = None
    healed = await world.harvest()

    assert (refused.outcome, covered) == ("failed", ())
    assert healed.outcome == "succeeded"
    assert world.truth() == await world.stored()


@pytest.mark.parametrize("answer", [BLANK, EMPTY], ids=["blank", "empty"])
async def test_empty_answers_after_the_first_page_are_waited_out(world, answer):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    world.vendor.hook = Script([None, *[answer] * (4 if answer is BLANK else 2)])

    summary = await world.harvest()

    assert summary.outcome == "succeeded"
    assert world.truth() == await world.stored()


async def test_a_commit_that_lands_while_it_is_cancelled_does_not_depose_the_run(pool: Pool):
    """A refused account cancels the other window, perhaps in its COMMIT; the run still says why."""
    outcomes = set()
    for seed in range(40):
        random = Random(seed)
        world = World(pool, Vendor(bought(600)), collection=named(f"c{seed}"))
        pause_s = random.random() * 0.01

        async def refuse(pause_s: float = pause_s) -> None:
            await asyncio.sleep(pause_s)
            raise SourceRefused("The vendor refuses the account.")

        world.vendor.before = {random.randint(5, 14): refuse}
        summary = await world.harvest()
        outcomes.add((summary.outcome.value, summary.problem.code if summary.problem else None))
        ended = "select outcome from runs where collection = $1"
        assert await world.value(ended) == summary.outcome.value, f"seed {seed}"

    assert outcomes <= {("partial", "credentials_refused"), ("failed", "credentials_refused")}


async def test_a_second_forced_order_reads_everything_again(world: World):
    """The vendor's clock is a second behind: the first order's lane is finished all the same."""
    world.vendor.purchases = bought(140)
    world.vendor.ahead_s = -1.0
    await world.harvest()
    for _ in range(2):
        world.now += timedelta(hours=1)
        new_process(world)
        first = world.vendor.purchases[0]
        world.vendor.purchases[0] = Bought(first.at, first.key, f"Retitled at {world.now}")
        summary = await world.harvest(FORCED)
        assert summary.tally.changed == 1


async def test_a_lane_from_before_a_later_start_date_closes(world: World):
    world.configure(retries=0, windows_at_once=1)
    world.vendor.purchases = bought(140)
    await world.harvest()
    world.vendor.hook = Script([None, *(busy() for _ in range(5))])
    await world.harvest(FORCED)
    assert len(await world.lanes()) == 2

    world.vendor.hook = None
    world.configure(start_date=START + 30 * DAY)
    await world.harvest()

    assert len(await world.lanes()) == 1


async def test_a_window_begun_before_the_order_does_not_count_for_it(world: World):
    world.configure(start_date=MIDNIGHT - 3 * DAY, windows_at_once=1)
    world.vendor.purchases = bought(300, since=MIDNIGHT - 3 * DAY)
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    world.vendor.before = {6: hang}
    run = asyncio.create_task(world.harvest(), name="run")
    await reached.wait()
    run.cancel()
    await asyncio.wait([run])
    [begun] = [each for each in await world.open_windows() if each.kind != "rolling"]
    [index, *_] = [
        number
        for number, each in enumerate(world.vendor.purchases)
        if begun.window.start <= each.at < begun.window.end
    ]
    stored = world.vendor.purchases[index]
    assert stored.key in await world.stored()

    world.vendor.before = {}
    world.vendor.purchases[index] = Bought(stored.at, stored.key, "Retitled")
    world.now += timedelta(minutes=10)
    await world.harvest(FORCED)

    assert (await world.stored())[stored.key] == "Retitled"


async def test_an_earlier_start_date_can_be_looked_at_before_it_is_in_force(world: World):
    world.configure(start_date=MIDNIGHT - 5 * DAY, reread=REREAD)
    await world.harvest()
    world.configure(start_date=MIDNIGHT - 30 * DAY)

    async with store.acquire(world.pool) as conn:
        known = await outlook.look(
            conn, world.key, world.collection.sync, Order(), now=NOW, cutoff=NOW
        )
    windows = [piece.window for piece in outlook.plan(known, Order())]

    assert MIDNIGHT - 30 * DAY in [window.start for window in windows]


async def test_a_clock_that_was_ahead_once_keeps_no_day_from_being_read_again(world: World):
    world.configure(start_date=MIDNIGHT - 10 * DAY, reread=(DAY, 2 * DAY))
    world.vendor.purchases = bought(50, since=MIDNIGHT - 10 * DAY, until=NOW - DAY)
    await world.harvest()

    world.vendor = Vendor(world.vendor.purchases, ahead_s=-3 * 86400.0)
    world.now = NOW + DAY + 3 * DAY  # a day is due at its first age in this very run
    await world.harvest()
    world.vendor = Vendor(world.vendor.purchases)
    world.vendor.purchases.append(Bought(MIDNIGHT - timedelta(hours=20), "late", "Late"))
    for number in range(2, 6):
        world.now = NOW + timedelta(hours=2) + number * DAY
        await world.harvest()

    assert "late" in await world.stored()


async def test_tables_that_another_session_keeps_do_not_fail_a_run(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(1200, since=MIDNIGHT)
    async with store.acquire(world.pool) as other, other.transaction():
        await world.enrol()
        await other.execute("lock table records in share update exclusive mode")

        summary = await world.harvest()

    assert summary.outcome == "succeeded"
    assert world.truth() == await world.stored()
