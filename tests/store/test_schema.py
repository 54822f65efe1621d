"""The schema: made once, grown in order, refused where it doesn't fit."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from bibsync.errors import SchemaUnfit
from bibsync.store import Connection, schema

CATALOGUE = """
select 'column', format('%I.%I', c.relname, a.attname),
       format('%s %s not null %s default %s compression %s identity %s',
              format_type(a.atttypid, a.atttypmod), coll.collname, a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid), a.attcompression, a.attidentity)
from pg_attribute a
join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v', 'm')
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
left join pg_collation coll on coll.oid = a.attcollation
where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
union all
select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
union all
select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all
select 'option', relname, reloptions::text from pg_class
where relnamespace = 'public'::regnamespace and reloptions is not null
order by 1, 2, 3
"""
TABLES = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
NAMES = tuple(each.name for each in schema.migrations())


@asynccontextmanager
async def empty_database(server: str) -> AsyncIterator[str]:
    """Yield the URL of a database in which bibsync was never set up."""
    name = f"bibsync_test_{os.urandom(6).hex()}"
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"create database {name}")
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
async def empty(server: str) -> AsyncIterator[str]:
    async with empty_database(server) as url:
        yield url


@pytest.fixture
async def bare(empty: str) -> AsyncIterator[Connection]:
    """Return a connection to an empty database."""
    conn = await asyncpg.connect(empty)
    yield conn
    await conn.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the migrations, to be changed."""
    return Path(shutil.copytree(schema.FOLDER, tmp_path / "migrations"))


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as events:
        yield events


def grow(folder: Path, sql: str) -> str:
    """Add a migration behind the last and return its name."""
    name = f"{len(NAMES) + 1:04d}_grown.sql"
    (folder / name).write_text(sql)
    return name


async def test_an_empty_database_gets_every_migration(
    bare: Connection, logged: list[dict[str, object]]
):
    assert not await schema.require(bare)

    assert await schema.upgrade(bare) == NAMES

    assert schema.State(NAMES, ()) == await schema.state(bare)
    assert await schema.require(bare)
    assert [(e["event"], e["migrations"]) for e in logged] == [("schema.migrated", NAMES)]


async def test_a_second_upgrade_does_nothing(bare: Connection, logged: list[dict[str, object]]):
    await schema.upgrade(bare)
    logged.clear()

    assert await schema.upgrade(bare) == ()

    assert not logged


async def test_two_upgrades_at_once_apply_each_migration_once(empty: str):
    conns = [await asyncpg.connect(empty) for _ in range(4)]

    applied = await asyncio.gather(*(schema.upgrade(conn) for conn in conns))

    assert sorted(applied) == [(), (), (), NAMES]
    assert len(NAMES) == await conns[0].fetchval("select count(*) from schema_migrations")
    for conn in conns:
        await conn.close()


@pytest.mark.parametrize("earlier", range(1, len(NAMES) + 1))
async def test_migrating_from_an_earlier_version_equals_installing(
    server: str, folder: Path, earlier: int
):
    for late in NAMES[earlier:]:
        (folder / late).unlink()
    dumps = []
    async with empty_database(server) as one, empty_database(server) as other:
        for url, steps in ((one, [folder, schema.FOLDER]), (other, [schema.FOLDER])):
            conn = await asyncpg.connect(url)
            for step in steps:
                await schema.upgrade(conn, step)
            dumps.append(await conn.fetch(CATALOGUE))
            await conn.close()

    migrated, installed = dumps
    assert installed == migrated
    assert {"column", "index", "constraint", "option"} == {row[0] for row in installed}


async def test_an_outdated_schema_is_told_by_the_names_it_lacks(bare: Connection, folder: Path):
    await schema.upgrade(bare)

    name = grow(folder, "create table grown (n integer)")

    assert schema.State(NAMES, (name,)) == await schema.state(bare, folder)
    assert (name,) == await schema.upgrade(bare, folder)


async def test_a_program_that_lacks_a_migration_is_refused(bare: Connection, folder: Path):
    """The database was made by a newer bibsync: an older one must not touch it."""
    name = grow(folder, "create table grown (n integer)")
    await schema.upgrade(bare, folder)

    for refused in (schema.upgrade, schema.require, schema.state):
        with pytest.raises(SchemaUnfit, match=name):
            await refused(bare)


async def test_a_changed_file_is_refused(bare: Connection, folder: Path):
    await schema.upgrade(bare)
    first = folder / NAMES[0]
    first.write_text(first.read_text() + "\n-- changed\n")

    with pytest.raises(SchemaUnfit, match=NAMES[0]):
        await schema.upgrade(bare, folder)


async def test_an_older_schema_is_not_worked_with(bare: Connection):
    await schema.upgrade(bare)
    await bare.execute("delete from schema_migrations where name = $1", NAMES[-1])

    with pytest.raises(SchemaUnfit, match=NAMES[-1]):
        await schema.require(bare)


async def test_a_failed_migration_leaves_nothing(bare: Connection, folder: Path):
    grow(folder, "create table grown (n integer); select 1 / 0;")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await schema.upgrade(bare, folder)

    assert await bare.fetchval(TABLES) == 0
    assert (await schema.state(bare)).empty


async def test_a_failed_later_migration_leaves_the_earlier_schema(bare: Connection, folder: Path):
    await schema.upgrade(bare)
    before = await bare.fetch(CATALOGUE)
    grow(folder, "create table grown (n integer); select 1 / 0;")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await schema.upgrade(bare, folder)

    assert before == await bare.fetch(CATALOGUE)
    assert (await schema.state(bare)).applied == NAMES


async def test_a_server_without_lz4_gets_the_same_tables(server: str, folder: Path):
    """Its build says that the method is not supported, or doesn't know the word."""
    for file in map(folder.joinpath, NAMES):
        file.write_text(file.read_text().replace("compression lz4", "compression lz5"))
    dumps = []
    async with empty_database(server) as one, empty_database(server) as other:
        for url, migrations in ((one, folder), (other, schema.FOLDER)):
            conn = await asyncpg.connect(url)
            await schema.upgrade(conn, migrations)
            dumps.append([tuple(row) for row in await conn.fetch(CATALOGUE)])
            await conn.close()

    without, with_it = dumps
    plain = [
        (kind, name, text.replace("compression l", "compression ")) for kind, name, text in with_it
    ]
    assert plain == without


async def test_a_text_column_of_a_key_sorts_by_its_bytes(bare: Connection):
    """A collation of the system's library may change its order with an upgrade of the system."""
    await schema.upgrade(bare)

    rows = await bare.fetch(
        "select table_name from information_schema.columns"
        " where column_name = 'control_number' and collation_name is distinct from 'C'"
    )

    assert not rows
