"""Fixtures of the tests of the tables: a connection, and collections to keep rows for."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from bibsync import store
from bibsync.collection import Collection
from bibsync.run import PURCHASES
from bibsync.store import Connection, Pool, collections


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with store.acquire(pool) as conn:
        yield conn


@pytest.fixture
async def key(pool: Pool) -> tuple[int, str]:
    """Return the key of the purchases of an enrolled collection."""
    springfield = Collection(
        name="Springfield",
        source="bibliotheca",
        library_id="springfield",
        account_id="partner",
        account_key=SecretStr("key"),
        base_url="https://vendor.example/",
    )
    async with store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, [springfield])
    return numbers["Springfield"], PURCHASES
