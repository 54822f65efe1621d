"""A whole installation at wires that can be broken, and the proof that nothing came of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import asyncpg
from installation import Ended, Installation, Running
from watched import LONG_AGO, Watched, library, served

from tests import journal
from tests.checker import first_violation, ledger_of
from tests.faults.wire import Wire

STORED = """
select s.control_number, encode(s.fingerprint, 'hex')
from record_states s join collections c on c.collection = s.collection where c.name = $1
"""
NUMBERS = "select name, collection from collections"
SYNC = 'requests_per_second = 100000\nretries = 1\ntimeout = "1s"\nwindows_at_once = 1'
PATIENT = SYNC.replace("1s", "60s")
LEASE_TTL_S = 3
TITLES = 60


@dataclass
class Scene:
    """An installation, its vendor, the wires between, and a connection to its database.

    That connection is the test's own and goes past the wires.
    """

    installation: Installation
    vendor: Watched
    conn: asyncpg.Connection
    lease_ttl_s: float
    wires: dict[str, Wire] = field(default_factory=dict)

    async def run(self, *more: str) -> Ended:
        return await self.installation.run("run-once", "--all", "--json", *more)

    async def is_whole(self) -> None:
        """Run once more, then expect the store to equal the truth, by way of right commits."""
        ended = await self.run()
        assert ended.code == 0, ended
        truth: dict[str, Any] = {name: self.vendor.truth(name) for name in self.vendor.libraries}
        for name in truth:
            assert self.vendor.must_have(name)[0] == dict(await self.conn.fetch(STORED, name))
        numbers = dict(await self.conn.fetch(NUMBERS))
        ledger = {numbers[name]: ledger_of(told) for name, told in truth.items()}
        assert first_violation(await journal.entries(self.conn), ledger) is None


async def heard(running: Running, event: str) -> str:
    """Read the log of a run until it tells of this event, and return that line."""
    async with asyncio.timeout(60):
        while line := (await running.process._err.readline()).decode():
            if f'"{event}"' in line:
                return line
    raise AssertionError(f"the run ended without {event}")


@asynccontextmanager
async def staged(
    installation: Installation,
    *,
    vendor: Watched | None = None,
    redis: str | None = None,
    sync: str = SYNC,
    lease_ttl_s: float = LEASE_TTL_S,
    since: date = LONG_AGO,
) -> AsyncIterator[Scene]:
    """Set a scene in which every server is reached through a wire, for the time of the block."""
    vendor = vendor or Watched([library(titles=TITLES, since=since)])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(vendor))
        servers = {"vendor": vendor.base_url, "PostgreSQL": installation.database}
        servers |= {"Redis": redis} if redis else {}
        wires = {
            name: await stack.enter_async_context(Wire(url)) for name, url in servers.items() if url
        }
        conn = await asyncpg.connect(installation.database)
        stack.push_async_callback(conn.close)
        await journal.switch_on(conn)
        installation.database = wires["PostgreSQL"].url
        more = f'[daemon]\nlease_ttl = "{lease_ttl_s}s"'
        more += f'\n[redis]\nurl = "{wires["Redis"].url}"' if redis else ""
        collections = vendor.collections(base_url=wires["vendor"].url, start_date=since)
        installation.configure(collections, sync=sync, more=more)
        yield Scene(installation, vendor, conn, lease_ttl_s, wires)
