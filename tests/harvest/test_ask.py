"""How politely a source is asked: retries, pauses, blank answers, the breaker."""

import asyncio
from random import Random

import pytest
from structlog.testing import capture_logs
from world import BLANK, MIDNIGHT, NOW, Script, Vendor, bought, busy, timed_out

from bibsync import backoff, events
from bibsync.ask import FAILURES_TO_OPEN, Breaker, Breakers, Inquiry
from bibsync.errors import SourceBusy, SourceMisled, SourceParked, SourceRefused, SourceTimedOut
from bibsync.run import Tally
from bibsync.window import DAY, Window

TODAY = Window(MIDNIGHT, NOW)


class Asking:
    """A vendor that follows a script, asked by an inquiry of four retries."""

    def __init__(self, *script: object, retries: int = 4, seed: int = 0) -> None:
        self.vendor = Vendor(bought(3, since=MIDNIGHT), hook=Script(list(script)))
        self.tally = Tally()
        self.inquiry = Inquiry(
            self.vendor,
            retries=retries,
            tally=self.tally,
            random=Random(seed),
            blank_waits_s=(0.0, 0.0),
        )

    async def first(self, *, halvable: bool = False) -> object:
        return await self.inquiry.page(TODAY, offset=1, first=True, halvable=halvable)

    async def later(self) -> object:
        return await self.inquiry.page(TODAY, offset=3, first=False)


async def test_an_answer_carries_the_number_of_its_request():
    asking = Asking(None, busy(), None)

    answers = [await asking.first(), await asking.later()]

    assert [answer.serial for answer in answers] == [1, 3]
    assert (asking.tally.requests, asking.tally.retries) == (3, 1)


async def test_a_busy_vendor_is_asked_once_and_four_times_again():
    asking = Asking(*(busy() for _ in range(5)))

    with pytest.raises(SourceBusy):
        await asking.first()

    assert (len(asking.vendor.asked), asking.tally.retries) == (5, 4)


async def test_no_retries_means_one_request():
    asking = Asking(busy(), retries=0)

    with pytest.raises(SourceBusy):
        await asking.first()

    assert len(asking.vendor.asked) == 1


@pytest.mark.parametrize("error", [SourceRefused("Wrong key."), SourceMisled("No such library.")])
async def test_what_will_not_pass_is_not_asked_again(error: Exception):
    asking = Asking(error)

    with pytest.raises(type(error)):
        await asking.first()

    assert (len(asking.vendor.asked), asking.tally.retries) == (1, 0)


async def test_a_defect_is_not_asked_again():
    asking = Asking(ZeroDivisionError("a defect"))

    with pytest.raises(ZeroDivisionError):
        await asking.first()

    assert len(asking.vendor.asked) == 1


async def test_a_time_out_of_a_window_that_can_be_halved_is_not_asked_again():
    asking = Asking(timed_out())

    with pytest.raises(SourceTimedOut):
        await asking.first(halvable=True)

    assert (len(asking.vendor.asked), asking.tally.retries) == (1, 0)


async def test_a_time_out_of_a_narrow_window_is_asked_again():
    asking = Asking(timed_out(), None)

    await asking.first()

    assert (len(asking.vendor.asked), asking.tally.retries) == (2, 1)


async def test_another_failure_of_a_window_that_can_be_halved_is_asked_again():
    asking = Asking(busy(), None)

    await asking.first(halvable=True)

    assert asking.tally.retries == 1


@pytest.mark.parametrize("seed", range(20))
async def test_the_waits_double_within_their_bounds_and_are_drawn_at_random(seed: int):
    asking = Asking(*(busy() for _ in range(8)), retries=8, seed=seed)

    with capture_logs() as noted:
        await asking.first()

    waits = [each["wait_s"] for each in noted if each["event"] == events.REQUEST_RETRIED]
    assert len(waits) == 8
    bounds = [min(backoff.LONGEST_S, 2.0**n) for n in range(8)]
    assert all(0 <= wait <= bound + 0.1 for wait, bound in zip(waits, bounds, strict=True))
    assert len(set(waits)) > 3, "not the same for everybody"


async def test_a_wait_is_never_shorter_than_the_vendor_asked_for():
    asking = Asking(busy(retry_after=12.0), busy(retry_after=30.0))

    with capture_logs() as noted:
        await asking.first()

    waits = [each["wait_s"] for each in noted if each["event"] == events.REQUEST_RETRIED]
    assert waits == [12.0, 30.0]


@pytest.mark.parametrize("retries", [0, 4])
async def test_a_pause_longer_than_a_run_waits_is_parked_at_once(retries: int):
    asking = Asking(busy(retry_after=30.5), retries=retries)

    with pytest.raises(SourceParked) as parked:
        await asking.first()

    assert parked.value.wait_s == 30.5
    assert (len(asking.vendor.asked), asking.tally.retries) == (1, 0)


async def test_a_blank_first_answer_is_asked_for_twice_more_and_then_given():
    asking = Asking(BLANK, BLANK, BLANK, None)

    answer = await asking.first()

    assert (answer.page.blank, answer.serial) == (True, 3)
    assert (asking.tally.requests, asking.tally.retries) == (3, 0)


async def test_a_page_behind_a_blank_answer_is_given():
    asking = Asking(BLANK, None)

    answer = await asking.first()

    assert (len(answer.page.records), asking.tally.requests) == (3, 2)


async def test_a_blank_later_answer_is_given_at_once():
    asking = Asking(BLANK)

    answer = await asking.later()

    assert (answer.page.blank, asking.tally.requests) == (True, 1)


async def test_a_failure_between_blank_answers_is_retried_by_itself():
    asking = Asking(BLANK, *(busy() for _ in range(4)), BLANK, *(busy() for _ in range(4)), BLANK)

    answer = await asking.first()

    assert (answer.page.blank, asking.tally.retries) == (True, 8)


async def test_a_cancellation_passes_through():
    reached, never = asyncio.Event(), asyncio.Event()
    asking = Asking()

    async def hang() -> None:
        reached.set()
        await never.wait()

    asking.vendor.before = {1: hang}
    asked = asyncio.create_task(asking.first(), name="asked")
    await reached.wait()
    asked.cancel()
    await asyncio.wait([asked])

    assert asked.cancelled()
    assert len(asking.vendor.asked) == 1


def test_a_breaker_opens_after_five_different_windows_in_a_row():
    breaker = Breaker()
    days = [Window(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in range(FAILURES_TO_OPEN)]
    for window in (*days[:4], *days[:4]):
        breaker.fail(window)
    assert not breaker.open

    breaker.fail(days[4])

    assert breaker.open
    breaker.succeeded()
    assert not breaker.open


def test_every_run_at_a_host_meets_the_same_breaker():
    breakers = Breakers()

    assert breakers.of("one.example") is breakers.of("one.example")
    assert breakers.of("one.example") is not breakers.of("two.example")
