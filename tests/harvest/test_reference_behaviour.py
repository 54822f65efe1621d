"""What the reference importer's tests pin down, and where bibsync is meant to do better.

The numbers are those of the comparison that the project keeps of both: one test a row. Rows about
the wire (19's events and sweep, 31) are tested where those are.
"""

import asyncio
from dataclasses import replace

from world import (
    BLANK,
    MIDNIGHT,
    NOW,
    START,
    Bought,
    Script,
    Vendor,
    World,
    bought,
    busy,
    collection,
    page,
    timed_out,
)

from bibsync.collection import Sync
from bibsync.course import LEFT_ALONE
from bibsync.harvest import harvest_each
from bibsync.run import METADATA, Order
from bibsync.window import DAY, Window

TODAY = Window(MIDNIGHT, NOW)
FORCED = Order(force_reimport=True)


async def test_row_01_a_first_run_begins_at_the_start_date_which_is_2014_unless_configured(
    world: World,
):
    world.configure(start_date=Sync().start_date)

    await world.harvest()

    assert min(w.start for w, _ in world.vendor.asked).isoformat() == "2014-01-01T00:00:00+00:00"
    assert (Window(Sync().start_date, NOW),) == await world.covered()


async def test_row_02_a_later_run_reads_the_last_day_again(world: World):
    await world.harvest()
    late = Bought(NOW - DAY / 2, "late", "Bought before the last run, shown after it")
    world.vendor.purchases, world.now = [late], NOW + DAY / 2

    await world.harvest()

    assert world.truth() == await world.stored()


async def test_row_03_up_to_date_is_a_success_and_still_asks_for_the_last_day(world: World):
    await world.harvest()
    world.vendor.asked.clear()

    summary = await world.harvest()

    assert [(Window(NOW - DAY, NOW), 1)] == world.vendor.asked
    assert (summary.outcome, summary.problem) == ("succeeded", None)


async def test_row_04_windows_are_utc_days_that_grow_while_they_come_back_small(world: World):
    world.configure(windows_at_once=1)

    await world.harvest()

    windows = [window for window, _ in world.vendor.asked]
    assert Window(NOW - DAY, NOW) == windows[0]
    assert [window.width / DAY for window in windows[1:7]] == [1, 2, 4, 8, 16, 32]
    assert all(window.start.hour == 0 for window in windows[1:])
    assert max(window.end for window in windows) == NOW


