"""A result set that moves, repeats itself or answers short while a window is read."""

from collections import Counter
from datetime import timedelta

from world import BLANK, EMPTY, MIDNIGHT, Bought, Script, World, bought, page

from bibsync.window import DAY, Window

TODAY = Window(MIDNIGHT, MIDNIGHT + DAY / 2)


async def test_a_title_withdrawn_while_paging_costs_no_other_title(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    withdrawn = world.vendor.purchases[3]
    world.vendor.hook = Script([None, lambda: world.vendor.purchases.remove(withdrawn)])

    summary = await world.harvest()

    assert world.truth().items() <= (await world.stored()).items()
    assert summary.tally.shifts == 1
    assert await world.covered() == (TODAY,)


async def test_a_title_that_appears_before_the_place_reached_is_found(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    late = Bought(MIDNIGHT + timedelta(seconds=1), "late", "Late")
    world.vendor.hook = Script([None, None, lambda: world.vendor.purchases.append(late)])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert summary.tally.shifts == 1


async def test_a_blank_answer_after_the_first_page_ends_nothing(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    world.vendor.hook = Script([None, BLANK])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.shifts, summary.tally.blank) == (1, 0)
    assert await world.blanks() == []


async def test_an_empty_page_after_the_first_ends_nothing(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    world.vendor.hook = Script([None, EMPTY])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert summary.tally.shifts == 1


async def test_short_pages_lose_nothing(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    titles = world.vendor.purchases
    world.vendor.hook = Script([page(titles[:7]), page(titles[6:9]), page(titles[8:40])])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.received, summary.tally.new, summary.tally.shifts) == (120, 120, 0)


async def test_a_page_of_one_record_is_asked_on(world: World):
    """The second request has offset 1 again: `received` tells that it isn't the first."""
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(3, since=MIDNIGHT)
    world.vendor.hook = Script([page(world.vendor.purchases[:1])])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.received, summary.tally.shifts) == (3, 0)
    assert world.vendor.asked == [(TODAY, 1), (TODAY, 1), (TODAY, 3)]


async def test_doubles_on_one_page_are_counted_and_the_last_one_wins(world: World):
    world.configure(start_date=MIDNIGHT)
    first, last = (Bought(MIDNIGHT, "same", title) for title in ("First", "Last"))
    world.vendor.purchases = [first]
    answer = page([first, Bought(MIDNIGHT, "other"), last])
    world.vendor.hook = Script([answer, page([last])])

    summary = await world.harvest()

    assert await world.stored() == {"same": "Last", "other": "A title"}
    assert (
        summary.tally.received,
        summary.tally.new,
        summary.tally.unchanged,
        summary.tally.doubles,
    ) == (3, 2, 1, 1)


async def test_records_repeated_on_a_later_page_are_accepted_when_they_are_repeated_again(
    world: World,
):
    """Once it may be a shift, and the window is read again; twice it is the vendor's data."""
    world.configure(start_date=MIDNIGHT)
    titles = bought(60, since=MIDNIGHT)
    world.vendor.purchases = sorted(
        [*titles, Bought(titles[55].at, titles[2].key, titles[2].title)], key=lambda each: each.at
    )

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.shifts, summary.outcome) == (1, "succeeded")
    assert await world.covered() == (TODAY,)


async def test_a_narrow_window_that_shifts_three_times_is_read_without_regard_to_order(
    world: World,
):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(120, since=MIDNIGHT)
    world.vendor.hook = Script([None, EMPTY] * 3)

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert summary.tally.shifts == 3
    assert (summary.outcome, summary.tally.failed_windows) == ("succeeded", 0)
    assert Counter(offset for _, offset in world.vendor.asked)[1] == 3 + 2, "two passes agreed"


async def test_a_wide_window_that_shifts_three_times_is_halved(world: World):
    world.configure(start_date=MIDNIGHT - 17 * DAY, windows_at_once=1)
    world.vendor.purchases = bought(120, since=MIDNIGHT - 17 * DAY)
    wide: list[Window] = []

    def shift(window: Window, offset: int) -> object:
        if window.width < 4 * DAY or offset == 1 or len(wide) == 3:
            return None
        wide.append(window)
        return EMPTY

    world.vendor.hook = shift

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.shifts, len(set(wide))) == (3, 1)
    assert 2 * DAY in {w.width for w, _ in world.vendor.asked if w.start == wide[0].start}
    assert not await world.open_windows()


async def test_a_window_that_gives_other_records_each_time_fails_and_heals(world: World):
    world.configure(start_date=MIDNIGHT)
    titles = bought(40, since=MIDNIGHT)
    world.vendor.purchases = titles
    asked = 0

    def unstable(_window: Window, offset: int) -> object:
        nonlocal asked
        asked += 1
        other = Bought(MIDNIGHT, f"other {asked}")
        return page([other, *titles]) if offset == 1 else None

    world.vendor.hook = unstable

    summary = await world.harvest()

    assert (summary.outcome, summary.tally.failed_windows) == ("failed", 1)
    assert await world.covered() == ()
    world.vendor.hook = None
    assert (await world.harvest()).outcome == "succeeded"
    assert await world.covered() == (TODAY,)


async def test_a_page_of_rejects_and_nothing_behind_ends_the_window(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = [Bought(MIDNIGHT, f"r{n:02d}", controls=0) for n in range(8)]

    summary = await world.harvest()

    assert await world.rejects() == ["missing_control_number"] * 8
    assert (summary.tally.received, summary.tally.rejected, summary.tally.shifts) == (8, 8, 0)
    assert await world.covered() == (TODAY,)


async def test_records_behind_a_whole_page_of_rejects_are_stored(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = [
        *(Bought(MIDNIGHT, f"r{n:02d}", controls=n % 2 * 2) for n in range(50)),
        *bought(30, since=MIDNIGHT + timedelta(hours=1)),
    ]

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert Counter(missing_control_number=25, multiple_control_numbers=25) == Counter(
        await world.rejects()
    )
    assert (summary.tally.received, summary.tally.shifts) == (80, 0)


async def test_a_reject_met_again_is_counted_but_not_reported_anew(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = [Bought(MIDNIGHT, "bad", controls=0)]
    await world.harvest()

    summary = await world.harvest()

    assert await world.rejects() == ["missing_control_number"]
    assert (summary.tally.rejected, summary.tally.new_rejects) == (1, 0)
