"""What a run reads next, chosen anew after every window.

The order is the promise: what was begun, then the newest, then days that are due again, then gaps,
then blanks, then forced re-imports and backfills. So new purchases never wait for a backfill, a gap
heals by itself, and a crash costs at most the page in flight. Pure: no clock, no database; `Known`
is what the store says, `Memory` is what this run did.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bibsync import coverage
from bibsync.collection import Sync
from bibsync.coverage import Coverage
from bibsync.window import DAY, Window, midnight_before

LIVE = 0
"""The lane of the daily sync; forced re-imports and backfills are numbered from 1."""

ROLLING = timedelta(hours=24)
ROLLING_AT_MOST = timedelta(hours=26)
ROLL_AGAIN = timedelta(hours=1)
RESUMABLE = timedelta(hours=1)
NARROWEST = timedelta(hours=1)
FEW, MANY = 250, 1000
"""A window of fewer records lets the next one be twice as wide, one of more half as wide."""


class Kind(StrEnum):
    """Which of the six choices a window is; the value stands in the database."""

    ROLLING = "rolling"
    REREAD = "reread"
    GAP = "gap"
    BLANK = "blank"
    LANE = "lane"


@dataclass(frozen=True, slots=True)
class Lane:
    """A span that has to be read: the live lane has no end, its range is [start_date, cutoff)."""

    number: int
    kind: str
    start: datetime
    end: datetime | None
    covered: Coverage


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window that was begun: `last_key` stands at position `last_pos`, counted from 1."""

    lane: int
    kind: Kind
    window: Window
    received: int
    last_key: str | None
    last_pos: int
    began: datetime
    failed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows about one stream, and the moment it is looked at.

    `lanes` begin with the live one. `days_due` and `blanks_due` are what the re-reading ages ask
    for. `cutoff` is the present by the earlier clock, `now` is ours.
    """

    sync: Sync
    now: datetime
    cutoff: datetime
    lanes: tuple[Lane, ...]
    open_windows: tuple[OpenWindow, ...]
    days_due: tuple[Window, ...]
    blanks_due: tuple[Window, ...]
    since: datetime | None = None
    until: datetime | None = None

    @property
    def covered(self) -> Coverage:
        """Coverage of the live lane."""
        return self.lanes[0].covered

    def clipped(self, windows: Iterable[Window]) -> Coverage:
        """Keep what lies in [start_date, cutoff) and in the span that this run is limited to."""
        start = max(self.sync.start_date, self.since or self.sync.start_date)
        return coverage.clip(windows, start, min(self.cutoff, self.until or self.cutoff))


@dataclass(frozen=True, slots=True)
class Piece:
    """The next piece of work: a window, and why and for which lane it is read."""

    kind: Kind
    lane: int
    window: Window
    resumed: OpenWindow | None = None

    def may_halve(self, sync: Sync) -> bool:
        """Tell whether less may be asked for at once."""
        if self.kind is Kind.ROLLING:
            return False
        reading_again = self.kind in {Kind.REREAD, Kind.BLANK}
        return self.window.width > (NARROWEST if reading_again else sync.window)


@dataclass(slots=True)
class Memory:
    """What this run did: read or reading now, failed, and how wide it asks.

    `cutoff` is the present that the run works towards: it moves only when the rolling day is read
    again, else every look at the clock would open a gap of a second. `rolled` holds the parts of
    the rolling day that were read up to it, `again` what of due days and blanks was, after halving.
    `narrowed` says how much of a window that was too wide may be asked for at once, `clock_told`
    whether it was told that the vendor's clock differs.
    """

    cutoff: datetime | None = None
    rolled_at: datetime | None = None
    rolled: list[Window] = field(default_factory=list)
    reading: list[Piece] = field(default_factory=list)
    failed: list[Window] = field(default_factory=list)
    again: list[Window] = field(default_factory=list)
    widths: dict[tuple[Kind, int], timedelta] = field(default_factory=dict)
    narrowed: list[tuple[Window, timedelta]] = field(default_factory=list)
    clock_told: bool = False

    def width(self, kind: Kind, lane: int, sync: Sync) -> timedelta:
        """Return how wide the next window of this kind may be."""
        first = sync.window if kind in {Kind.GAP, Kind.LANE} else sync.max_window
        return self.widths.get((kind, lane), first)

    def widen(self, piece: Piece, records: int, sync: Sync) -> None:
        """Learn from a window that was read: `records` were received in it."""
        width = self.width(piece.kind, piece.lane, sync)
        if records < FEW:
            self.widths[piece.kind, piece.lane] = min(width * 2, sync.max_window)
        elif records > MANY and piece.kind in {Kind.GAP, Kind.LANE}:
            self.widths[piece.kind, piece.lane] = max(width / 2, sync.window)

    def covered(self, piece: Piece, began: datetime, *, records: int, sync: Sync) -> None:
        """Learn from a window that was read, begun at `began`: how wide to ask, what is done."""
        self.widen(piece, records, sync)
        if piece.kind is Kind.ROLLING:
            self.rolled.append(piece.window)
            if self.cutoff is not None and piece.window.end >= self.cutoff:
                self.rolled_at = began
        if piece.kind in {Kind.REREAD, Kind.BLANK}:
            self.again.append(piece.window)

    def present(self, now: datetime, clocks: datetime) -> datetime:
        """Return the cutoff, which moves to the `clocks`' present once an hour."""
        if self.cutoff is None or (self.rolled_at and now - self.rolled_at >= ROLL_AGAIN):
            self.cutoff, self.rolled_at, self.rolled = clocks, None, []
        return self.cutoff

    def halve(self, piece: Piece, sync: Sync) -> None:
        """Ask for half as much next time."""
        floor = sync.window if piece.kind in {Kind.GAP, Kind.LANE} else NARROWEST
        half = timedelta(seconds=piece.window.width.total_seconds() // 2)
        self.widths[piece.kind, piece.lane] = max(half, floor)
        self.narrowed.append((piece.window, max(half, floor)))

    def cut(
        self, gap: Window, width: timedelta, cut: Callable[[Window, timedelta], Window]
    ) -> Window:
        """Cut a window of whole seconds off the gap, none that was too wide once more.

        Windows read beside it may have come back small since and let the next ones be wide again.
        """
        window = cut(gap, width)
        narrow = [least for wide, least in self.narrowed if wide.overlaps(window)]
        width = min([width, *narrow])
        return cut(gap, width - timedelta(microseconds=width.microseconds))


def choose(known: Known, memory: Memory) -> Piece | None:
    """Return what to read next, None when nothing is left or all of it is being read now."""
    for pieces in (_begun, _rolling, _due_days, _gaps, _blanks, _other_lanes):
        piece = next(pieces(known, memory), None)
        if piece is not None:
            return piece
    return None


def plan(known: Known) -> Iterator[Piece]:
    """Yield what a run would read if every window came back small; asks nobody."""
    memory = Memory(cutoff=known.cutoff)
    while piece := choose(known, memory):
        yield piece
        memory.covered(piece, known.now, records=0, sync=known.sync)
        known = _as_if_read(known, piece)


def outstanding(known: Known) -> timedelta:
    """Return how much vendor time a run has to read, all choices together."""
    rolling = [Window(known.cutoff - ROLLING, known.cutoff)]
    live = [
        *coverage.gaps(known.covered, known.sync.start_date, known.cutoff),
        *known.days_due,
        *known.blanks_due,
        *rolling,
    ]
    others = [
        coverage.gaps(lane.covered, lane.start, min(lane.end or known.cutoff, known.cutoff))
        for lane in known.lanes[1:]
    ]
    parts = [part for each in (live, *others) for part in known.clipped(each)]
    return sum((part.width for part in parts), start=timedelta())


def begun(known: Known) -> list[OpenWindow]:
    """Return the open windows that didn't fail."""
    return [each for each in known.open_windows if each.failed_at is None]


def superseded(known: Known) -> list[OpenWindow]:
    """Return the open windows that no run will go on with; they are to be deleted."""
    return [
        each
        for each in begun(known)
        if each.kind is Kind.ROLLING or known.now - each.began >= RESUMABLE
    ]


def _busy(known: Known, memory: Memory) -> list[Window]:
    begun = [each.window for each in known.open_windows if _resumable(known, each)]
    return begun + memory.failed + [piece.window for piece in memory.reading]


def _resumable(known: Known, begun: OpenWindow) -> bool:
    """Tell whether this run goes on with a window that was begun, with its own bounds."""
    return (
        begun.failed_at is None
        and begun.kind is not Kind.ROLLING
        and known.now - begun.began < RESUMABLE
        and begun.lane in {lane.number for lane in known.lanes}
        and known.clipped([begun.window]) == (begun.window,)
    )


def _begun(known: Known, memory: Memory) -> Iterator[Piece]:
    taken = memory.failed + [piece.window for piece in memory.reading]
    for each in known.open_windows:
        if _resumable(known, each) and not any(each.window.overlaps(other) for other in taken):
            yield Piece(each.kind, each.lane, each.window, each)


def _rolling(known: Known, memory: Memory) -> Iterator[Piece]:
    if memory.rolled_at is not None:
        return
    start = known.cutoff - ROLLING
    if known.covered and known.cutoff - known.covered[-1].end <= ROLLING_AT_MOST:
        start = min(start, known.covered[-1].end)
    taken = _busy(known, memory) + memory.rolled
    for part in coverage.subtract(known.clipped([Window(start, known.cutoff)]), taken):
        yield Piece(Kind.ROLLING, LIVE, part)


def _due_days(known: Known, memory: Memory) -> Iterator[Piece]:
    taken = _busy(known, memory) + memory.again
    width = memory.width(Kind.REREAD, LIVE, known.sync)
    for due in known.days_due:
        in_the_way = [window for window in taken if window.overlaps(due)]
        for part in coverage.subtract(known.clipped([due]), in_the_way):
            yield Piece(Kind.REREAD, LIVE, memory.cut(part, width, _first_of))


def _gaps(known: Known, memory: Memory) -> Iterator[Piece]:
    whole = coverage.gaps(known.covered, known.sync.start_date, known.cutoff)
    left = coverage.subtract(known.clipped(whole), _busy(known, memory))
    failed_before = [each.window for each in known.open_windows if each.failed_at is not None]
    fresh = coverage.subtract(left, failed_before)
    width = memory.width(Kind.GAP, LIVE, known.sync)
    for gap in fresh or left:
        yield Piece(Kind.GAP, LIVE, memory.cut(gap, width, _first_of))


def _blanks(known: Known, memory: Memory) -> Iterator[Piece]:
    taken = _busy(known, memory) + memory.again
    width = memory.width(Kind.BLANK, LIVE, known.sync)
    for part in coverage.subtract(known.clipped(known.blanks_due), taken):
        yield Piece(Kind.BLANK, LIVE, memory.cut(part, width, _first_of))


def _other_lanes(known: Known, memory: Memory) -> Iterator[Piece]:
    for lane in known.lanes[1:]:
        whole = coverage.gaps(lane.covered, lane.start, min(lane.end or known.cutoff, known.cutoff))
        left = coverage.subtract(known.clipped(whole), _busy(known, memory))
        width = memory.width(Kind.LANE, lane.number, known.sync)
        if left:
            yield Piece(Kind.LANE, lane.number, memory.cut(left[-1], width, _last_of))


def _first_of(gap: Window, width: timedelta) -> Window:
    """Cut a window off the gap's start, ending at a UTC midnight where one is within reach."""
    end = min(gap.end, gap.start + width)
    midnight = midnight_before(end)
    if end != gap.end and midnight > gap.start:
        end = midnight
    return Window(gap.start, end)


def _last_of(gap: Window, width: timedelta) -> Window:
    """Cut a window off the gap's end, beginning at a UTC midnight where one is within reach."""
    start = max(gap.start, gap.end - width)
    midnight = midnight_before(start)
    if start not in (gap.start, midnight) and midnight + DAY < gap.end:
        start = midnight + DAY
    return Window(start, gap.end)


def _as_if_read(known: Known, piece: Piece) -> Known:
    read = [piece.window]
    return replace(
        known,
        lanes=tuple(
            replace(lane, covered=coverage.union([*lane.covered, *read])) for lane in known.lanes
        ),
        open_windows=tuple(w for w in known.open_windows if not piece.window.contains(w.window)),
        days_due=tuple(due for due in known.days_due if not piece.window.contains(due)),
        blanks_due=coverage.subtract(known.blanks_due, read),
    )
