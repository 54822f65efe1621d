"""Opening the database: what is wrong is said in a sentence that repeats nothing of its URL."""

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
from fault_proxy import FaultProxy

from bibsync import store
from bibsync.errors import StoreUnavailable


async def refused(url: str) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        async with store.open_pool(url):
            pass
    return caught.value


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://bibsync:canary@127.0.0.1:1/bibsync", "can't be reached"),
        ("postgresql://bibsync:canary@no-such-host.invalid/bibsync", "can't be reached"),
        ("mysql://bibsync:canary@127.0.0.1/bibsync", "not a PostgreSQL address"),
        ("postgresql://bibsync:canary@127.0.0.1:port/bibsync", "not a PostgreSQL address"),
        ("postgresql://bibsync:canary@127.0.0.1:1/bibsync?sslmode=sometimes", "not a PostgreSQL"),
    ],
)
async def test_an_address_that_leads_nowhere_is_told_without_its_password(url, word):
    error = await refused(url)

    assert word in error.message
    assert "canary" not in f"{error.message} {error.remedy} {error!r} {error.__cause__!r}"
    assert error.exit_code == 7


async def test_a_database_that_does_not_exist_is_told_with_a_remedy(server):
    error = await refused(urlunsplit(urlsplit(server)._replace(path="/nowhere")))

    assert "does not exist" in error.message
    assert "createdb" in error.remedy


async def test_a_cancellation_that_comes_together_with_the_connection_is_not_forgotten():
    """asyncpg waits by asyncio.wait_for, which before Python 3.12 drops it then."""
    asked, used, released = asyncio.Event(), [], []

    class Late:
        """A pool that has a connection to give just as whoever waits for it is cancelled."""

        async def acquire(self, **_: object) -> str:
            asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return "a connection"

        async def release(self, conn: str) -> None:
            released.append(conn)

    async def work() -> None:
        async with store.acquire(Late()) as conn:
            used.append(conn)

    working = asyncio.create_task(work())
    await asked.wait()
    working.cancel()
    await asyncio.wait([working])

    assert working.cancelled()
    assert ([], ["a connection"]) == (used, released)


async def test_a_server_that_is_too_old_is_refused(server, monkeypatch):
    monkeypatch.setattr(store, "OLDEST", 99)

    error = await refused(server)

    assert "needs 99 or newer" in error.message


async def test_a_pooler_may_switch_the_statement_cache_off(server):
    separator = "&" if "?" in server else "?"

    url = f"{server}{separator}statement_cache_size=0"
    async with store.open_pool(url) as pool, store.acquire(pool) as conn:
        assert 1 == await conn.fetchval("select 1")
        assert 0 == conn._stmt_cache.get_max_size()


async def test_a_pool_whose_connections_are_all_taken_does_not_wait_for_ever(database, monkeypatch):
    monkeypatch.setattr(store, "ACQUIRE_S", 0.05)
    async with store.open_pool(database, size=1) as pool, store.acquire(pool):
        with pytest.raises(store.DISCONNECTED):
            async with store.acquire(pool):
                pass


async def test_a_user_who_may_not_make_tables_is_told_so(pool):
    role = f"reader_{os.urandom(4).hex()}"
    async with store.acquire(pool) as conn:
        await conn.execute(f"create role {role}; set role {role}")
        with pytest.raises(store.FORBIDDEN) as caught:
            await conn.execute("create table schema_migrations_2 ()")
        await conn.execute(f"reset role; drop role {role}")

    assert "may not" in store.unavailable(caught.value).message


class Pooler:
    """What sees the first message to a server; it refuses settings as PgBouncer does."""

    def __init__(self, server: str, *, refusing: bytes | None):
        self._proxy = FaultProxy(server)
        self._refusing = refusing
        self.greetings: list[bytes] = []

    @asynccontextmanager
    async def opened(self):
        async with self._proxy, await asyncio.start_server(self._greeted, "127.0.0.1", 0) as own:
            inner = urlsplit(self._proxy.url)
            self._inner_port = inner.port
            port = own.sockets[0].getsockname()[1]
            yield self._proxy.url.replace(f":{inner.port}/", f":{port}/")

    async def _greeted(self, reader, writer):
        length = await reader.readexactly(4)
        greeting = await reader.readexactly(int.from_bytes(length) - 4)
        self.greetings.append(greeting)
        if self._refusing and self._refusing in greeting:
            fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter\0\0"
            writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
            await writer.drain()
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._inner_port)
        to_server.write(length + greeting)
        await asyncio.gather(_pumped(reader, to_server), _pumped(from_server, writer))


async def _pumped(reader, writer):
    try:
        while received := await reader.read(65536):
            writer.write(received)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def test_a_connection_over_a_network_is_probed_from_both_ends(database):
    pooler = Pooler(database, refusing=None)
    async with pooler.opened() as url, store.open_pool(url) as pool, store.acquire(pool) as conn:
        wire = conn._transport.get_extra_info("socket")
        assert 1 == wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert store.IDLE_S == wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        assert store.PROBES == wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)

    assert b"tcp_keepalives_idle\0" + b"30\0" in pooler.greetings[0]


async def test_a_pooler_that_refuses_these_settings_is_asked_without_them(database):
    pooler = Pooler(database, refusing=b"tcp_keepalives_idle")
    async with pooler.opened() as url, store.open_pool(url) as pool, store.acquire(pool) as conn:
        assert "UTC" == await conn.fetchval("show timezone")

    assert b"tcp_keepalives" not in pooler.greetings[-1]


async def test_a_pooler_that_refuses_everything_is_unavailable(database):
    pooler = Pooler(database, refusing=b"timezone")
    async with pooler.opened() as url:
        error = await refused(url)

    assert "can't be reached" in error.message


async def test_a_database_is_known_by_the_same_word_to_all_and_to_no_other(pool, database, server):
    async with store.acquire(pool) as conn:
        word = await store.identity(conn)
    async with store.open_pool(database) as again, store.acquire(again) as conn:
        assert word == await store.identity(conn)
        await conn.execute("update schema_migrations set applied_at = now()")
        assert word != await store.identity(conn)
