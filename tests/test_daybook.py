"""The daybook: which days a run has read from end to end."""

import itertools
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from bibsync.daybook import Daybook, DayRead
from bibsync.window import DAY, Window, day

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
START = MONDAY + timedelta(hours=6)
BEGAN = datetime(2024, 3, 1, tzinfo=UTC)
NAMES = (3, b"digest")
HOUR = timedelta(hours=1)


@pytest.fixture
def daybook() -> Daybook:
    return Daybook(START)


def test_a_day_read_as_a_window_of_its_own_keeps_count_and_digest(daybook: Daybook):
    read = daybook.note(day(MONDAY + DAY), BEGAN, NAMES)

    assert [DayRead(MONDAY + DAY, BEGAN, *NAMES)] == read


def test_a_day_whose_records_are_not_all_known_is_read_without_a_digest(daybook: Daybook):
    read = daybook.note(day(MONDAY + DAY), BEGAN, None)

    assert [DayRead(MONDAY + DAY, BEGAN)] == read


def test_a_wide_window_completes_the_days_inside_and_not_those_at_its_ends(daybook: Daybook):
    window = Window(MONDAY + 12 * HOUR, MONDAY + 3 * DAY + HOUR)

    read = daybook.note(window, BEGAN, NAMES)

    assert [DayRead(MONDAY + DAY, BEGAN), DayRead(MONDAY + 2 * DAY, BEGAN)] == read


def test_a_day_read_in_parts_dates_from_the_earliest(daybook: Daybook):
    tuesday = MONDAY + DAY
    assert not daybook.note(Window(tuesday, tuesday + 8 * HOUR), BEGAN + HOUR, NAMES)
    assert not daybook.note(Window(tuesday + 20 * HOUR, tuesday + DAY), BEGAN, NAMES)

    read = daybook.note(Window(tuesday + 8 * HOUR, tuesday + 21 * HOUR), BEGAN + 2 * HOUR, NAMES)

    assert [DayRead(tuesday, BEGAN)] == read


def test_a_day_read_as_a_whole_dates_from_that_reading_alone(daybook: Daybook):
    """A part that the rolling day read before is no reason to read the day once more."""
    tuesday = MONDAY + DAY
    daybook.note(Window(tuesday, tuesday + 8 * HOUR), BEGAN, NAMES)

    read = daybook.note(day(tuesday), BEGAN + HOUR, NAMES)

    assert [DayRead(tuesday, BEGAN + HOUR, *NAMES)] == read


def test_the_first_day_need_not_be_read_before_the_start(daybook: Daybook):
    read = daybook.note(Window(START, MONDAY + DAY), BEGAN, NAMES)

    assert [DayRead(MONDAY, BEGAN)] == read


def test_a_complete_day_is_noted_anew_when_it_is_read_again(daybook: Daybook):
    daybook.note(day(MONDAY + DAY), BEGAN, NAMES)

    read = daybook.note(day(MONDAY + DAY), BEGAN + HOUR, NAMES)

    assert [DayRead(MONDAY + DAY, BEGAN + HOUR, *NAMES)] == read


@settings(deadline=None)
@given(st.lists(st.integers(1, 24 * 5 - 1), max_size=12), st.integers())
def test_every_day_of_a_span_is_complete_once_however_it_is_cut(cuts: list[int], seed: int):
    hours = sorted({0, *cuts, 24 * 5})
    windows = [
        Window(MONDAY + one * HOUR, MONDAY + two * HOUR) for one, two in itertools.pairwise(hours)
    ]
    Random(seed).shuffle(windows)
    daybook = Daybook(MONDAY)

    read = [each for window in windows for each in daybook.note(window, BEGAN, NAMES)]

    assert [MONDAY + n * DAY for n in range(5)] == sorted(each.midnight for each in read)
    own = {MONDAY + n * DAY for n in range(5) if day(MONDAY + n * DAY) in windows}
    assert own == {each.midnight for each in read if each.digest}
