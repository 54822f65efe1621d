"""Losing Redis costs only waiting: killed, started again empty, flushed, stopped, slow, refused.

In every case the holder goes on, nobody else gets the lease while it lives, and whoever waits gets
it when it is released.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from random import Random
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog
from redis_server import RedisServer
from slow_wire import SlowWire

from bibsync import lease, store
from bibsync.errors import LeaseHeld, LeaseLost, StoreUnavailable
from bibsync.lease import Key, Leases, PostgresLeases
from bibsync.replicas import address, client
from bibsync.replicas.client import Away, Contact
from bibsync.replicas.leases import BothLeases, RedisLeases
from bibsync.store import Pool

TTL = timedelta(seconds=2.4)
LIMIT_S = 0.2
LONG = timedelta(seconds=60)


def kill(server: RedisServer) -> None:
    server.kill()


def start_empty(server: RedisServer) -> None:
    server.kill()
    server.start()


def flush(server: RedisServer) -> None:
    server.flush()


def stop(server: RedisServer) -> None:
    server.stop()


HARMS = [kill, start_empty, flush, stop]
Harm = Callable[[RedisServer], None]


@pytest.fixture
async def contact(redis_server: RedisServer) -> AsyncIterator[Contact]:
    """Return a contact to a server that may be stopped and goes on at the end."""
    async with client.connected(address.read(redis_server.url), limit_s=LIMIT_S) as contact:
        yield contact
        if redis_server.ours and redis_server._process:
            redis_server.go_on()


@pytest.fixture
async def another(redis_server: RedisServer, pool: Pool) -> AsyncIterator[Leases]:
    """Return the leases as another replica sees them, which has not met any harm yet."""
    async with client.connected(address.read(redis_server.url), limit_s=LIMIT_S) as contact:
        yield BothLeases(RedisLeases(contact, scope="test"), PostgresLeases(pool))


def hold(where: Leases, key: Key, *, ttl: timedelta = TTL, wait: timedelta = timedelta(0)):
    return lease.hold(where, key, ttl=ttl, wait=wait, random=Random(0))


async def refused(where: Leases, key: Key) -> bool:
    try:
        async with hold(where, key):
            return False
    except LeaseHeld:
        return True


@pytest.mark.parametrize("harm", HARMS)
async def test_the_holder_goes_on_and_nobody_else_gets_the_lease(
    harm: Harm, in_both: Leases, another: Leases, key: Key, redis_server: RedisServer
):
    async with hold(in_both, key, ttl=LONG) as tenure:
        harm(redis_server)

        assert await in_both.renew(key, tenure.holder, ttl=LONG)
        assert await refused(another, key)
        assert await refused(in_both, key)
        assert await in_both.renew(key, tenure.holder, ttl=LONG)


@pytest.mark.parametrize("harm", HARMS)
async def test_whoever_waits_gets_the_lease_when_it_is_released(
    harm: Harm, in_both: Leases, another: Leases, key: Key, redis_server: RedisServer
):
    async def wait() -> None:
        async with hold(another, key, ttl=LONG, wait=timedelta(seconds=30)):
            held.append("by the one who waited")

    held: list[str] = []
    async with asyncio.TaskGroup() as group, hold(in_both, key, ttl=LONG):
        group.create_task(wait())
        harm(redis_server)
        assert await refused(in_both, key)
        assert held == []

    assert held == ["by the one who waited"]


@pytest.mark.parametrize("harm", [kill, stop])
async def test_a_lease_outlives_its_time_to_live_without_redis(
    harm: Harm, in_both: Leases, key: Key, redis_server: RedisServer, pool: Pool
):
    """The keeper's own renewals, through more than a whole time to live."""
    ttl = LIMIT_S * timedelta(seconds=9)
    async with hold(in_both, key, ttl=ttl) as tenure:
        harm(redis_server)
        loop = asyncio.get_running_loop()
        until = loop.time() + ttl.total_seconds()
        while loop.time() < until:
            await asyncio.sleep(0.05)
            await tenure.in_force()

        assert await PostgresLeases(pool).take(key, lease.this_process(), ttl=LONG)


