"""Many processes that set up one database at the same time, and one that is newer than they are."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import asyncpg
import pytest
from installation import Installation, until
from loaded import Loaded
from watched import Watched, library, served

from bibsync.events import SCHEMA_MIGRATED
from bibsync.store import schema
from tests.faults.scene import STORED, staged

EMPTY = "drop schema public cascade; create schema public"
REPLICAS = 10
TITLES = 20
HOLD = """
create schema test;
create function test.hold() returns event_trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock_shared(4711); end
$$;
create event trigger hold on ddl_command_end when tag in ('CREATE INDEX')
    execute function test.hold()
"""
"""Every migration waits at its first index as long as the test holds that lock."""
WAITING = "(select count(*) = {} from pg_locks where locktype = 'advisory' and not granted"
WAITING += " and database = (select oid from pg_database where datname = current_database()))"
NAMES = [each.name for each in schema.migrations()]
APPLIED = "select name from schema_migrations order by version"


@pytest.fixture
async def conn(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to a database in which nothing was set up yet."""
    conn = await asyncpg.connect(database)
    await conn.execute(EMPTY)
    yield conn
    await conn.close()


@pytest.fixture
async def replicas(database: str, program: Loaded) -> AsyncIterator[list[Installation]]:
    """Return replicas at that database; each has a folder of its own."""
    folders = [Path(mkdtemp(prefix="bibsync-replica-")) for _ in range(REPLICAS)]
    yield [Installation(each, each / "state", database, program) for each in folders]
    for each in folders:
        rmtree(each)


async def test_ten_replicas_that_start_at_once_on_an_empty_database_do_everything_once(
    conn: asyncpg.Connection, replicas: list[Installation]
):
    libraries = [library(f"branch {n}", titles=TITLES) for n in range(3)]
    async with served(Watched(libraries)) as vendor:
        for number, each in enumerate(replicas):
            each.configure(vendor.collections(api_version=f"1.{number}"))

        ended = await asyncio.gather(
            *(each.run("run-once", "--all", "--json") for each in replicas)
        )
        truth = {name: vendor.must_have(name)[0] for name in vendor.libraries}

    assert {0, 11} >= {each.code for each in ended}, ended
    assert 0 in {each.code for each in ended}
    assert 1 == sum(each.err.count(f'"{SCHEMA_MIGRATED}"') for each in ended)
    new: Counter[str] = Counter()
    for each in ended:
        for summary in each.documents:
            new[f"{summary['collection']}, {summary['stream']}"] += summary["new"]
    assert set(new.values()) == {TITLES}
    assert [] == vendor.flights.encounters
    assert truth == {name: dict(await conn.fetch(STORED, name)) for name in truth}


async def test_of_two_migrations_at_once_one_does_it_and_the_other_finds_it_done(
    conn: asyncpg.Connection, replicas: list[Installation]
):
    await conn.execute(HOLD)
    one, other = replicas[:2]
    one.configure()
    other.configure()
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock(4711)")
        both = [await each.fork("db", "upgrade", "--json") for each in (one, other)]
        await until(conn, WAITING.format(2))  # one holds the migrations' lock, at its first index

    ended = [await each.ended() for each in both]

    assert [0, 0] == [each.code for each in ended], ended
    assert [[], NAMES] == sorted(each.document["applied"] for each in ended)
    assert NAMES == [row["name"] for row in await conn.fetch(APPLIED)]


async def test_a_migration_that_is_killed_in_between_leaves_all_of_it_to_the_next(
    conn: asyncpg.Connection, replicas: list[Installation]
):
    await conn.execute(HOLD)
    one, other = replicas[:2]
    one.configure()
    other.configure()
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock(4711)")
        first = await one.fork("db", "upgrade")
        await until(conn, WAITING.format(1))
        second = await other.fork("db", "upgrade", "--json")
        await until(conn, WAITING.format(2))
        first.kill()
        killed = await first.ended()

    ended = await second.ended()

    assert 128 + 9 == killed.code
    assert (0, NAMES) == (ended.code, ended.document["applied"]), ended
    assert NAMES == [row["name"] for row in await conn.fetch(APPLIED)]


@pytest.mark.parametrize(
    "words", [("run-once", "--all"), ("status",), ("db", "upgrade"), ("db", "status")]
)
async def test_a_database_that_is_newer_than_the_program_is_left_alone(
    installation: Installation, words: tuple[str, ...]
):
    async with staged(installation) as scene:
        await scene.conn.execute(
            "insert into schema_migrations (version, name, sha256)"
            " values (9999, '9999_to_come.sql', 'made up')"
        )

        ended = await installation.run(*words)

        assert (7, 0) == (ended.code, scene.vendor.requests), ended
        assert "9999_to_come.sql" in ended.err
        assert "[schema_unfit]" in ended.err
        assert 0 == await scene.conn.fetchval("select count(*) from collections")
