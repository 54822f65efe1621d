"""Windows: half-open spans of vendor time, by property and by example."""

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings, strategies as st

from bibsync.window import DAY, Window, day, midnight_before, whole_seconds

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

moments = st.integers(0, 14 * 365 * 86_400 * 1000).map(
    lambda ms: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
windows = (
    st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1]).map(lambda w: Window(*w))
)
by_property = settings(deadline=None)


@by_property
@given(windows, moments, moments)
def test_clipping_keeps_exactly_the_moments_inside(window: Window, start: datetime, end: datetime):
    clipped = window.clipped(start, end)

    for moment in (window.start, window.end, start, end, start + (end - start) / 2):
        inside = window.start <= moment < window.end and start <= moment < end
        assert inside == (clipped is not None and clipped.start <= moment < clipped.end)


@by_property
@given(windows, windows)
def test_two_windows_overlap_when_one_clips_the_other_to_something(one: Window, other: Window):
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(other) == (one.clipped(other.start, other.end) is not None)
    assert one.contains(other) == (one.clipped(other.start, other.end) == other)


@by_property
@given(windows)
def test_the_days_of_a_window_are_those_that_it_touches(window: Window):
    days = window.days()

    assert midnight_before(window.start) == days[0]
    assert days[-1] < window.end <= days[-1] + DAY
    assert {DAY} >= {after - before for before, after in itertools.pairwise(days)}
    assert all(day(each).overlaps(window) for each in days)


@by_property
@given(moments)
def test_a_midnight_is_the_last_one_not_after_the_moment(moment: datetime):
    midnight = midnight_before(moment)

    assert (midnight.hour, midnight.minute, midnight.second, midnight.microsecond) == (0, 0, 0, 0)
    assert midnight <= moment < midnight + DAY


@by_property
@given(moments)
def test_whole_seconds_are_never_later_than_the_moment(moment: datetime):
    assert timedelta(0) <= moment - whole_seconds(moment) < timedelta(seconds=1)
    assert whole_seconds(moment).microsecond == 0


def test_windows_that_touch_share_no_moment():
    before, after = Window(NOON - DAY, NOON), Window(NOON, NOON + DAY)

    assert not before.overlaps(after)
    assert before.clipped(after.start, after.end) is None


def test_a_window_ending_at_midnight_does_not_touch_the_next_day():
    midnight = midnight_before(NOON)

    assert [midnight - DAY] == Window(NOON - DAY, midnight).days()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON, NOON),
        (NOON, NOON - DAY),
        (NOON.replace(tzinfo=None), NOON),
        (NOON, (NOON + DAY).astimezone(timezone(timedelta(hours=1)))),
    ],
    ids=["empty", "backwards", "naive", "another zone"],
)
def test_what_is_no_span_in_utc_is_no_window(start: datetime, end: datetime):
    with pytest.raises(ValueError, match="a window"):
        Window(start, end)


def test_a_window_is_written_in_utc_with_whole_seconds():
    assert str(Window(NOON, NOON + DAY)) == "2024-02-29T12:00:00Z..2024-03-01T12:00:00Z"


def test_windows_are_ordered_by_start_and_then_by_end():
    early, late, long = (
        Window(NOON - DAY, NOON),
        Window(NOON, NOON + DAY),
        Window(NOON - DAY, NOON + DAY),
    )

    assert [early, long, late] == sorted([late, long, early])
