"""Windows of vendor time: the half-open spans that are asked for as a unit.

Pure arithmetic on aware UTC datetimes; no clock is read and nothing is awaited here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)


def whole_seconds(moment: datetime) -> datetime:
    """Cut `moment` down to whole seconds: the vendor's dates have no finer unit."""
    return moment.replace(microsecond=0)


def midnight_before(moment: datetime) -> datetime:
    """Return the last UTC midnight that is not after `moment`."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of vendor time, [start, end), both ends aware and in UTC, never empty."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.utcoffset() != timedelta(0) or self.end.utcoffset() != timedelta(0):
            raise ValueError(f"a window's ends are in UTC: {self.start!r}, {self.end!r}")
        if self.start >= self.end:
            raise ValueError(f"a window ends after its start: {self}")

    @property
    def width(self) -> timedelta:
        """How long the window is."""
        return self.end - self.start

    def clipped(self, start: datetime, end: datetime) -> "Window | None":
        """Return the part inside [start, end), None where there is none."""
        if start <= self.start and self.end <= end:
            return self
        start, end = max(self.start, start), min(self.end, end)
        return Window(start, end) if start < end else None

    def overlaps(self, other: "Window") -> bool:
        """Tell whether the two share any moment."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: "Window") -> bool:
        """Tell whether `other` lies inside, ends included."""
        return self.start <= other.start and other.end <= self.end

    def days(self) -> list[datetime]:
        """Return the midnights of all UTC days that the window touches, in order."""
        days, day = [], midnight_before(self.start)
        while day < self.end:
            days.append(day)
            day += DAY
        return days

    def __str__(self) -> str:
        return f"{_text(self.start)}..{_text(self.end)}"


def day(midnight: datetime) -> Window:
    """Return the UTC day that begins at `midnight`."""
    return Window(midnight, midnight + DAY)


def _text(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
