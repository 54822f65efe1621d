"""Coverage: the union of windows that are stored completely, and what follows from it.

A coverage is a sorted tuple of disjoint, non-adjacent windows, as PostgreSQL's multiranges are.
Pure arithmetic: no clock, no database.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from bibsync.window import Window

Coverage = tuple[Window, ...]


def union(windows: Iterable[Window]) -> Coverage:
    """Return the windows merged where they overlap or touch."""
    merged: list[Window] = []
    for window in sorted(windows, key=attrgetter("start")):
        if merged and window.start <= merged[-1].end:
            if window.end > merged[-1].end:
                merged[-1] = Window(merged[-1].start, window.end)
        else:
            merged.append(window)
    return tuple(merged)


def subtract(windows: Iterable[Window], taken: Iterable[Window]) -> Coverage:
    """Return what of `windows` lies in none of `taken`, in order."""
    left: list[Window] = []
    holes = union(taken)
    for window in union(windows):
        start = window.start
        for hole in holes:
            if hole.end <= start or hole.start >= window.end:
                continue
            if hole.start > start:
                left.append(Window(start, hole.start))
            start = hole.end
        if start < window.end:
            left.append(window if start == window.start else Window(start, window.end))
    return tuple(left)


def clip(windows: Iterable[Window], start: datetime, end: datetime) -> Coverage:
    """Return the parts of `windows` inside [start, end)."""
    return union(part for window in windows if (part := window.clipped(start, end)))


def gaps(covered: Coverage, start: datetime, end: datetime) -> Coverage:
    """Return what of [start, end) isn't covered, oldest first."""
    return subtract([Window(start, end)], covered) if start < end else ()


def caught_up_to(covered: Coverage, start: datetime) -> datetime:
    """Return the end of the unbroken part that begins at `start`; `start` while there is none."""
    for window in covered:
        if window.start <= start < window.end:
            return window.end
    return start


def contains(covered: Coverage, window: Window) -> bool:
    """Tell whether `window` is covered from end to end."""
    return any(part.contains(window) for part in covered)
