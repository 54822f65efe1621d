"""Wall time: 1,000 new titles of 40 days from a vendor that takes 200 ms for every answer.

The vendor is `bibsync simulate`, a process of its own; the budget of requests is lifted, all other
settings are those that a new installation has.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from bench import shelf, stage
from bench.table import Row
from bibsync.sources import open_source
from bibsync.sources.http import Hosts

TITLES = 1000
DAYS = 40
LATENCY_MS = 200


async def measure(url: str) -> list[Row]:
    """Time one run."""
    async with _vendor() as address, stage.installed(url) as installed, Hosts() as hosts:
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        installed.configure(base_url=address, start_date=midnight - timedelta(days=DAYS))
        source = open_source(installed.collection, hosts)
        with stage.logging_to_nowhere():
            began = time.monotonic()
            summary = await installed.harvest(source, now=now)
            seconds = time.monotonic() - began
    if summary.tally.new != TITLES:
        raise RuntimeError(f"{summary.tally.new} titles stored, not {TITLES}")
    return [
        Row(
            f"{TITLES:,} new titles of {DAYS} days, {LATENCY_MS} ms an answer",
            f"{seconds:.1f} s",
            target="< 15 s",
            figures={"seconds": seconds, "requests": summary.tally.requests},
        )
    ]


@asynccontextmanager
async def _vendor() -> AsyncIterator[str]:
    words = ["simulate", "--port=0", f"--titles={TITLES}", f"--since={DAYS}d"]
    words += [f"--latency={LATENCY_MS}", f"--library={shelf.LIBRARY}"]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bibsync", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None  # noqa: S101 - it was asked for
    try:
        async with asyncio.timeout(30):
            told = json.loads(await child.stdout.readline())
        yield told["base_url"]
    finally:
        child.terminate()
        await child.wait()
