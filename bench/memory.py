"""Peak memory of a process that reads a small and a large collection: it must be the same.

    python -m bench.memory URL COUNT        the child: one run, its peak in bytes to stdout

Each run is a process of its own, since a process's peak never goes down. The records are made
when they are asked for, so what is measured is bibsync.
"""

import asyncio
import re
import resource
import sys
from pathlib import Path

import uvloop

from bench import stage
from bench.shelf import LongShelf
from bench.table import Row

SMALL = 2_000
KIB = 1024 if sys.platform != "darwin" else 1
"""What getrusage counts in."""


async def measure(url: str, *, large: int) -> list[Row]:
    """Compare the peaks of two children."""
    small_mib, large_mib = await _peak_mib(url, SMALL), await _peak_mib(url, large)
    growth = large_mib / small_mib - 1
    return [
        Row(
            f"peak memory, {SMALL:,} and {large:,} records",
            f"{small_mib:.0f} and {large_mib:.0f} MiB",
            ratio=f"{1 + growth:.2f}",
            target="≤ 1.10, < 150 MiB",
            figures={"small_mib": small_mib, "large_mib": large_mib, "growth": growth},
        )
    ]


async def _peak_mib(url: str, count: int) -> float:
    stage.say(f"  {count:,} records")
    async with stage.database(url) as its:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.memory", its, str(count)),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await child.communicate()
    return int(told) / 2**20


async def _read(url: str, count: int) -> None:
    shelf = LongShelf(count)
    async with stage.connected(url) as installed:
        with stage.logging_to_nowhere():
            summary = await installed.harvest(shelf, now=shelf.now)
    if summary.tally.new != count:
        raise RuntimeError(f"{summary.tally.new} records stored, not {count}")


def _peak() -> int:
    """Return this process's peak in bytes.

    Linux hands the parent's peak down in what getrusage tells, so its own figure is preferred.
    """
    status = Path("/proc/self/status")
    own = (
        re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if status.exists()
        else None
    )
    if own:
        return int(own[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


if __name__ == "__main__":
    uvloop.run(_read(sys.argv[1], int(sys.argv[2])))
    sys.stdout.write(f"{_peak()}\n")
