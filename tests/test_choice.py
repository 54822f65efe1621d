"""What a run reads next: the order, the bounds and the widths, by property and by example.

`Run` plays a run without vendor or database: it chooses, notes what was read as the tables
would, and goes on until nothing is left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from bibsync import choice, coverage
from bibsync.choice import LIVE, Kind, Known, Lane, Memory, OpenWindow, Piece
from bibsync.collection import Sync
from bibsync.window import DAY, Window, day, midnight_before

HOUR = timedelta(hours=1)
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
TODAY = midnight_before(NOW)
START = datetime(2024, 1, 1, tzinfo=UTC)
SYNC = Sync(start_date=START)
ORDER = (Kind.ROLLING, Kind.REREAD, Kind.GAP, Kind.BLANK, Kind.LANE)


def known(
    *covered: Window, sync: Sync = SYNC, lanes: Iterable[Lane] = (), **others: object
) -> Known:
    """Return what the store knows: nothing but the coverage, unless more is said."""
    live = Lane(LIVE, "live", sync.start_date, None, coverage.union(covered))
    world: dict[str, object] = {
        "sync": sync,
        "now": NOW,
        "cutoff": NOW,
        "lanes": (live, *lanes),
        "open_windows": (),
        "days_due": (),
        "blanks_due": (),
    }
    return Known(**(world | others))


def begun(window: Window, **others: object) -> OpenWindow:
    """Return a gap that was begun ten minutes ago and has a page."""
    fresh = OpenWindow(LIVE, Kind.GAP, window, 50, "k50", 50, NOW - timedelta(minutes=10), None)
    return replace(fresh, **others)


ALL = Window(START, NOW)
EVERY = known(ALL)


@dataclass
class Run:
    """A run whose windows are read at once, `at_once` of them at a time; `sizes` are records."""

    known: Known
    memory: Memory = field(default_factory=Memory)
    sizes: Callable[[Window], int] = lambda _: 0
    at_once: int = 1
    random: Random = field(default_factory=lambda: Random(0))
    pieces: list[Piece] = field(default_factory=list)

    def go(self, most: int = 2000) -> list[Piece]:
        """Choose and read until nothing is left; return what was chosen, in order."""
        self.memory.present(self.known.now, self.known.cutoff)
        while len(self.pieces) < most:
            piece = None
            if len(self.memory.reading) < self.at_once:
                piece = choice.choose(self.known, self.memory)
            if piece is not None:
                self._begin(piece)
            elif self.memory.reading:
                self._finish(self.random.choice(self.memory.reading))
            else:
                return self.pieces
        raise AssertionError(f"a run doesn't end: {self.pieces[-5:]}")

    def _begin(self, piece: Piece) -> None:
        inside = self.known.clipped([piece.window])
        assert (piece.window,) == inside, "outside of the span"
        beside = [other.window for other in self.memory.reading]
        assert not any(piece.window.overlaps(other) for other in beside), "already being read"
        self.memory.reading.append(piece)
        self.pieces.append(piece)

    def _finish(self, piece: Piece) -> None:
        self.memory.reading.remove(piece)
        self.memory.covered(
            piece, self.known.now, records=self.sizes(piece.window), sync=self.known.sync
        )
        self.known = replace(
            self.known,
            lanes=tuple(
                replace(lane, covered=coverage.union([*lane.covered, piece.window]))
                for lane in self.known.lanes
            ),
            open_windows=tuple(each for each in self.known.open_windows if each != piece.resumed),
            days_due=tuple(d for d in self.known.days_due if not piece.window.contains(d)),
            blanks_due=coverage.subtract(self.known.blanks_due, [piece.window]),
        )


def read(pieces: Iterable[Piece], *kinds: Kind) -> list[Window]:
    return [piece.window for piece in pieces if not kinds or piece.kind in kinds]


# A world of half hours: small enough to fill, wide enough for midnights to matter.
halves = st.integers(0, 48 * 20)


def half(n: int) -> datetime:
    return START + n * HOUR / 2


spans = st.tuples(halves, halves).filter(lambda ends: ends[0] < ends[1])
windows = spans.map(lambda ends: Window(half(ends[0]), half(ends[1])))
hours = st.sampled_from([1, 5, 24, 48, 24 * 7])


@st.composite
def worlds(draw: st.DrawFn) -> Known:
    cutoff = half(draw(halves))
    width = draw(hours)
    sync = Sync(
        start_date=half(draw(st.integers(0, 60))),
        window=width * HOUR,
        max_window=max(width, draw(hours)) * HOUR,
    )
    covered = coverage.union(draw(st.lists(windows, max_size=4)))
    lanes = [
        Lane(number, "reimport", span.start, span.end, coverage.clip(covered, START, span.start))
        for number, span in enumerate(draw(st.lists(windows, max_size=2)), start=1)
    ]
    days = draw(st.sets(st.integers(0, 19), max_size=4))
    opened = coverage.union(draw(st.lists(windows, max_size=3)))
    kinds = st.sampled_from([Kind.GAP, Kind.REREAD, Kind.ROLLING])
    return known(
        *covered,
        sync=sync,
        lanes=lanes,
        now=cutoff,
        cutoff=cutoff,
        days_due=tuple(day(START + n * DAY) for n in sorted(days)),
        blanks_due=coverage.union(draw(st.lists(windows, max_size=2))),
        open_windows=tuple(
            begun(
                each,
                kind=draw(kinds),
                began=cutoff - draw(st.sampled_from([timedelta(minutes=1), 3 * HOUR])),
                failed_at=draw(st.sampled_from([None, cutoff])),
            )
            for each in opened
        ),
        since=draw(st.none() | halves.map(half)),
        until=draw(st.none() | halves.map(half)),
    )


@settings(deadline=None)
@given(worlds(), st.integers(1, 3), st.integers())
def test_a_run_ends_with_its_span_covered_whatever_the_store_knew(
    world: Known, at_once: int, seed: int
):
    """`Run` itself checks each choice: inside the span, beside what is being read."""
    random = Random(seed)
    run = Run(world, sizes=lambda _: random.choice([0, 500, 2000]), at_once=at_once, random=random)

    run.go()

    span = (Window(world.sync.start_date, world.cutoff),) if _is_span(world) else ()
    assert not coverage.subtract(world.clipped(span), run.known.covered)
    asked = coverage.union([*read(run.pieces), *world.covered])
    assert asked == run.known.covered


def _is_span(world: Known) -> bool:
    return world.sync.start_date < world.cutoff


@settings(deadline=None)
@given(worlds())
def test_one_window_at_a_time_comes_in_the_promised_order(world: Known):
    pieces = Run(world).go()

    fresh = [piece.kind for piece in pieces if piece.resumed is None]
    resumed = [piece.resumed is not None for piece in pieces]
    assert sorted(fresh, key=ORDER.index) == fresh
    assert sorted(resumed, reverse=True) == resumed


@settings(deadline=None)
@given(worlds())
def test_a_plan_names_what_the_run_then_reads(world: Known):
    assert Run(world).go() == list(choice.plan(world))


@settings(deadline=None)
@given(worlds())
def test_every_due_day_and_blank_inside_the_span_is_asked_for(world: Known):
    pieces = Run(world).go()

    asked = coverage.union(read(pieces))
    assert not coverage.subtract(world.clipped(world.days_due), asked)
    assert not coverage.subtract(world.clipped(world.blanks_due), asked)


def test_twelve_empty_years_take_fewer_than_200_windows():
    sync = Sync(start_date=datetime(2012, 3, 10, tzinfo=UTC))

    pieces = Run(known(sync=sync)).go()

    assert len(pieces) < 200
    assert (Window(sync.start_date, NOW),) == coverage.union(read(pieces))


def test_windows_of_a_gap_follow_one_another_without_overlap():
    gaps = read(Run(known()).go(), Kind.GAP)

    assert gaps[0].start == START
    assert [w.end for w in gaps[:-1]] == [w.start for w in gaps[1:]]
    assert gaps[-1].end == NOW - DAY


def test_windows_of_a_gap_end_at_midnights_whatever_their_start():
    sync = replace(SYNC, start_date=START + 7 * HOUR)

    gaps = read(Run(known(sync=sync)).go(), Kind.GAP)

    assert all(midnight_before(w.end) == w.end for w in gaps[:-1])
    assert [Window(sync.start_date, START + DAY), Window(START + DAY, START + 3 * DAY)] == gaps[:2]


def test_a_window_without_a_midnight_in_reach_is_cut_at_its_width():
    sync = replace(SYNC, window=5 * HOUR, max_window=5 * HOUR)

    gaps = read(Run(known(sync=sync)).go(), Kind.GAP)

    assert [(w.start - START) // HOUR for w in gaps[:7]] == [0, 5, 10, 15, 20, 24, 29]


def test_a_first_run_reads_the_newest_day_first():
    assert Piece(Kind.ROLLING, LIVE, Window(NOW - DAY, NOW)) == choice.choose(known(), Memory())


@pytest.mark.parametrize(
    ("covered_until", "rolls_from"),
    [
        (NOW - HOUR, NOW - DAY),
        (NOW - 25 * HOUR, NOW - 25 * HOUR),
        (NOW - 26 * HOUR, NOW - 26 * HOUR),
        (NOW - 27 * HOUR, NOW - DAY),
        (NOW + HOUR, NOW - DAY),
    ],
    ids=["an hour", "a day and an hour", "26 hours", "27 hours", "ahead of the clock"],
)
def test_the_rolling_day_reaches_back_to_coverage_that_ends_within_26_hours(
    covered_until: datetime, rolls_from: datetime
):
    """So a daily run that starts an hour late still asks once."""
    piece = choice.choose(known(Window(START, covered_until)), Memory())

    assert Piece(Kind.ROLLING, LIVE, Window(rolls_from, NOW)) == piece


def test_the_rolling_day_never_begins_before_the_start_date():
    sync = replace(SYNC, start_date=NOW - 3 * HOUR)

    pieces = Run(known(sync=sync)).go()

    assert [Piece(Kind.ROLLING, LIVE, Window(NOW - 3 * HOUR, NOW))] == pieces


@pytest.mark.parametrize("start", [NOW, NOW + DAY], ids=["now", "later"])
def test_a_start_date_in_the_future_asks_nothing(start: datetime):
    world = known(sync=replace(SYNC, start_date=start))

    assert choice.choose(world, Memory()) is None
    assert timedelta(0) == choice.outstanding(world)


def test_the_rolling_day_is_read_once_a_run():
    pieces = Run(EVERY).go()

    assert [Piece(Kind.ROLLING, LIVE, Window(NOW - DAY, NOW))] == pieces


def test_the_rolling_day_is_not_given_out_twice_at_once():
    memory = Memory(cutoff=NOW)
    memory.reading.append(choice.choose(EVERY, memory))

    assert choice.choose(EVERY, memory) is None


def test_the_rolling_day_is_read_again_when_an_hour_has_passed():
    run = Run(EVERY)
    run.go()
    early, late = NOW + timedelta(minutes=59), NOW + HOUR

    assert run.memory.present(early, early) == NOW
    assert choice.choose(replace(run.known, now=early), run.memory) is None
    assert late == run.memory.present(late, late)
    rolled = choice.choose(replace(run.known, now=late, cutoff=late), run.memory)
    assert Piece(Kind.ROLLING, LIVE, Window(late - DAY, late)) == rolled


def test_the_present_stands_still_until_the_rolling_day_is_read_again():
    """Else every look at the clock would open a gap of a second."""
    memory = Memory()

    assert memory.present(NOW, NOW) == NOW
    assert memory.present(NOW + 3 * HOUR, NOW + 3 * HOUR) == NOW


def test_a_begun_window_inside_the_rolling_day_costs_no_part_of_it():
    middle = begun(Window(NOW - 9 * HOUR, NOW - 5 * HOUR))

    pieces = Run(known(ALL, open_windows=(middle,))).go()

    assert middle == pieces[0].resumed
    assert (Window(NOW - DAY, NOW),) == coverage.union(read(pieces))


def test_a_failed_window_inside_the_rolling_day_costs_only_itself():
    failed = Window(NOW - 9 * HOUR, NOW - 5 * HOUR)

    pieces = Run(EVERY, Memory(failed=[failed])).go()

    rolled = [Window(NOW - DAY, failed.start), Window(failed.end, NOW)]
    assert rolled == read(pieces, Kind.ROLLING)


def test_a_begun_window_is_resumed_with_its_own_bounds_before_all_else():
    window = Window(START + 7 * HOUR, START + 3 * DAY + HOUR)
    world = known(open_windows=(begun(window),), days_due=(day(START),))

    piece = choice.choose(world, Memory())

    assert Piece(Kind.GAP, LIVE, window, begun(window)) == piece


@pytest.mark.parametrize(
    "of_it",
    [
        {"began": NOW - HOUR},
        {"kind": Kind.ROLLING},
    ],
    ids=["an hour old", "an earlier rolling day"],
)
def test_a_window_that_no_run_resumes_is_superseded_and_its_span_chosen_anew(
    of_it: dict[str, object],
):
    window = Window(START, START + 5 * DAY)
    world = known(open_windows=(begun(window, **of_it),))

    assert (begun(window, **of_it),) == tuple(choice.superseded(world))
    pieces = Run(world).go()
    assert not any(piece.resumed for piece in pieces)
    assert day(START) == read(pieces, Kind.GAP)[0]


@pytest.mark.parametrize(
    "of_it", [{}, {"failed_at": NOW}, {"failed_at": NOW, "began": NOW - 5 * HOUR}]
)
def test_a_fresh_or_failed_window_is_not_superseded(of_it: dict[str, object]):
    window = begun(Window(START, START + 5 * DAY), **of_it)

    assert not choice.superseded(known(open_windows=(window,)))


def test_a_begun_window_of_a_closed_lane_is_not_resumed():
    window = begun(Window(START, START + DAY), lane=3, kind=Kind.LANE)

    assert not any(piece.resumed for piece in Run(known(open_windows=(window,))).go())


def test_a_begun_window_outside_the_ordered_span_waits():
    window = begun(Window(START, START + 2 * DAY))

    world = known(open_windows=(window,), since=START + DAY, until=START + 3 * DAY)

    assert [Window(START + DAY, START + 2 * DAY), Window(START + 2 * DAY, START + 3 * DAY)] == read(
        Run(world).go()
    )


def test_gaps_that_failed_before_come_after_all_others():
    failed = begun(Window(START, START + 2 * DAY), failed_at=NOW - DAY)

    gaps = read(Run(known(open_windows=(failed,))).go(), Kind.GAP)

    assert gaps[0].start == START + 2 * DAY
    behind = [w for w in gaps if w.overlaps(failed.window)]
    assert behind == gaps[-len(behind) :]


def test_a_window_that_failed_in_this_run_is_not_chosen_again():
    failed = Window(START, START + 2 * DAY)

    run = Run(known(), Memory(failed=[failed]))

    assert not any(w.overlaps(failed) for w in read(run.go()))
    assert (Window(START + 2 * DAY, NOW),) == run.known.covered


def test_days_due_are_read_one_by_one_before_gaps():
    days = (day(START), day(START + DAY), day(START + 9 * DAY))

    pieces = Run(known(Window(START, START + 20 * DAY), days_due=days)).go()

    assert list(days) == read(pieces, Kind.REREAD)
    assert [Kind.ROLLING, *[Kind.REREAD] * 3, Kind.GAP] == [piece.kind for piece in pieces[:5]]


def test_a_due_day_is_clipped_to_the_start_date():
    sync = replace(SYNC, start_date=START + 7 * HOUR)

    pieces = Run(known(Window(sync.start_date, NOW), sync=sync, days_due=(day(START),))).go()

    assert [Window(START + 7 * HOUR, START + DAY)] == read(pieces, Kind.REREAD)


def test_neighbouring_blanks_are_merged_up_to_the_widest_window():
    sync = replace(SYNC, start_date=START - 60 * DAY)
    blanks = [Window(START - 50 * DAY, START - 20 * DAY), Window(START - 20 * DAY, START)]

    pieces = Run(known(Window(sync.start_date, NOW), sync=sync, blanks_due=tuple(blanks))).go()

    assert [
        Window(START - 50 * DAY, START - 18 * DAY),
        Window(START - 18 * DAY, START),
    ] == read(pieces, Kind.BLANK)


def test_lanes_are_read_newest_first_from_midnight_to_midnight():
    lane = Lane(1, "reimport", START + 7 * HOUR, START + 5 * DAY + HOUR, ())
    world = known(ALL, lanes=[lane])

    windows = read(Run(world, sizes=lambda _: 500).go(), Kind.LANE)

    assert [
        Window(START + 5 * DAY, START + 5 * DAY + HOUR),
        *[day(START + n * DAY) for n in (4, 3, 2, 1)],
        Window(START + 7 * HOUR, START + DAY),
    ] == windows


def test_a_lane_is_the_last_choice():
    lane = Lane(1, "backfill", START, NOW, ())
    world = known(
        Window(START, NOW - 3 * DAY),
        lanes=[lane],
        days_due=(day(START),),
        blanks_due=(day(START + DAY),),
    )

    pieces = Run(world).go()

    assert [*ORDER] == list(dict.fromkeys(piece.kind for piece in pieces))


@pytest.mark.parametrize("kind", [Kind.GAP, Kind.LANE])
@pytest.mark.parametrize(("records", "width"), [(249, 4), (250, 2), (1000, 2), (1001, 1)], ids=str)
def test_the_next_window_is_as_wide_as_the_last_one_was_full(kind: Kind, records: int, width: int):
    memory = Memory(widths={(kind, LIVE): 2 * DAY})
    piece = Piece(kind, LIVE, Window(START, START + 2 * DAY))

    memory.covered(piece, NOW, records=records, sync=SYNC)

    assert width * DAY == memory.width(kind, LIVE, SYNC)


def test_widths_stay_between_the_smallest_and_the_widest_window():
    memory = Memory()
    piece = Piece(Kind.GAP, LIVE, day(START))

    for _ in range(9):
        memory.widen(piece, 0, SYNC)
    assert SYNC.max_window == memory.width(Kind.GAP, LIVE, SYNC)
    for _ in range(9):
        memory.widen(piece, 5000, SYNC)
    assert SYNC.window == memory.width(Kind.GAP, LIVE, SYNC)


@pytest.mark.parametrize(
    ("kind", "narrowest"),
    [(Kind.GAP, SYNC.window), (Kind.LANE, SYNC.window), (Kind.REREAD, HOUR), (Kind.BLANK, HOUR)],
)
def test_windows_halve_down_to_the_floor_of_their_kind_and_no_further(
    kind: Kind, narrowest: timedelta
):
    memory, width = Memory(), 32 * DAY
    while Piece(kind, LIVE, Window(START, START + width)).may_halve(SYNC):
        memory.halve(Piece(kind, LIVE, Window(START, START + width)), SYNC)
        assert memory.width(kind, LIVE, SYNC) < width
        width = memory.width(kind, LIVE, SYNC)

    assert narrowest == width


@pytest.mark.parametrize("kind", [Kind.GAP, Kind.LANE])
def test_a_window_that_was_too_wide_is_not_asked_for_again(kind: Kind):
    """Also where a small window, read beside it, lets the next ones be wide again."""
    lanes = [Lane(1, "reimport", START, NOW, ())] if kind is Kind.LANE else []
    world = known(*([ALL] if lanes else [Window(NOW - DAY, NOW)]), lanes=lanes)
    memory = Memory(cutoff=NOW, rolled_at=NOW, widths={(kind, n): 8 * DAY for n in (0, 1)})
    wide = choice.choose(world, memory)
    memory.halve(wide, SYNC)
    memory.widen(wide, 0, SYNC)

    piece = choice.choose(world, memory)

    assert kind is wide.kind
    assert memory.width(kind, wide.lane, SYNC) > wide.window.width / 2
    assert wide.window.contains(piece.window)
    assert wide.window.width / 2 >= piece.window.width


def test_the_rolling_day_is_never_halved():
    assert not Piece(Kind.ROLLING, LIVE, Window(NOW - DAY, NOW)).may_halve(SYNC)


def test_a_halved_day_is_read_to_its_end_and_not_again():
    memory = Memory()
    memory.halve(Piece(Kind.REREAD, LIVE, day(START)), SYNC)

    pieces = Run(known(ALL, days_due=(day(START),)), memory, sizes=lambda _: 500).go()

    halves_of_it = [
        Window(START, START + 12 * HOUR),
        Window(START + 12 * HOUR, START + DAY),
    ]
    assert halves_of_it == read(pieces, Kind.REREAD)


def test_what_is_outstanding_counts_each_moment_of_the_live_lane_once():
    sync = replace(SYNC, start_date=NOW - 10 * DAY)
    due = day(TODAY - 8 * DAY)
    covered = Window(NOW - 10 * DAY, NOW - 2 * DAY)

    assert choice.outstanding(known(sync=sync)) == 10 * DAY
    assert choice.outstanding(known(covered, sync=sync, days_due=(due,))) == 3 * DAY
