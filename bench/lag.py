"""Loop lag: for how long nothing else gets its turn while pages are read, one after the other.

A ticker asks for its turn every millisecond; between two turns the process's CPU time is taken,
which a busy neighbour doesn't lengthen. The source never waits, so the figure is the worst case:
a real vendor's pauses are the loop's.
"""

import asyncio
import time
from contextlib import suppress
from statistics import quantiles

from bench import stage
from bench.contents import AGAIN
from bench.shelf import Shelf
from bench.stage import Installation
from bench.table import Row
from bibsync.run import Order

TICK_S = 0.001


async def measure(url: str, *, records: int) -> list[Row]:
    """Measure while new records are stored, and while unchanged ones are met again."""
    async with stage.installed(url) as installed:
        new = await _lags(installed, Shelf(records), Order())
        again = await _lags(installed, Shelf(records, asking=1), AGAIN)
    return [_row("new", new), _row("unchanged", again)]


async def _lags(installed: Installation, shelf: Shelf, order: Order) -> list[float]:
    lags: list[float] = []
    ticker = asyncio.create_task(_tick(lags), name="ticker")
    with stage.logging_to_nowhere():
        await installed.harvest(shelf, now=shelf.now, order=order)
    ticker.cancel()
    with suppress(asyncio.CancelledError):
        await ticker
    return lags


async def _tick(lags: list[float]) -> None:
    while True:
        before = time.thread_time()
        await asyncio.sleep(TICK_S)
        lags.append(time.thread_time() - before)


def _row(what: str, lags: list[float]) -> Row:
    p99_ms, most_ms = quantiles(lags, n=100)[98] * 1e3, max(lags) * 1e3
    return Row(
        f"loop lag p99 / most, {what} records",
        f"{p99_ms:.1f} / {most_ms:.1f} ms",
        target="p99 ≤ 20 ms",
        figures={"p99_ms": p99_ms, "most_ms": most_ms, "ticks": len(lags)},
    )
