"""Our clock and the vendor's apart, and what of time is asked for."""

from dataclasses import replace
from datetime import timedelta

from world import MIDNIGHT, NOW, START, Script, World, bought, busy

from bibsync.run import Order
from bibsync.window import DAY, Window

HOUR = timedelta(hours=1)


async def test_nothing_beyond_the_vendors_present_is_covered(world: World):
    world.vendor.purchases = bought(40, until=NOW - 2 * HOUR)
    world.vendor.ahead_s = -2 * 3600.0

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (Window(START, NOW - 2 * HOUR),) == await world.covered()
    assert summary.caught_up_to == NOW - 2 * HOUR


async def test_a_clock_of_ours_a_day_ahead_covers_nothing_that_is_still_to_come(world: World):
    """Nor does it cost anything: what the vendor's clock allows is read in the same run."""
    world.vendor.purchases = bought(40, until=NOW - DAY)
    world.vendor.ahead_s = -(DAY + HOUR).total_seconds()

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (Window(START, NOW - DAY - HOUR),) == await world.covered()
    assert summary.outcome == "succeeded"


async def test_a_purchase_made_while_the_first_answer_was_on_its_way_is_not_lost(world: World):
    """The moment that counts is when the request was made, not when its answer was there."""
    world.configure(start_date=MIDNIGHT)

    def slowly(_window: Window, _offset: int) -> None:
        world.now += timedelta(seconds=30)

    world.vendor.ahead_s, world.vendor.hook = -20.0, slowly

    await world.harvest()

    assert (Window(MIDNIGHT, NOW - timedelta(seconds=20)),) == await world.covered()


async def test_a_vendors_clock_ahead_of_ours_changes_nothing(world: World):
    world.vendor.ahead_s = 3600.0

    await world.harvest()

    assert (Window(START, NOW),) == await world.covered()


async def test_a_later_cutoff_takes_no_coverage_away(world: World):
    await world.harvest()
    world.vendor.ahead_s = -3 * 3600.0

    summary = await world.harvest()

    assert (Window(START, NOW),) == await world.covered()
    assert summary.outcome == "succeeded"


async def test_time_that_passes_during_a_run_opens_no_gap_of_seconds(world: World):
    def later(_window: Window, _offset: int) -> None:
        world.now += timedelta(seconds=1)

    world.vendor.hook = later

    summary = await world.harvest()

    assert (Window(START, NOW),) == await world.covered()
    assert len(world.vendor.asked) == summary.tally.windows
    assert min(window.width for window, _ in world.vendor.asked) >= timedelta(hours=12)


async def test_a_run_of_more_than_an_hour_reads_the_last_day_again(world: World):
    def slowly(_window: Window, _offset: int) -> None:
        world.now += timedelta(minutes=20)

    world.vendor.purchases, world.vendor.hook = bought(40, until=NOW + HOUR), slowly

    await world.harvest()

    [covered] = await world.covered()
    assert covered.end >= NOW + HOUR
    assert world.truth() == await world.stored()


async def test_a_start_date_to_come_asks_nothing_and_succeeds(world: World):
    world.configure(start_date=NOW + DAY)

    summary = await world.harvest()

    assert (summary.outcome, summary.problem) == ("succeeded", None)
    assert world.vendor.asked == []


async def test_a_run_is_limited_to_its_span_and_the_rest_stays_a_gap(world: World):
    world.vendor.purchases = bought(70)
    span = Window(START + 10 * DAY, START + 20 * DAY)

    await world.harvest(Order(since=span.start, until=span.end))

    assert (span,) == await world.covered()
    assert all(span.contains(window) for window, _ in world.vendor.asked)
    await world.harvest()
    assert (Window(START, NOW),) == await world.covered()
    assert world.truth() == await world.stored()


async def test_an_earlier_start_date_opens_a_gap_that_the_next_run_fills(world: World):
    world.vendor.purchases = bought(70, since=START - 30 * DAY)
    await world.harvest()
    world.configure(start_date=START - 30 * DAY)

    await world.harvest()

    assert world.truth() == await world.stored()
    assert (Window(START - 30 * DAY, NOW),) == await world.covered()


async def test_a_later_start_date_only_moves_where_caught_up_counts_from(world: World):
    await world.harvest()
    world.configure(start_date=START + 10 * DAY)

    summary = await world.harvest()

    assert summary.caught_up_to == NOW
    assert (Window(START, NOW),) == await world.covered()


async def test_a_late_title_is_found_when_its_day_is_read_again(world: World):
    world.configure(reread=(DAY, 2 * DAY, 4 * DAY))
    await world.harvest()
    world.now += 3 * DAY
    world.vendor.purchases = bought(1, since=MIDNIGHT, until=NOW)

    await world.harvest()

    assert world.truth() == await world.stored()


async def test_last_seen_is_written_once_a_day_at_most(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(3, since=MIDNIGHT)
    await world.harvest()
    latest = "select max(last_seen) from record_states where collection = $1"

    world.now = NOW + timedelta(hours=10)
    await world.harvest()
    assert await world.value(latest) == NOW

    world.now = NOW + timedelta(hours=24)
    world.configure(reread=(timedelta(hours=1),))
    await world.harvest()
    assert await world.value(latest) == NOW + timedelta(hours=24)


async def test_a_reimport_ordered_by_a_clock_ahead_is_read_only_once_by_one_behind(world: World):
    """Which of two replicas' clocks is right nobody knows: what counts is that it was ordered."""
    world.configure(start_date=MIDNIGHT - 4 * DAY, retries=0)
    world.vendor.purchases = bought(40, since=MIDNIGHT - 4 * DAY)
    world.now = NOW + HOUR
    world.vendor.hook = Script([None, *(busy() for _ in range(20))])
    await world.harvest(Order(force_reimport=True))
    world.now = NOW
    world.vendor.asked.clear()
    world.vendor.hook = Script([*[None] * 30, *(busy() for _ in range(100))])

    summary = await world.harvest()

    assert (summary.outcome, len(await world.lanes())) == ("succeeded", 1)
    assert world.truth() == await world.stored()


async def test_a_title_from_beyond_the_vendors_present_does_not_unsettle_the_last_day(world: World):
    """The first answer is to a window that is cut off then: the rest of it is asked for anew."""
    minute = timedelta(minutes=1)
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(3, since=MIDNIGHT, until=NOW - HOUR)
    world.vendor.purchases += bought(1, since=NOW - minute, until=NOW)
    world.vendor.purchases[-1] = replace(world.vendor.purchases[-1], key="beyond")
    world.vendor.ahead_s = -120.0

    first = await world.harvest()
    world.now += HOUR
    await world.harvest()

    assert (first.outcome, first.tally.shifts, first.caught_up_to) == (
        "succeeded",
        0,
        NOW - 2 * minute,
    )
    assert world.truth() == await world.stored()