async def test_a_flushed_key_is_taken_again_by_the_next_renewal(
    in_both: Leases, in_redis: Leases, key: Key, redis_server: RedisServer
):
    holder = lease.this_process()
    await in_both.take(key, holder, ttl=LONG)
    redis_server.flush()

    assert await in_both.renew(key, holder, ttl=LONG)

    assert holder == (await in_redis.take(key, lease.this_process(), ttl=LONG)).holder


async def test_a_redis_that_is_back_gets_its_key_again(
    redis_server: RedisServer, pool: Pool, key: Key
):
    clock = Hand()
    async with _contact(redis_server.url, clock) as contact:
        in_redis = RedisLeases(contact, scope="test")
        both = BothLeases(in_redis, PostgresLeases(pool))
        holder = lease.this_process()
        redis_server.kill()
        assert await both.take(key, holder, ttl=LONG) is None
        redis_server.start()
        clock.now += client.RETRY_S

        assert await both.renew(key, holder, ttl=LONG)

        assert holder == (await in_redis.take(key, lease.this_process(), ttl=LONG)).holder


async def test_postgresql_may_be_away_while_redis_says_that_the_lease_is_ours(
    in_redis: Leases, pool: Pool, database: str, key: Key
):
    async with _wire_to(database) as wire, store.open_pool(_through(wire, database)) as narrow:
        both = BothLeases(in_redis, PostgresLeases(narrow))
        async with hold(both, key, ttl=TTL) as tenure:
            with wire.silent():
                loop = asyncio.get_running_loop()
                until = loop.time() + TTL.total_seconds()
                while loop.time() < until:
                    await asyncio.sleep(0.05)
                    await tenure.in_force()
                assert await in_redis.take(key, lease.this_process(), ttl=TTL)


async def test_a_postgresql_that_swallows_everything_ends_the_work_before_the_lease_has_run_out(
    pool: Pool, database: str, key: Key
):
    """asyncpg waits for the server while it cleans up after a cancelled statement."""
    ttl = timedelta(seconds=1.8)
    loop = asyncio.get_running_loop()

    async def work(where: Leases, wire: SlowWire) -> None:
        async with hold(where, key, ttl=ttl):
            with wire.silent():
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(loop.time())

    ended: list[float] = []
    async with _wire_to(database) as wire, store.open_pool(_through(wire, database)) as narrow:
        began = loop.time()
        with pytest.raises(StoreUnavailable):
            await work(PostgresLeases(narrow), wire)
    assert ended[0] - began < ttl.total_seconds()


async def test_both_away_is_an_unreachable_store(
    in_both: Leases, redis_server: RedisServer, pool: Pool, key: Key
):
    holder = lease.this_process()
    await in_both.take(key, holder, ttl=LONG)
    redis_server.kill()
    await pool.close()

    with pytest.raises(store.DISCONNECTED) as raised:
        await in_both.renew(key, holder, ttl=LONG)
    assert not isinstance(raised.value, Away)
    with pytest.raises(StoreUnavailable):
        async with hold(in_both, key):
            pass


async def test_a_lease_is_released_in_redis_although_postgresql_is_away(
    in_redis: Leases, pool: Pool, database: str, key: Key
):
    holder = lease.this_process()
    async with store.open_pool(database) as other:
        both = BothLeases(in_redis, PostgresLeases(other))
        await both.take(key, holder, ttl=LONG)
        await other.close()

        with pytest.raises(store.DISCONNECTED):
            await both.release(key, holder)

    assert await in_redis.take(key, lease.this_process(), ttl=LONG) is None


async def test_a_lease_is_released_in_postgresql_although_redis_is_away(
    in_both: Leases, redis_server: RedisServer, pool: Pool, key: Key
):
    holder = lease.this_process()
    await in_both.take(key, holder, ttl=LONG)
    redis_server.kill()

    await in_both.release(key, holder)

    assert await PostgresLeases(pool).take(key, lease.this_process(), ttl=LONG) is None


async def test_a_release_asks_redis_although_it_was_away_a_moment_ago(
    in_both: Leases, in_redis: Leases, redis_server: RedisServer, key: Key
):
    holder = lease.this_process()
    await in_both.take(key, holder, ttl=LONG)
    redis_server.stop()
    assert await in_both.renew(key, holder, ttl=LONG)
    redis_server.go_on()

    await in_both.release(key, holder)

    assert "bibsync:lease" not in str(redis_server.keys())


