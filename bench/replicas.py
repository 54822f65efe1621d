"""One to four replicas: how soon the same eight libraries are filled for the first time.

Replicas share PostgreSQL and Redis, and each syncs AT_ONCE collections at a time; what another one
holds, it leaves. The vendor takes LATENCY_MS for every answer and no budget holds anybody back. All
of them, the vendor, PostgreSQL and Redis share this machine's cores: what is shown is how waiting
is divided, not what as many machines would do.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from datetime import timedelta

from bench import replica, stage, valkey, vendor
from bench.replica import Job
from bench.table import Row
from bench.vendor import Stock
from bibsync.run import Outcome

LIBRARIES = 8
AT_ONCE = 2
LATENCY_MS = 100
DAYS = 60


async def measure(url: str, *, titles: int, most: int) -> list[Row]:
    """Fill them by one process, by two, ... by `most`."""
    stock = Stock(titles=titles, days=DAYS, libraries=LIBRARIES)
    walls: list[float] = []
    async with vendor.running(stock, latency_ms=LATENCY_MS) as seller, valkey.server() as redis:
        for count in range(1, most + 1):
            stage.say(f"  {count} of {most} replicas")
            walls.append(await _filled(url, redis, seller.address, stock, count))
    return [_row(stock, count, wall, walls[0]) for count, wall in enumerate(walls, start=1)]


async def _filled(url: str, redis: str, address: str, stock: Stock, count: int) -> float:
    """Return how long `count` replicas take, from the word to begin until the last one ends."""
    async with stage.database(url) as its, AsyncExitStack() as stack:
        job = Job(
            database=its,
            base_url=address,
            count=LIBRARIES,
            start=(vendor.midnight() - timedelta(days=stock.days)).isoformat(),
            at_once=AT_ONCE,
            redis=redis,
        )
        children = [await stack.enter_async_context(replica.started(job)) for _ in range(count)]
        began = time.monotonic()
        done = await asyncio.gather(*map(replica.synced, children))
        wall = time.monotonic() - began
    for each in done:
        each.demand(Outcome.SUCCEEDED, Outcome.LOCKED)
    if (stored := sum(each.new for each in done)) != LIBRARIES * stock.titles:
        raise RuntimeError(f"{stored} titles stored by all replicas together")
    return wall


def _row(stock: Stock, count: int, wall: float, alone: float) -> Row:
    name = (
        f"first fill of {LIBRARIES} libraries of {stock.titles:,} titles, {LATENCY_MS} ms an answer"
    )
    return Row(
        f"{name}: {count} {'replicas' if count > 1 else 'replica'}, {os.cpu_count()} cores",
        f"{wall:.1f} s",
        ratio=f"{wall / alone:.2f}",
        figures={"seconds": wall, "of_one": wall / alone},
    )
