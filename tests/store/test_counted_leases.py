"""Leases that are counted are leases like others, and their number is right in the end."""

from dataclasses import replace
from random import Random

import pytest
from lease_conformance import TTL, Expire, LeaseConformance

from bibsync import lease
from bibsync.errors import LeaseHeld
from bibsync.lease import Counted, Key, Leases, PostgresLeases
from bibsync.store import Pool

Told = list[int]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def where(pool: Pool, told: Told) -> Leases:
    return Counted(PostgresLeases(pool), told.append)


class TestCountedLeases(LeaseConformance):
    """They pass the suite."""


async def test_a_lease_counts_as_long_as_it_is_held(where: Leases, key: Key, told: Told):
    async with lease.hold(where, key, ttl=TTL, random=Random(0)):
        during = list(told)

    assert ([1], [1, 0]) == (during, told)


async def test_a_lease_that_another_holds_does_not_count(
    where: Leases, key: Key, told: Told, pool: Pool
):
    async with lease.hold(PostgresLeases(pool), key, ttl=TTL, random=Random(0)):
        with pytest.raises(LeaseHeld):
            async with lease.hold(where, key, ttl=TTL, random=Random(0)):
                pass

    assert told == []


async def test_a_lease_that_is_taken_twice_counts_once(where: Leases, key: Key, told: Told):
    holder = lease.this_process()

    await where.take(key, holder, ttl=TTL)
    await where.take(key, holder, ttl=TTL)

    assert told == [1]


async def test_a_lease_that_was_lost_counts_no_more(
    where: Leases, key: Key, told: Told, expire: Expire, pool: Pool
):
    holder = lease.this_process()
    await where.take(key, holder, ttl=TTL)
    await expire(key)
    await PostgresLeases(pool).take(key, replace(holder, token="another"), ttl=TTL)

    await where.renew(key, holder, ttl=TTL)

    assert told == [1, 0]


class Silent:
    """Leases that can be taken and nothing else: the database goes away."""

    async def take(self, *_: object, **__: object) -> None:
        return None

    async def renew(self, *_: object, **__: object) -> bool:
        raise ConnectionError

    async def release(self, *_: object) -> None:
        raise ConnectionError


async def test_a_lease_that_could_not_be_freed_counts_no_more(told: Told):
    where = Counted(Silent(), told.append)

    async with lease.hold(where, (1, "purchases"), ttl=TTL, random=Random(0)):
        pass

    assert told == [1, 0]