async def test_a_lease_that_was_taken_over_in_both_is_lost(
    in_both: Leases, key: Key, redis_server: RedisServer, pool: Pool
):
    """Flushed Redis and an expired row: another run has the right now."""
    other = lease.this_process()

    async def work() -> None:
        async with hold(in_both, key, ttl=timedelta(seconds=0.6)):
            await pool.execute("update leases set expires_at = '-infinity'")
            redis_server.flush()
            await in_both.take(key, other, ttl=LONG)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()
    assert await in_both.renew(key, other, ttl=LONG)


# -- being told, and being asked


class Hand:
    """A clock that goes on when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def _contact(url: str, clock: Callable[[], float]) -> AsyncIterator[Contact]:
    async with client.connected(address.read(url)) as contact:
        yield Contact(contact._client, clock=clock, limit_s=LIMIT_S)


async def test_a_cancellation_that_comes_together_with_the_answer_is_not_forgotten():
    """redis waits by asyncio.wait_for, which before Python 3.12 drops it then."""
    asked = asyncio.Event()

    class Late:
        """A client that has its answer just as whoever waits for it is cancelled."""

        async def pttl(self, _: str) -> int:
            asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return 1

    working = asyncio.create_task(Contact(Late()).lasting_s("key"))
    await asked.wait()
    working.cancel()
    await asyncio.wait([working])

    assert working.cancelled()


async def test_a_loss_is_said_once_and_a_return_once(redis_server: RedisServer):
    clock = Hand()
    with structlog.testing.capture_logs() as said:
        async with _contact(redis_server.url, clock) as contact:
            redis_server.kill()
            for _ in range(3):
                clock.now += client.RETRY_S
                with pytest.raises(Away):
                    await contact.lasting_s("any")
            assert contact.lost
            redis_server.start()
            clock.now += client.RETRY_S
            await contact.lasting_s("any")
            await contact.lasting_s("any")
            assert not contact.lost

    assert ["redis.lost", "redis.recovered"] == [each["event"] for each in said]
    assert "ConnectionError" == said[0]["because"], "it was asked once and not until the time-out"


async def test_a_connection_to_redis_is_probed_by_the_kernel(contact: Contact):
    [connection] = contact._client.connection_pool._available_connections
    wire = connection._writer.get_extra_info("socket")

    assert 1 == wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert 30 == wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)


async def test_a_redis_that_swallows_everything_costs_one_time_out_and_not_one_per_call(
    redis_server: RedisServer,
):
    clock = Hand()
    async with (
        SlowWire("127.0.0.1", redis_server.port) as wire,
        _contact(f"redis://127.0.0.1:{wire.port}", clock) as contact,
    ):
        with wire.silent():
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(50):
                with pytest.raises(Away):
                    await contact.run(client.Script("return 1"), [], [])
            assert LIMIT_S <= loop.time() - began < 2 * LIMIT_S

            asked, clock.now = wire.connections, clock.now + client.RETRY_S
            outcomes = await asyncio.gather(
                *(contact.run(client.Script("return 1"), [], []) for _ in range(9)),
                return_exceptions=True,
            )
            assert {Away} == {type(each) for each in outcomes}
            assert wire.connections <= asked + 1, "one alone finds out whether it is back"


async def test_a_slow_redis_is_one_that_is_away(redis_server: RedisServer, pool: Pool, key: Key):
    async with (
        SlowWire("127.0.0.1", redis_server.port) as wire,
        _contact(f"redis://127.0.0.1:{wire.port}", Hand()) as contact,
    ):
        both = BothLeases(RedisLeases(contact, scope="test"), PostgresLeases(pool))
        wire.delay_s = 0.4
        assert await both.take(key, lease.this_process(), ttl=TTL) is None
        assert await refused(both, key)

        assert contact.lost


def _wire_to(database: str) -> SlowWire:
    query = dict(parse_qsl(urlsplit(database).query))
    host = query.get("host") or urlsplit(database).hostname or "localhost"
    port = query.get("port") or urlsplit(database).port or 5432
    return SlowWire(f"{host}/.s.PGSQL.{port}") if host.startswith("/") else SlowWire(host, port)


def _through(wire: SlowWire, database: str) -> str:
    parts = urlsplit(database)
    user = dict(parse_qsl(parts.query)).get("user") or parts.username
    return f"postgresql://{user}@127.0.0.1:{wire.port}{parts.path}?sslmode=disable"
