"""Opening the database: what is wrong is said in a sentence that repeats nothing of its URL."""

import os
from urllib.parse import urlsplit, urlunsplit

import pytest

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
