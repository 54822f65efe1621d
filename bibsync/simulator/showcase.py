"""The demo's vendor: three libraries, one of them behind a line that is full of faults.

It runs in a process of its own, `python -m bibsync.simulator.showcase`, which prints its address as
one line of JSON and ends when its standard input does: so it never outlives whoever started it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import aiohttp
import uvloop

from bibsync.errors import BibsyncError
from bibsync.simulator.app import serve
from bibsync.simulator.faults import Faults
from bibsync.simulator.library import Library
from bibsync.simulator.vendor import Vendor

ACCOUNT: Final = "partner"
KEY: Final = "secret"
SEED: Final = 11
START_WITHIN_S: Final = 20.0
FAULTS: Final = "all,timeout=0"
"""Everything that goes wrong at once, but for what takes a minute to go wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A library of the demo: how it is called, and what it bought since when."""

    name: str
    library_id: str
    titles: int
    since: date
    faulty: bool = False

    def library(self, until: date) -> Library:
        """Return the simulated account."""
        return Library.virtual(
            self.library_id,
            ACCOUNT,
            KEY,
            titles=self.titles,
            since=self.since,
            until=until,
            seed=SEED,
            bad=0.01,
            retitled=0.05,
            faults=Faults.parse(FAULTS) if self.faulty else None,
        )


def libraries(today: date) -> tuple[Shown, ...]:
    """Return the demo's libraries as of `today`."""
    return (
        Shown("Springfield", "springfield", 1000, today - timedelta(days=365)),
        Shown(
            "Shelbyville (faults)", "shelbyville", 1500, today - timedelta(days=365), faulty=True
        ),
        Shown("Ogdenville (since 2014)", "ogdenville", 2000, date(2014, 1, 1)),
    )


@asynccontextmanager
async def started() -> AsyncIterator[str]:
    """Run the vendor in a child with a session of its own, out of Ctrl-C's reach; give its URL.

    Raises:
        BibsyncError: it didn't start.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bibsync.simulator.showcase",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None  # noqa: S101 - it was asked for
    assert child.stdout is not None  # noqa: S101 - it was asked for
    try:
        try:
            line = await asyncio.wait_for(child.stdout.readline(), START_WITHIN_S)
            address: str = json.loads(line)["base_url"]
        except (TimeoutError, ValueError):
            raise BibsyncError("The vendor simulator did not start.") from None
        yield address
    finally:
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), START_WITHIN_S)
        except TimeoutError:
            child.kill()


async def truth(base_url: str, library_id: str) -> dict[str, Any]:
    """Ask the vendor for its ledger of the truth."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base_url}simulator/truth/{library_id}") as answer,
    ):
        ledger: dict[str, Any] = await answer.json()
        return ledger


async def _main() -> None:
    today = datetime.now(UTC).date()
    vendor = Vendor([each.library(today) for each in libraries(today)], seed=SEED)
    async with serve(vendor) as base_url:
        print(json.dumps({"base_url": base_url}), flush=True)  # noqa: T201 - the address, for the parent
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_main())
