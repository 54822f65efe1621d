"""Progress of several runs: a bar per collection on a terminal, a line every 30 s elsewhere."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from bibsync.cli.report import counted
from bibsync.cli.text import lasting, printable, say
from bibsync.errors import first_of
from bibsync.run import Tally

REDRAW_S = 0.2
LINE_EVERY_S = 30.0
MOST_BARS = 20
WORDS = 54
"""Columns that percentage and words take; names and bars share the rest."""


class _Watches:
    """Since when the run under way of each name asks."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[int, float]] = {}

    def now(self, name: str, tallies: Sequence[Tally]) -> tuple[Tally, float]:
        """Return the run under way, and for how many seconds it has been so."""
        place = max((n for n, tally in enumerate(tallies) if tally.requests), default=0)
        if self._began.get(name, (None,))[0] != place:
            self._began[name] = place, time.monotonic()
        return tallies[place], time.monotonic() - self._began[name][1]


@asynccontextmanager
async def shown(tallies: Mapping[str, Sequence[Tally]]) -> AsyncIterator[None]:
    """Show how far the runs are while the block lasts.

    By name; those of one name are made one after the other, and the one under way is shown.
    """
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    watch = _bars if terminal and len(tallies) <= MOST_BARS else _lines
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch(tallies), name="progress")
            yield
            watcher.cancel()
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None


async def _bars(tallies: Mapping[str, Sequence[Tally]]) -> None:
    console = Console(stderr=True)
    spare = console.width - WORDS
    name_width = min(max(len(name) for name in tallies), max(spare // 2, 8))
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=min(max(spare - name_width, 4), 24)),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[words]}", markup=False),
    )
    watches = _Watches()
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        bars = {
            name: progress.add_task(shortened(name, name_width), total=None, words="waiting")
            for name in tallies
        }

        def draw() -> None:
            for name, each in tallies.items():
                tally, elapsed_s = watches.now(name, each)
                _draw(progress, bars[name], tally, elapsed_s)
            progress.refresh()

        try:
            while True:
                draw()
                await asyncio.sleep(REDRAW_S)
        finally:
            draw()  # how far it came, also where it ended between two frames


def _draw(progress: Progress, bar: TaskID, tally: Tally, elapsed_s: float) -> None:
    if not tally.requests:
        return
    progress.update(bar, total=1.0, completed=tally.share, words=words(tally, elapsed_s))


async def _lines(tallies: Mapping[str, Sequence[Tally]]) -> None:
    watches = _Watches()
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        for name, each in tallies.items():
            tally, elapsed_s = watches.now(name, each)
            if tally.requests:
                say(printable(f"{name}: {words(tally, elapsed_s)}"))


def words(tally: Tally, elapsed_s: float) -> str:
    """Say how far a run is: windows and records, or titles; after a second rate and time left."""
    if tally.to_look_up:
        parts = [f"{tally.received} of {tally.to_look_up} titles described"]
    else:
        parts = [counted(tally.windows, "window"), counted(tally.received, "record")]
    long_enough = elapsed_s >= 1
    if long_enough:
        parts.append(f"{tally.received / elapsed_s:.0f}/s")
    if long_enough and 0.02 < tally.share < 1:  # noqa: PLR2004 - a guess from less would be noise
        parts.append(f"{lasting(elapsed_s * (1 - tally.share) / tally.share)} left")
    if tally.retries:
        parts.append("1 retry" if tally.retries == 1 else f"{tally.retries} retries")
    return ", ".join(parts)


def shortened(name: str, width: int) -> str:
    """Return a name for a bar; where it is cut, it ends in an ellipsis."""
    name = printable(name)
    return name if len(name) <= width else f"{name[: width - 1]}…"
