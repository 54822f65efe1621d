"""Progress of several runs: a bar per collection on a terminal, a line every 30 s elsewhere."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from bibsync.cli.text import lasting, printable, say
from bibsync.errors import first_of
from bibsync.run import Tally

REDRAW_S = 0.2
LINE_EVERY_S = 30.0
MOST_BARS = 20
WORDS = 54
"""Columns that percentage and words take; names and bars share the rest."""


@asynccontextmanager
async def shown(tallies: Mapping[str, Tally]) -> AsyncIterator[None]:
    """Show how far the runs are, by name, while the block lasts."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    watch = _bars if terminal and len(tallies) <= MOST_BARS else _lines
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch(tallies), name="progress")
            yield
            watcher.cancel()
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None


async def _bars(tallies: Mapping[str, Tally]) -> None:
    console = Console(stderr=True)
    spare = console.width - WORDS
    name_width = min(max(len(name) for name in tallies), max(spare // 2, 8))
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=min(max(spare - name_width, 4), 24)),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[words]}", markup=False),
    )
    began = time.monotonic()
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        bars = {
            name: progress.add_task(printable(name)[:name_width], total=None, words="waiting")
            for name in tallies
        }
        while True:
            for name, tally in tallies.items():
                _draw(progress, bars[name], tally, time.monotonic() - began)
            progress.refresh()
            await asyncio.sleep(REDRAW_S)


def _draw(progress: Progress, bar: TaskID, tally: Tally, elapsed_s: float) -> None:
    if not tally.requests:
        return
    total, done = tally.to_read.total_seconds(), tally.has_read.total_seconds()
    progress.update(
        bar, total=max(total, 1), completed=min(done, total), words=words(tally, elapsed_s)
    )


async def _lines(tallies: Mapping[str, Tally]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        for name, tally in tallies.items():
            if tally.requests:
                say(printable(f"{name}: {words(tally, time.monotonic() - began)}"))


def words(tally: Tally, elapsed_s: float) -> str:
    """Say how far a run is: windows, records, rate, time left."""
    rate = tally.received / elapsed_s if elapsed_s else 0.0
    parts = [
        f"{tally.windows} windows",
        f"{tally.received} records",
        f"{rate:.0f}/s",
    ]
    share = tally.has_read / tally.to_read if tally.to_read else 0.0
    if 0.02 < share < 1:  # noqa: PLR2004 - a guess from less would be noise
        parts.append(f"{lasting(elapsed_s * (1 - share) / share)} left")
    if tally.retries:
        parts.append(f"{tally.retries} retries")
    return ", ".join(parts)
