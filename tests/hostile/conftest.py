"""Fixtures of the hostile tests: a server, and a library that is harvested from it for real."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hostile import Hostile, record

from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool
from tests.acceptance.conftest import folder, installation, program
from tests.harvest.world import MIDNIGHT, Vendor, World

__all__ = ["folder", "installation", "program"]


@pytest.fixture
async def vendor() -> AsyncIterator[Hostile]:
    """Return a server whose library has three records."""
    async with Hostile([record(name) for name in ("a", "b", "c")]) as vendor:
        yield vendor


@pytest.fixture
async def world(pool: Pool, vendor: Hostile) -> AsyncIterator[World]:
    """Return a world with one window to read, of the server's library; failures aren't retried."""
    world = World(pool, Vendor([]))
    world.collection = replace(world.collection, base_url=vendor.url)
    world.configure(
        start_date=MIDNIGHT,
        retries=0,
        requests_per_second=10_000.0,
        timeout=timedelta(seconds=30),
    )
    async with Hosts(now=lambda: world.now) as hosts:
        world.source = lambda each, permit: open_source(each, hosts, permit)
        yield world
