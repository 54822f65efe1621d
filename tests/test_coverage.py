"""Coverage, against the plainest model there is: a set of seconds."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings, strategies as st

from bibsync import coverage
from bibsync.coverage import Coverage
from bibsync.window import Window

ZERO = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = 40

by_property = settings(deadline=None)
moments = st.integers(0, SPAN)


def at(second: int) -> datetime:
    return ZERO + timedelta(seconds=second)


def window(start: int, end: int) -> Window:
    return Window(at(start), at(end))


windows = st.lists(
    st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1]).map(lambda w: window(*w)),
    max_size=8,
)


def seconds(of: Coverage | list[Window]) -> set[int]:
    """Return every second of the model that lies in one of the windows."""
    return {n for n in range(SPAN) for each in of if each.start <= at(n) < each.end}


def is_normal(covered: Coverage) -> bool:
    """Tell whether windows are in order, disjoint and don't touch."""
    return all(a.end < b.start for a, b in itertools.pairwise(covered))


@by_property
@given(windows)
def test_a_union_holds_every_second_once(parts: list[Window]):
    union = coverage.union(parts)

    assert seconds(parts) == seconds(union)
    assert is_normal(union)


@by_property
@given(windows, windows)
def test_subtracting_leaves_what_is_in_none_of_the_others(parts: list[Window], taken: list[Window]):
    left = coverage.subtract(parts, taken)

    assert seconds(parts) - seconds(taken) == seconds(left)
    assert is_normal(left)


@by_property
@given(windows, moments, moments)
def test_clipping_keeps_the_seconds_inside(parts: list[Window], start: int, end: int):
    clipped = coverage.clip(parts, at(start), at(end))

    assert seconds(parts) & set(range(start, end)) == seconds(clipped)
    assert is_normal(clipped)


@by_property
@given(windows, moments, moments)
def test_gaps_and_coverage_tile_the_span(parts: list[Window], start: int, end: int):
    covered = coverage.union(parts)

    gaps = coverage.gaps(covered, at(start), at(end))

    inside = coverage.clip(covered, at(start), at(end))
    assert not seconds(gaps) & seconds(inside)
    whole = (window(start, end),) if start < end else ()
    assert whole == coverage.union([*gaps, *inside])
    assert sorted(gaps) == list(gaps)


@by_property
@given(windows, moments)
def test_caught_up_is_the_first_second_from_the_start_that_is_missing(
    parts: list[Window], start: int
):
    covered = seconds(parts)
    missing = next(n for n in range(start, SPAN + 1) if n not in covered)

    assert at(missing) == coverage.caught_up_to(coverage.union(parts), at(start))


@by_property
@given(windows, moments, moments)
def test_a_window_is_contained_when_all_its_seconds_are(parts: list[Window], one: int, two: int):
    if one == two:
        return
    asked = window(min(one, two), max(one, two))

    contained = coverage.contains(coverage.union(parts), asked)

    assert (seconds([asked]) <= seconds(parts)) == contained


def test_windows_that_touch_become_one():
    assert (window(1, 9),) == coverage.union([window(5, 9), window(1, 5)])
