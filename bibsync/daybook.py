"""The daybook: which UTC days a run has read from end to end, in one window or in several.

Pure bookkeeping; the caller stores what `note` returns in the transaction of the window's end.
"""

from dataclasses import dataclass, field
from datetime import datetime

from bibsync import coverage
from bibsync.coverage import Coverage
from bibsync.window import Window, day


@dataclass(frozen=True, slots=True)
class DayRead:
    """A UTC day that was read, at `read_at`: when its earliest part was begun.

    `count` and `digest` of its records' names are None unless it was a window of its own.
    """

    midnight: datetime
    read_at: datetime
    count: int | None = None
    digest: bytes | None = None


@dataclass(slots=True)
class Daybook:
    """Days that were read in part so far; days before `start` need not be read."""

    start: datetime
    _parts: dict[datetime, tuple[Coverage, datetime]] = field(default_factory=dict)

    def note(
        self, window: Window, began: datetime, names: tuple[int, bytes] | None
    ) -> list[DayRead]:
        """Note a window that was read and return the days that are complete with it.

        `names` are count and digest of the window's record names, None where they aren't known.
        """
        complete = []
        for midnight in window.days():
            whole = day(midnight)
            needed = whole.clipped(self.start, whole.end) or whole
            parts, earliest = self._parts.pop(midnight, ((), began))
            if window.contains(needed):
                earliest = began
            else:
                parts, earliest = coverage.union([*parts, window]), min(earliest, began)
                if not coverage.contains(parts, needed):
                    self._parts[midnight] = coverage.clip(parts, whole.start, whole.end), earliest
                    continue
            if window == whole and names is not None:
                complete.append(DayRead(midnight, earliest, *names))
            else:
                complete.append(DayRead(midnight, earliest))
        return complete
