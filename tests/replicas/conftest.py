"""What the tests of the replicas share: a contact with Redis, leases, a look at its keys."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from redis_server import RedisServer

from bibsync import store
from bibsync.collection import Collection
from bibsync.lease import Key, Leases, PostgresLeases
from bibsync.replicas import address, client
from bibsync.replicas.client import Contact
from bibsync.replicas.leases import BothLeases, RedisLeases
from bibsync.run import PURCHASES
from bibsync.store import Pool, collections

pytest.register_assert_rewrite("lease_conformance")


@pytest.fixture(autouse=True)
def no_key_stays_for_ever(redis_server: RedisServer) -> Iterator[None]:
    """Whatever a test did, Redis forgets it by itself."""
    yield
    redis_server.start()
    assert [key for key, left_ms in redis_server.keys().items() if left_ms < 0] == []


@pytest.fixture
async def contact(redis_server: RedisServer) -> AsyncIterator[Contact]:
    async with client.connected(address.read(redis_server.url)) as contact:
        yield contact


@pytest.fixture
def in_redis(contact: Contact) -> Leases:
    return RedisLeases(contact, scope="test")


@pytest.fixture
def in_both(in_redis: Leases, pool: Pool) -> Leases:
    return BothLeases(in_redis, PostgresLeases(pool))


@pytest.fixture
async def key(pool: Pool) -> Key:
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
