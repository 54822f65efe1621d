"""Answers without a body: believed for now, marked, and asked for again at the re-reading ages."""

import pytest
from world import BLANK, MIDNIGHT, NOW, Script, World, bought

from bibsync.window import DAY, Window

TODAY = Window(MIDNIGHT, MIDNIGHT + DAY / 2)
AGES = (DAY, 2 * DAY)


@pytest.fixture
def quiet(world: World) -> World:
    """A collection whose one window is answered without a body, three times over."""
    world.configure(start_date=MIDNIGHT, reread=AGES)
    world.vendor.hook = Script([BLANK, BLANK, BLANK])
    return world


async def test_a_blank_first_answer_is_asked_for_twice_more_then_covered_and_marked(quiet: World):
    summary = await quiet.harvest()

    assert quiet.vendor.asked == [(TODAY, 1)] * 3
    assert (summary.tally.blank, summary.tally.retries, summary.outcome) == (1, 0, "succeeded")
    assert await quiet.covered() == (TODAY,)
    assert await quiet.blanks() == [TODAY]
    assert summary.caught_up_to == quiet.now


async def test_a_page_behind_a_blank_first_answer_is_taken(quiet: World):
    quiet.vendor.purchases = bought(3, since=MIDNIGHT)
    quiet.vendor.hook = Script([BLANK, BLANK])

    summary = await quiet.harvest()

    assert quiet.truth() == await quiet.stored()
    assert (await quiet.blanks(), summary.tally.blank) == ([], 0)


async def test_a_well_formed_answer_clears_the_mark(quiet: World):
    await quiet.harvest()

    await quiet.harvest()

    assert await quiet.blanks() == []


async def test_a_blank_stretch_is_asked_for_again_at_each_age_and_then_believed(quiet: World):
    def only_the_future(window: Window, _offset: int) -> object:
        return BLANK if window.overlaps(TODAY) else None

    quiet.vendor.hook = only_the_future
    await quiet.harvest()
    asked = {}
    for days in (3, 4, 6, 40):
        quiet.vendor.asked.clear()
        quiet.now = MIDNIGHT + DAY / 2 + days * DAY

        await quiet.harvest()

        asked[days] = [w for w, _ in quiet.vendor.asked if w.contains(TODAY)]
    assert asked[3]
    assert not asked[40]
    assert [blank for blank in await quiet.blanks() if blank.overlaps(TODAY)] == []


async def test_a_title_behind_a_blank_answer_is_found_at_the_next_age(quiet: World):
    await quiet.harvest()
    quiet.vendor.purchases = bought(3, since=MIDNIGHT, until=TODAY.end)
    quiet.now += 2 * DAY

    await quiet.harvest()

    assert quiet.truth() == await quiet.stored()
    assert await quiet.blanks() == []


async def test_a_title_of_long_ago_behind_a_blank_answer_is_found_by_the_mark_alone(world: World):
    """No day that was old when it was first covered is read again, so only the mark asks."""
    world.configure(start_date=NOW - 100 * DAY, reread=AGES)
    world.vendor.purchases = bought(1, since=NOW - 90 * DAY, until=NOW - 89 * DAY)
    at = world.vendor.purchases[0].at
    world.vendor.hook = lambda window, _: BLANK if window.start <= at < window.end else None
    await world.harvest()
    assert world.truth() != await world.stored()
    world.vendor.hook = None
    world.now += DAY

    await world.harvest()

    assert world.truth() == await world.stored()


async def test_a_blank_answer_after_records_were_received_marks_nothing(quiet: World):
    quiet.vendor.purchases = bought(60, since=MIDNIGHT)
    quiet.vendor.hook = Script([None, BLANK])

    summary = await quiet.harvest()

    assert quiet.truth() == await quiet.stored()
    assert (await quiet.blanks(), summary.tally.shifts) == ([], 1)
