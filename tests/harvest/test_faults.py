"""What the vendor may answer instead of a page, and how a run and its windows end then."""

import asyncio
import re
from datetime import timedelta

import pytest
from world import (
    MIDNIGHT,
    NOW,
    START,
    Bought,
    Script,
    World,
    bought,
    busy,
    timed_out,
)

from bibsync import marc
from bibsync.errors import SourceMisled, SourceRefused
from bibsync.run import Order
from bibsync.source import Page
from bibsync.window import DAY, Window

TODAY = Window(MIDNIGHT, NOW)
PARKED = "select parked_until from lanes where collection = $1 and lane = 0"
UNREADABLE = b"<marc:record><marc:leader/><marc:nonsense attribute=%d></marc:record>"


async def test_a_busy_vendor_is_asked_again_and_each_retry_is_counted(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([busy(), busy(), None, timed_out()])

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (summary.tally.retries, summary.tally.requests) == (3, 6)
    assert (summary.outcome, summary.problem) == ("succeeded", None)


async def test_a_window_that_fails_after_its_retries_stays_uncovered_and_heals(world: World):
    world.configure(start_date=MIDNIGHT, retries=4)
    world.vendor.purchases = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([None, *(busy() for _ in range(5))])

    summary = await world.harvest()

    assert await world.covered() == ()
    assert (summary.outcome, summary.problem.code) == ("failed", "source_busy")
    assert (summary.tally.failed_windows, summary.tally.retries) == (1, 4)
    [failed] = await world.open_windows()
    assert failed.failed_at == NOW
    assert len(await world.stored()) == 50, "the page before the failure was kept"
    assert (await world.harvest()).outcome == "succeeded"
    assert await world.covered() == (TODAY,)
    assert world.truth() == await world.stored()
    assert not await world.open_windows()


async def test_a_failed_window_costs_no_other_and_is_chosen_last_by_the_next_run(world: World):
    bad, until = START + 5 * DAY, START + 20 * DAY

    def broken(window: Window, _offset: int) -> None:
        if window.start <= bad < window.end:
            raise busy()

    world.configure(retries=0, windows_at_once=1)
    world.vendor.purchases, world.vendor.hook = bought(140), broken
    summary = await world.harvest(Order(until=until))

    assert (summary.outcome, summary.tally.failed_windows) == ("partial", 1)
    before, after = await world.covered()
    assert before.end <= bad < after.start
    world.vendor.asked.clear()
    world.vendor.hook = None
    await world.harvest()
    starts = [window.start for window, offset in world.vendor.asked if offset == 1]
    assert starts.index(until) < starts.index(before.end), "the fresh gap first, though younger"
    assert world.truth() == await world.stored()


async def test_a_vendor_that_failed_is_spared_for_some_minutes(world: World):
    world.configure(start_date=MIDNIGHT, retries=0)
    world.vendor.hook = Script([busy()])

    await world.harvest()

    assert await world.value(PARKED) == NOW + timedelta(minutes=5)
    await world.harvest()
    assert await world.value(PARKED) is None, "a good run lifts it"


@pytest.mark.parametrize(("asked_s", "parked_s"), [(31, 31), (86_400, 3600)])
async def test_a_pause_longer_than_a_run_waits_parks_the_stream(
    world: World, asked_s: float, parked_s: float
):
    world.configure(start_date=MIDNIGHT, retries=0)
    world.vendor.purchases = bought(60, since=MIDNIGHT)
    world.vendor.hook = Script([None, busy(retry_after=asked_s)])

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("failed", "source_parked")
    assert len(world.vendor.asked) == 2
    assert await world.value(PARKED) == NOW + timedelta(seconds=parked_s)
    assert (await world.harvest()).outcome == "succeeded", "a person's run asks all the same"


async def test_wrong_credentials_stop_the_run_with_one_request(world: World):
    world.vendor.purchases = bought(60)
    world.vendor.hook = Script([SourceRefused("The vendor refuses the account.")])

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("failed", "credentials_refused")
    assert len(world.vendor.asked) == 1
    assert await world.covered() == ()


async def test_credentials_refused_in_the_middle_stop_every_window_of_the_run(world: World):
    world.vendor.purchases = bought(600)
    refused = asyncio.Event()

    def refuse(_window: Window, _offset: int) -> None:
        assert not refused.is_set() or len(world.vendor.asked) <= 5
        if len(world.vendor.asked) >= 4:
            refused.set()
            raise SourceRefused("The vendor refuses the account.")

    world.vendor.hook = refuse

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("partial", "credentials_refused")
    assert len(world.vendor.asked) <= 5, "one more may have been on its way"


async def test_a_source_that_cannot_be_made_is_the_collections_problem_alone(world: World):
    def unknown(*_: object) -> object:
        raise SourceMisled("There is no such kind of source.")

    await world.enrol()
    world.source = unknown

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("failed", "source_misconfigured")


async def test_five_different_windows_failing_in_a_row_end_the_run(world: World):
    world.configure(retries=0, max_window=DAY, windows_at_once=1)
    world.vendor.hook = Script([busy() for _ in range(100)])

    summary = await world.harvest()

    assert (summary.tally.failed_windows, len(world.vendor.asked)) == (5, 5)
    assert (summary.outcome, summary.problem.code) == ("failed", "source_busy")


async def test_an_answered_window_between_keeps_the_breaker_closed(world: World):
    world.configure(retries=0, max_window=DAY, windows_at_once=1)
    world.vendor.hook = Script([*(busy() for _ in range(4)), None] * 3)

    summary = await world.harvest()

    assert summary.tally.failed_windows == 12
    assert len(await world.covered()) > 1


async def test_a_wide_window_that_times_out_is_halved_at_once(world: World):
    world.configure(windows_at_once=1)
    world.vendor.purchases = bought(140)
    slow: list[Window] = []

    def slowly(window: Window, _offset: int) -> None:
        if window.width > 2 * DAY:
            slow.append(window)
            raise timed_out()

    world.vendor.hook = slowly

    summary = await world.harvest()

    assert world.truth() == await world.stored()
    assert (Window(START, NOW),) == await world.covered()
    assert (summary.tally.retries, summary.outcome) == (0, "succeeded")
    assert 0 < len(slow) <= summary.tally.windows, "wider is tried after a success"
    assert not await world.open_windows()


async def test_a_narrow_window_that_times_out_is_asked_for_again(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.hook = Script([timed_out()] * 4)

    summary = await world.harvest()

    assert (summary.tally.retries, summary.outcome) == (4, "succeeded")


async def test_a_due_day_that_times_out_is_halved_down_to_an_hour(world: World):
    world.configure(start_date=MIDNIGHT - DAY, reread=(DAY,), retries=0, windows_at_once=1)
    await world.harvest()
    world.now += 2 * DAY
    day = Window(MIDNIGHT - DAY, MIDNIGHT)

    def slowly(window: Window, _offset: int) -> None:
        if day.contains(window) and window.width > timedelta(hours=6):
            raise timed_out()

    world.vendor.hook = slowly
    world.vendor.asked.clear()

    summary = await world.harvest()

    assert summary.outcome == "succeeded"
    parts = [w for w, _ in world.vendor.asked if day.contains(w) and w.width <= DAY / 4]
    assert sum((w.width for w in parts), start=timedelta()) == DAY
    read_at = "select read_at from days where collection = $1 and day = '2024-03-09'"
    assert await world.value(read_at) == world.now


async def test_a_page_of_which_nothing_is_readable_is_asked_for_once_more(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(12, since=MIDNIGHT)
    world.vendor.hook = Script([_unreadable(12)])

    await world.harvest()

    assert world.truth() == await world.stored()
    assert await world.rejects() == []


async def test_a_page_that_stays_unreadable_becomes_rejects(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.hook = Script([_unreadable(12), _unreadable(12), _unreadable(1, after=11)])

    summary = await world.harvest()

    assert await world.rejects() == ["unreadable_record"] * 12
    assert (
        summary.tally.received,
        summary.tally.rejected,
        summary.outcome,
    ) == (12, 12, "succeeded")


async def test_a_few_unreadable_records_are_believed_at_once(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.hook = Script([_unreadable(9), _unreadable(1, after=8)])

    await world.harvest()

    assert await world.rejects() == ["unreadable_record"] * 9
    assert len(world.vendor.asked) == 2


async def test_a_record_that_postgresql_cannot_hold_costs_no_other(world: World):
    """A control number too long for an index, for one: nothing that MARC forbids."""
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(40, since=MIDNIGHT)
    too_long = Bought(MIDNIGHT + timedelta(hours=1), "".join(map(chr, range(0x4E00, 0x55D0))))
    world.vendor.purchases.append(too_long)

    summary = await world.harvest()

    assert {k: t for k, t in world.truth().items() if k != too_long.key} == await world.stored()
    assert await world.rejects() == ["unreadable_record"]
    assert (summary.tally.received, summary.tally.new, summary.tally.rejected) == (41, 40, 1)
    position = [each.key for each in world.vendor.inside(TODAY)].index(too_long.key) + 1
    assert await world.value("select position from rejects where collection = $1") == position
    again = await world.harvest()
    assert (again.outcome, again.tally.rejected, again.tally.new_rejects) == ("succeeded", 1, 0)


async def test_a_collection_disabled_in_the_middle_stops_behind_its_page(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)

    async def disable() -> None:
        await world.execute("update collections set enabled = false where collection = $1")

    world.vendor.before = {2: disable}

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("paused", "paused")
    assert len(world.vendor.asked) <= 4
    assert 50 <= len(await world.stored()) <= 150
    assert await world.covered() == ()


async def test_a_collection_paused_in_the_middle_stops_behind_its_page_and_says_why(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)

    async def pause() -> None:
        await world.execute(
            "update collections set paused_at = now(), paused_by = 'anna', "
            "pause_reason = 'vendor maintenance' where collection = $1"
        )

    async def resume() -> None:
        await world.execute("update collections set paused_until = now() where collection = $1")

    world.vendor.before = {2: pause}

    summary = await world.harvest()
    stored = len(await world.stored())
    await resume()
    again = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("paused", "paused")
    assert re.fullmatch(
        r"anna paused the collection on 2\d{3}-.* UTC: vendor maintenance", summary.problem.message
    )
    assert 50 <= stored <= 150
    assert again.outcome == "succeeded"
    assert world.truth() == await world.stored()


async def test_a_disabled_collection_is_not_asked_about(world: World):
    await world.enrol()
    await world.execute("update collections set enabled = false where collection = $1")

    summary = await world.harvest(Order())

    assert summary.outcome == "paused"
    assert world.vendor.asked == []


def _unreadable(count: int, *, after: int = 0) -> Page:
    records = b"".join(UNREADABLE % (after + number) for number in range(count))
    body = b'<marc:collection xmlns:marc="http://www.loc.gov/MARC21/slim">%s</marc:collection>'
    return Page(marc.cut(body % records))
