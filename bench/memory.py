"""Peak memory of a process that reads collections of several sizes: it must be the same.

    python -m bench.memory '{"database": ..., "count": ...}'      a process, see `Reading`

Each run is a process of its own, since a process's peak never goes down. The records are made
when they are asked for, so what is measured is bibsync.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import linear_regression

import orjson
import uvloop

from bench import machine, stage, talk
from bench.shelf import LongShelf
from bench.table import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A collection of `count` records that is read once into this database."""

    database: str
    count: int


async def measure(url: str, *, sizes: Sequence[int]) -> list[Row]:
    """Compare the peaks of a process for each size."""
    peaks = {count: await _peak_mib(url, count) for count in sizes}
    least, most = min(sizes), max(sizes)
    growth = peaks[most] / peaks[least] - 1
    slope_kib = kib_for_a_thousand(peaks)
    return [
        Row(
            f"peak memory, {' / '.join(f'{count:,}' for count in sizes)} records",
            f"{' / '.join(f'{peaks[count]:.0f}' for count in sizes)} MiB",
            ratio=f"{1 + growth:.2f}",
            target="≤ 1.10, < 150 MiB",
            figures={f"mib_of_{count}": peaks[count] for count in sizes} | {"growth": growth},
        ),
        Row(
            "memory for 1,000 records more, fitted",
            f"{slope_kib:.2f} KiB",
            figures={"kib": slope_kib},
        ),
    ]


def kib_for_a_thousand(peaks: Mapping[int, float]) -> float:
    """Fit a line through the peaks, in MiB by number of records; return its slope."""
    return linear_regression(list(peaks), list(peaks.values())).slope * 1024 * 1000


async def _peak_mib(url: str, count: int) -> float:
    stage.say(f"  {count:,} records")
    async with stage.database(url) as its:
        reading = Reading(database=its, count=count)
        async with talk.started("bench.memory", asdict(reading)) as child:
            return int(await child.heard()) / 2**20


async def _read(reading: Reading) -> None:
    shelf = LongShelf(reading.count)
    async with stage.connected(reading.database) as installed:
        with stage.logging_to_nowhere():
            summary = await installed.harvest(shelf, now=shelf.now)
    if summary.tally.new != reading.count:
        raise RuntimeError(f"{summary.tally.new} records stored, not {reading.count}")
    talk.say(machine.peak_bytes())


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_read(Reading(**orjson.loads(sys.argv[1]))))
