"""Leases in Redis, and in both: the conformance suite, and what Redis keeps of a lease."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from lease_conformance import TTL, Expire, LeaseConformance
from redis_server import RedisServer

from bibsync import lease
from bibsync.lease import Key, Leases, PostgresLeases
from bibsync.replicas.client import Contact
from bibsync.replicas.leases import TAKE, RedisLeases
from bibsync.store import Pool


@pytest.fixture
def expire(pool: Pool, contact: Contact) -> Expire:
    async def run_out(key: Key) -> None:
        await contact._client.pexpire(name(key), 0)
        await pool.execute(
            "update leases set expires_at = clock_timestamp() - interval '1 ms'"
            " where (collection, stream) = ($1, $2)",
            *key,
        )

    return run_out


def name(key: Key) -> str:
    return f"bibsync:lease:test:{key[0]}:{key[1]}"


class TestRedisLeases(LeaseConformance):
    """Redis alone passes the suite."""

    @pytest.fixture
    def where(self, in_redis: Leases) -> Leases:
        return in_redis


class TestBothLeases(LeaseConformance):
    """Redis that PostgreSQL confirms passes the suite."""

    @pytest.fixture
    def where(self, in_both: Leases) -> Leases:
        return in_both


async def test_the_key_says_who_holds_the_lease_and_since_when(
    in_redis: Leases, key: Key, redis_server: RedisServer
):
    holder = lease.this_process()
    await in_redis.take(key, holder, ttl=TTL)

    with redis_server.asked() as client:
        since, token, told = client.get(name(key)).split(" ", 2)

    assert holder.token == token
    assert holder.replica == json.loads(told)["replica"]
    age = datetime.now(UTC) - datetime.fromtimestamp(int(since) / 1e6, UTC)
    assert timedelta(0) <= age < TTL


async def test_taking_again_with_the_same_token_keeps_since_when(
    in_redis: Leases, key: Key, redis_server: RedisServer
):
    holder = lease.this_process()
    await in_redis.take(key, holder, ttl=TTL)
    with redis_server.asked() as client:
        before = client.get(name(key))
        await in_redis.take(key, holder, ttl=TTL)

        assert before == client.get(name(key))


@pytest.mark.parametrize("foreign", ["", "words", "17 token {", '17 token {"who": 1}', b"\xff 1 2"])
async def test_a_key_that_cannot_be_read_holds_nobody_up(
    foreign: str, in_redis: Leases, key: Key, redis_server: RedisServer
):
    """Where somebody does hold the lease, PostgreSQL says so."""
    with redis_server.asked() as client:
        client.set(name(key), foreign, ex=60)

    assert await in_redis.take(key, lease.this_process(), ttl=TTL) is None


async def test_a_dead_holder_that_was_replaced_meanwhile_is_not_replaced_again(
    contact: Contact, in_redis: Leases, key: Key
):
    """Between the look at the dead holder and its replacement another one came."""
    dead, other, late = (lease.this_process() for _ in range(3))
    await in_redis.take(key, dead, ttl=TTL)
    seen = await contact.run(TAKE, [name(key)], [late.token, "{}", 60_000, ""])
    await in_redis.release(key, dead)
    await in_redis.take(key, other, ttl=TTL)

    found = await contact.run(TAKE, [name(key)], [late.token, "{}", 60_000, seen])

    assert dead.token.encode() in seen
    assert other.token.encode() in found
    assert await in_redis.renew(key, other, ttl=TTL)


async def test_databases_that_share_a_redis_have_leases_of_their_own(contact: Contact, key: Key):
    one, other = (RedisLeases(contact, scope=scope) for scope in ("one", "other"))
    await one.take(key, lease.this_process(), ttl=TTL)

    assert await other.take(key, lease.this_process(), ttl=TTL) is None


async def test_whoever_merely_waits_does_not_ask_postgresql(in_both: Leases, key: Key, pool: Pool):
    await in_both.take(key, lease.this_process(), ttl=TTL)
    await pool.execute("alter table leases rename to out_of_reach")

    assert await in_both.take(key, lease.this_process(), ttl=TTL)


async def test_what_postgresql_says_is_held_is_given_back_in_redis(
    in_both: Leases, in_redis: Leases, key: Key, pool: Pool
):
    holder = lease.this_process()
    await PostgresLeases(pool).take(key, holder, ttl=TTL)

    assert holder == (await in_both.take(key, lease.this_process(), ttl=TTL)).holder
    assert await in_redis.take(key, lease.this_process(), ttl=TTL) is None


async def test_a_lease_lost_in_postgresql_is_lost(
    in_both: Leases, in_redis: Leases, key: Key, pool: Pool
):
    holder = lease.this_process()
    await in_both.take(key, holder, ttl=TTL)
    await pool.execute("update leases set expires_at = '-infinity'")

    assert not await in_both.renew(key, holder, ttl=TTL)


async def test_a_take_cancelled_at_any_moment_leaves_no_key_behind(
    in_both: Leases, key: Key, redis_server: RedisServer
):
    """In the middle of a script too: the server may have run it or not."""
    loop = asyncio.get_running_loop()

    async def hold_once() -> None:
        async with lease.hold(in_both, key, ttl=TTL, random=Random(0)):
            pass

    for n in range(40):
        task = asyncio.create_task(hold_once())
        loop.call_later(n / 10_000, task.cancel)
        await asyncio.wait([task])

        assert redis_server.keys().keys() <= {"bibsync:trial"}