async def test_row_05_the_next_offset_counts_what_was_received(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = titles = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([page(titles[:20])])

    await world.harvest()

    assert [offset for _, offset in world.vendor.asked] == [1, 20, 60]
    assert world.truth() == await world.stored()


async def test_row_06_a_short_page_does_not_end_the_window(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = titles = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([page(titles[:49])])

    await world.harvest()

    assert world.truth() == await world.stored()


async def test_row_07_every_received_record_counts_also_those_set_aside(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(30, since=MIDNIGHT)
    await world.harvest()
    changed = replace(world.vendor.purchases[0], title="Another title")
    world.vendor.purchases[0] = changed
    world.vendor.purchases += [
        Bought(NOW - DAY / 24, "new", "New"),
        Bought(NOW - DAY / 24, "bad", controls=0),
    ]

    tally = (await world.harvest()).tally

    assert (tally.new, tally.changed, tally.unchanged, tally.rejected) == (1, 1, 29, 1)
    assert tally.received == tally.new + tally.changed + tally.unchanged + tally.rejected


async def test_row_08_a_crash_repeats_no_window_that_was_covered(world: World):
    world.configure(windows_at_once=1, max_window=8 * DAY)
    world.vendor.purchases = bought(140)
    await _cancelled_at(world, 16)
    done = await world.covered()
    world.vendor.asked.clear()

    await world.harvest()

    again = [w for w, _ in world.vendor.asked if any(w.overlaps(part) for part in done)]
    assert {Window(NOW - DAY, NOW)} == set(again), "the rolling day alone"
    assert world.truth() == await world.stored()


async def test_row_08_a_crash_in_a_window_goes_on_behind_its_last_page(world: World):
    world.configure(windows_at_once=1, start_date=MIDNIGHT - DAY)
    world.vendor.purchases = bought(300, since=MIDNIGHT - DAY, until=MIDNIGHT - DAY / 2)
    await _cancelled_at(world, 6)
    [begun] = await world.open_windows()
    world.vendor.asked.clear()

    await world.harvest()

    assert begun.received >= 100
    assert (begun.window, begun.last_pos) == world.vendor.asked[0]
    assert world.truth() == await world.stored()


async def test_row_09_a_title_with_one_control_number_is_stored_in_its_collection_only(
    world: World,
):
    world.vendor.purchases = bought(3)
    await world.harvest()
    other = replace(world, collection=collection("Other"), vendor=Vendor([]), number=0)

    await other.harvest()

    assert world.truth() == await world.stored()
    assert await other.stored() == {}


async def test_row_10_a_record_without_one_control_number_is_kept_as_a_reject(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(5, since=MIDNIGHT)
    world.vendor.purchases[1] = replace(world.vendor.purchases[1], controls=0)
    world.vendor.purchases[3] = replace(world.vendor.purchases[3], controls=2)

    summary = await world.harvest()

    assert await world.rejects() == ["missing_control_number", "multiple_control_numbers"]
    assert world.truth() == await world.stored()
    assert (summary.outcome, summary.tally.new_rejects) == ("succeeded", 2)
    raw = await world.value("select raw from rejects where collection = $1 and position = 2")
    assert b"t00001" in raw


async def test_row_11_a_new_title_is_looked_up_once_and_described_only_if_that_differs(
    world: World,
):
    world.vendor.purchases = bought(7)
    await world.harvest()

    first, second = await world.look_up(), await world.look_up()
    await world.execute("update titles set due_at = wanted_since where collection = $1")
    third = await world.look_up()

    assert world.truth() == await world.described()
    assert (7, 0, 0) == (first.tally.new, second.tally.requests, third.tally.changed)
    assert 7 == third.tally.unchanged


async def test_row_12_a_title_that_is_known_is_not_looked_up_again_on_a_re_read(world: World):
    world.vendor.purchases = bought(7)
    await world.harvest()
    await world.look_up()
    first = world.vendor.purchases[0]
    world.vendor.purchases[0] = replace(first, title="Another title")

    await world.harvest(FORCED)
    await world.look_up()

    assert 1 == len(world.vendor.look_ups)


async def test_row_13_a_title_without_an_answer_stays_listed_is_counted_and_asked_for_again(
    world: World,
):
    world.vendor.purchases = bought(7)
    world.vendor.silent_about = {"t00004"}
    await world.harvest()

    summary = await world.look_up()

    assert (6, 1) == (summary.tally.received, summary.tally.unanswered)
    assert {"t00004"} == set(await world.listed())

    world.vendor.silent_about.clear()
    world.now += DAY
    await world.look_up()

    assert world.truth() == await world.described()


async def test_row_14_many_days_run_through_without_outside_help(world: World):
    world.configure(max_window=DAY)
    world.vendor.purchases = bought(140)

    summary = await world.harvest()

    assert (summary.outcome, summary.tally.windows) == ("succeeded", 70)
    assert world.truth() == await world.stored()


async def test_row_15_a_collection_disabled_between_two_pages_stops_and_keeps_its_data(
    world: World,
):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)
    disable = "update collections set enabled = false where collection = $1"
    world.vendor.before = {2: lambda: world.execute(disable)}

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("paused", "paused")
    assert len(world.vendor.asked) <= 4
    assert await world.stored()


async def test_row_16_nothing_to_run_is_no_failure(world: World):
    assert await harvest_each({}, [Order()], world.means(), at_once=8, tallies={}) == []


async def test_row_17_a_forced_import_goes_on_where_it_was_and_new_titles_go_first(world: World):
    world.configure(windows_at_once=1, max_window=4 * DAY)
    world.vendor.purchases = bought(140)
    await world.harvest()
    await _cancelled_at(world, len(world.vendor.asked) + 12, FORCED)
    [_, lane] = await world.lanes()
    world.vendor.asked.clear()
    world.now += DAY

    await world.harvest()

    asked = [window for window, _ in world.vendor.asked]
    assert asked[0].end == world.now
    repeated = [each for each in asked if any(each.overlaps(part) for part in lane.covered)]
    assert all(each.end > NOW - DAY for each in repeated), "the rolling day alone"
    assert min(each.start for each in asked) == START


async def test_row_18_a_second_run_of_a_collection_asks_nothing_and_names_the_holder(world: World):
    await world.enrol()
    second = replace(world, vendor=Vendor([]))
    found = []

    async def try_too() -> None:
        found.append(await second.harvest())

    world.vendor.before = {1: try_too}

    first = await world.harvest()

    assert (first.outcome, found[0].outcome) == ("succeeded", "locked")
    assert "process" in found[0].problem.message
    assert second.vendor.asked == []


async def test_row_19_streams_and_collections_have_leases_of_their_own(world: World):
    await world.enrol()
    found = []

    async def try_too() -> None:
        metadata = replace(world, vendor=Vendor([]))
        found.append(await metadata.harvest(Order(stream=METADATA)))

    world.vendor.before = {1: try_too}

    await world.harvest()

    assert [each.outcome for each in found] == ["succeeded"]


async def test_row_20_the_lease_is_kept_over_pages_and_retries(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    world.vendor.hook = Script([None, busy(), busy()])
    held = "select holder from leases where collection = $1 and expires_at > clock_timestamp()"
    holders: list[object] = []

    async def look() -> None:
        holders.append(await world.value(held))

    world.vendor.before = dict.fromkeys(range(1, 7), look)

    await world.harvest()

    assert len(holders) == 6
    assert len(set(holders)) == 1
    assert holders[0]


async def test_row_21_a_run_that_failed_frees_its_lease_at_once(world: World):
    world.configure(retries=0, start_date=MIDNIGHT)
    world.vendor.hook = Script([busy()])

    failed = await world.harvest()
    healed = await world.harvest()

    assert (failed.outcome, healed.outcome) == ("failed", "succeeded")


async def test_row_22_a_run_that_died_is_replaced_once_its_lease_expired(world: World):
    await world.enrol()
    await world.harvest()
    await world.execute(
        "update leases set holder = 'dead', machine = 'elsewhere', "
        "expires_at = clock_timestamp() + interval '1 hour' where collection = $1"
    )
    during = await world.harvest()
    await world.execute("update leases set expires_at = clock_timestamp() where collection = $1")

    after = await world.harvest()

    assert (during.outcome, after.outcome) == ("locked", "succeeded")


async def test_row_23_a_vendor_that_stays_away_parks_the_next_attempt(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.hook = Script([busy() for _ in range(5)])

    summary = await world.harvest()

    assert (summary.outcome, len(world.vendor.asked)) == ("failed", 5)
    parked = "select parked_until from lanes where collection = $1 and lane = 0"
    assert await world.value(parked) == NOW + LEFT_ALONE


async def test_row_24_no_answer_that_failed_closes_a_window(world: World):
    world.configure(start_date=MIDNIGHT, retries=0)
    world.vendor.purchases = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([None, busy()])

    summary = await world.harvest()

    assert await world.covered() == ()
    assert summary.caught_up_to == MIDNIGHT


async def test_row_25_an_empty_body_is_asked_for_again_and_marked(world: World):
    world.configure(start_date=MIDNIGHT, reread=(DAY,))
    world.vendor.hook = Script([BLANK] * 3)

    summary = await world.harvest()

    assert (summary.tally.blank, summary.outcome) == (1, "succeeded")
    assert await world.blanks() == [TODAY]


async def test_row_26_a_dropped_connection_is_like_any_busy_vendor(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([None, *(timed_out() for _ in range(4))])

    summary = await world.harvest()

    assert (summary.outcome, summary.tally.retries) == ("succeeded", 4)
    assert world.truth() == await world.stored()


async def test_row_27_one_look_up_that_is_not_found_costs_no_title_its_description_for_good(
    world: World,
):
    def not_found(asked: object) -> None:
        if "t00003" in asked:
            raise busy()

    world.vendor.purchases = bought(7)
    world.vendor.deny = not_found
    await world.harvest()

    await world.look_up()

    assert {"t00003"} == set(await world.listed())

    world.vendor.deny = None
    world.now += DAY
    await world.look_up()

    assert world.truth() == await world.described()


async def test_row_28_a_run_beside_another_is_fenced_off(world: World):
    """Even where the lease fails: the first run's lease is taken from it behind its back."""
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)
    second = replace(world, vendor=Vendor(world.vendor.purchases))
    found = []

    async def run_beside() -> None:
        await world.execute("update leases set expires_at = '-infinity' where collection = $1")
        found.append(await second.harvest())

    world.vendor.before = {3: run_beside}

    first = await world.harvest()

    assert (first.outcome, found[0].outcome) == ("deposed", "succeeded")
    assert world.truth() == await world.stored()
    assert await world.covered() == (TODAY,)


async def test_row_29_a_title_withdrawn_while_paging_costs_no_other(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    withdrawn = world.vendor.purchases[10]
    world.vendor.hook = Script([None, lambda: world.vendor.purchases.remove(withdrawn)])

    summary = await world.harvest()

    assert world.truth().items() <= (await world.stored()).items()
    assert summary.tally.shifts == 1


async def test_row_30_fifty_titles_take_one_more_request_which_proves_the_end(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(50, since=MIDNIGHT)

    summary = await world.harvest()

    assert world.vendor.asked == [(TODAY, 1), (TODAY, 50)]
    assert (summary.tally.received, summary.tally.new) == (50, 50)


async def _cancelled_at(world: World, request: int, order: Order | None = None) -> None:
    """Cancel a run while it waits for the answer to this request; all before it is committed."""
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await never.wait()

    world.vendor.before = {request: hang}
    run = asyncio.create_task(world.harvest(order), name="run")
    await reached.wait()
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    world.vendor.before = {}
