"""A PostgreSQL server that is restarted, turned read-only, short of connections or of disk.

Each in the middle of a run, which goes on where the server does, and ends with exit 7 where not.
The server is the tests' own.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from installation import Installation
from watched import Watched, library

from bibsync.events import STORE_INTERRUPTED
from bibsync.store import binaries, locks, schema
from bibsync.store.embedded import EmbeddedPostgres
from tests.conftest import at
from tests.faults.scene import Scene, heard, staged

MOST_CONNECTIONS = 12
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": str(MOST_CONNECTIONS),
    "superuser_reserved_connections": "0",
}
READ_ONLY = "alter system set default_transaction_read_only = {}"
RELOAD = "select pg_reload_conf()"
DISK_MIB = 48


@pytest.fixture(scope="module")
async def own() -> AsyncIterator[EmbeddedPostgres]:
    """Return a server that the tests may break; `start` brings it back."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    server = EmbeddedPostgres(folder, **SETTINGS)
    yield server
    await server.stop()
    if (folder / "cluster").is_symlink():
        shutil.rmtree((folder / "cluster").resolve())
    shutil.rmtree(folder)


@pytest.fixture
async def database(own: EmbeddedPostgres) -> AsyncIterator[str]:
    """Return the URL of a migrated, empty database at that server."""
    url, name = await own.start(), f"bibsync_test_{os.urandom(6).hex()}"
    await told(url, f"create database {name}")
    conn = await asyncpg.connect(at(url, name))
    await schema.upgrade(conn)
    await conn.close()
    yield at(url, name)
    await told(await own.start(), f"drop database {name} with (force)")


async def told(url: str, *statements: str) -> None:
    """Run statements in a session of their own."""
    conn = await asyncpg.connect(url)
    try:
        for each in statements:
            await conn.execute(each)
    finally:
        await conn.close()


async def ended_by(own: EmbeddedPostgres, number: signal.Signals) -> None:
    """Send the server a signal and wait until none of its processes is left."""
    os.kill(int((own.data_dir / "postmaster.pid").read_text().split()[0]), number)
    lock = own._state / "working.lock"
    wait = partial(locks.take, lock, locks.ALONE, wait_s=30, given_up=threading.Event())
    os.close(await asyncio.to_thread(wait))


FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


@pytest.mark.parametrize("how", [FAST, IMMEDIATE])
async def test_a_server_that_is_restarted_in_the_middle_costs_the_run_nothing(
    installation: Installation, own: EmbeddedPostgres, how: signal.Signals
):
    async with staged(installation, lease_ttl_s=60) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)

        await ended_by(own, how)
        await own.start()
        ended = await running.ended()

        assert scene.conn.is_closed()
        assert 0 == ended.code, ended
        scene.conn = await asyncpg.connect(installation.database)
        await scene.is_whole()
        await scene.conn.close()


async def test_a_server_that_is_read_only_for_a_while_costs_the_run_nothing(
    installation: Installation,
):
    async with staged(installation, lease_ttl_s=60) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)

        await told(installation.database, READ_ONLY.format("on"), RELOAD)
        try:
            told_of = await heard(running, STORE_INTERRUPTED)
        finally:
            await told(installation.database, READ_ONLY.format("off"), RELOAD)
        ended = await running.ended()

        assert "ReadOnlySQLTransactionError" in told_of
        assert 0 == ended.code, ended
        await scene.is_whole()


async def test_a_server_that_is_read_only_is_told_before_anything_is_asked(
    installation: Installation,
):
    async with staged(installation) as scene:
        await told(installation.database, READ_ONLY.format("on"), RELOAD)
        try:
            ended = await scene.run()
        finally:
            await told(installation.database, READ_ONLY.format("off"), RELOAD)

        assert (7, 0) == (ended.code, scene.vendor.requests), ended
        assert "error: The database is read-only. [database_unavailable]" in ended.err
        await scene.is_whole()


@pytest.mark.parametrize("free", [1, 2])
async def test_more_runs_than_the_server_has_connections_wait_for_each_other(
    installation: Installation, free: int
):
    libraries = [library(f"branch {n}", titles=10) for n in range(6)]
    crowd = Watched(libraries)
    async with (
        staged(installation, vendor=crowd, lease_ttl_s=60) as scene,
        taken(scene, but=free),
    ):
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(20)

        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(installation.database)
        ended = await running.ended()

        assert 0 == ended.code, ended
        await scene.is_whole()


async def test_a_server_without_a_connection_is_told(installation: Installation):
    async with staged(installation) as scene:
        async with taken(scene, but=0):
            ended = await scene.run()

        assert (7, 0) == (ended.code, scene.vendor.requests), ended
        assert "it has no connection left. [database_unavailable]" in ended.err
        await scene.is_whole()


@asynccontextmanager
async def taken(scene: Scene, *, but: int) -> AsyncIterator[None]:
    """Take every connection that the server has left, but some, for the time of the block."""
    conns = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            conns.append(await asyncpg.connect(scene.wires["PostgreSQL"].server))
    for _ in range(but):
        await conns.pop().close()
    try:
        yield
    finally:
        for each in conns:
            await each.close()


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a disk that PostgreSQL may keep a tablespace on, where root may do that."""
    account = binaries.account()
    if account is None:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="bibsync-disk-"))
    options = f"size={DISK_MIB}m,mode=700,uid={account.pw_uid},gid={account.pw_gid}"
    mount = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603 - fixed words
        folder.rmdir()
        pytest.skip("nothing may be mounted here")
    folder.chmod(0o700)
    yield folder
    subprocess.run(["/bin/umount", folder], check=True)  # noqa: S603 - fixed words
    folder.rmdir()


@pytest.fixture
async def cramped(own: EmbeddedPostgres) -> AsyncIterator[tuple[str, Path]]:
    """Return the URL of a database on a small disk, and that disk."""
    with small_disk() as disk:
        url = await own.start()
        await told(url, f"create tablespace cramped location '{disk}'")
        await told(url, "create database cramped tablespace cramped")
        conn = await asyncpg.connect(at(url, "cramped"))
        await schema.upgrade(conn)
        await conn.close()
        yield at(url, "cramped"), disk
        await told(url, "drop database cramped with (force)", "drop tablespace cramped")


def fill(disk: Path) -> Path:
    """Leave no byte free; return the file to be deleted."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    assert 0 == shutil.disk_usage(disk).free
    return filler


async def test_a_full_disk_that_is_cleared_in_time_costs_the_run_nothing(
    installation: Installation, cramped: tuple[str, Path]
):
    installation.database, disk = cramped
    async with staged(installation, lease_ttl_s=60) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)

        filler = fill(disk)
        told_of = await heard(running, STORE_INTERRUPTED)
        filler.unlink()
        ended = await running.ended()

        assert "DiskFullError" in told_of
        assert 0 == ended.code, ended
        await scene.is_whole()
