"""Fixtures of the tests of the tables: a connection, and collections to keep rows for."""

from collections.abc import AsyncIterator

import pytest
from lease_conformance import Expire
from pydantic import SecretStr

from bibsync import store
from bibsync.collection import Collection
from bibsync.lease import Key
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


@pytest.fixture
def expire(pool: Pool) -> Expire:
    """Return what lets the time of a lease in PostgreSQL run out."""

    async def run_out(key: Key) -> None:
        await pool.execute(
            "update leases set expires_at = clock_timestamp() - interval '1 ms'"
            " where (collection, stream) = ($1, $2)",
            *key,
        )

    return run_out
