"""Fixtures of the tests of the interface: a daemon's stand-in, and the way to ask it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spoken import MAIN, Api, StandIn, configured, opened, reached

from bibsync import store
from bibsync.store import Connection, Pool, collections


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with store.acquire(pool) as conn:
        yield conn


@pytest.fixture
def starting(tmp_path: Path) -> StandIn:
    """Return a daemon that has reached nothing yet."""
    return StandIn(configured(tmp_path))


@pytest.fixture
async def daemon(starting: StandIn, pool: Pool) -> StandIn:
    """Return a daemon that works."""
    await reached(starting, pool)
    return starting


@pytest.fixture
async def api(daemon: StandIn) -> AsyncIterator[Api]:
    async with opened(daemon) as api:
        yield api


@pytest.fixture
async def main(daemon: StandIn, conn: Connection) -> int:
    """Return the number of a collection."""
    return (await collections.named(conn, MAIN)).number
