"""A real PostgreSQL for every test that asks for one, and an empty database each; and a real Redis.

BIBSYNC_TEST_DATABASE_URL names a server to use instead of the embedded one; its user must be
allowed to create databases. BIBSYNC_TEST_REDIS_URL names a Redis beside those that are started
here; its database is emptied.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import redis_server as redis_servers
from redis_server import RedisServer

from bibsync import store
from bibsync.store import Pool, schema
from bibsync.store.embedded import EmbeddedPostgres

TEMPLATE = f"bibsync_test_template_{os.environ.get('PYTEST_XDIST_WORKER', 'only')}"
"""Each of the processes that share the tests makes its own."""
COPIES = 15
"""From this major version on PostgreSQL has to be told to copy files, which is quicker."""
MOST_WORKERS = 8
FEW_FILES = 3


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say how many processes share the tests: three for two cores, and none for a few files.

    Many tests wait for other processes, so that a core has time for more than one. A Redis
    that is somebody else's can't be shared. `--numprocesses` says it otherwise.
    """
    files = [each for each in config.args if each.partition("::")[0].endswith(".py")]
    few = len(files) == len(config.args) <= FEW_FILES
    if few or "BIBSYNC_TEST_REDIS_URL" in os.environ:
        return 0
    ours = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return min(len(ours) * 3 // 2, MOST_WORKERS) if len(ours) > 1 else 0


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of real MARC records, which is no part of this project."""
    named = os.environ.get("BIBSYNC_MARC_SAMPLES")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "marc-samples"
    if not folder.is_dir():
        pytest.skip("no MARC samples here: name their folder in BIBSYNC_MARC_SAMPLES")
    return folder


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[str]:
    """Return the URL of a PostgreSQL with a migrated template database."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    embedded = EmbeddedPostgres(
        folder, fsync="off", full_page_writes="off", synchronous_commit="off", max_connections="100"
    )
    try:
        url = os.environ.get("BIBSYNC_TEST_DATABASE_URL") or await embedded.start()
        await _make_template(url)
        yield url
    finally:
        await embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database(server: str) -> AsyncIterator[str]:
    """Return the URL of a migrated, empty database of this test's own."""
    name = f"bibsync_test_{os.urandom(6).hex()}"
    admin = await asyncpg.connect(server)
    try:
        quickly = " strategy file_copy" if admin.get_server_version().major >= COPIES else ""
        await admin.execute(f"create database {name} template {TEMPLATE}{quickly}")
        try:
            yield at(server, name)
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Return a pool of connections to an empty database."""
    async with store.open_pool(database, size=8) as pool:
        yield pool


@pytest.fixture(scope="session", params=redis_servers.kinds())
def redis_of_session(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Return a Redis, once for each that there is."""
    with redis_servers.opened(request.param) as server:
        yield server


@pytest.fixture
def redis_server(redis_of_session: RedisServer) -> RedisServer:
    """Return a Redis that runs and is empty."""
    redis_of_session.start()
    redis_of_session.flush()
    return redis_of_session


def at(server: str, database: str) -> str:
    """Return the server's URL with another database."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


async def _make_template(server: str) -> None:
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"drop database if exists {TEMPLATE}")
        await admin.execute(f"create database {TEMPLATE}")
        conn = await asyncpg.connect(at(server, TEMPLATE))
        try:
            await schema.upgrade(conn)
        finally:
            await conn.close()
    finally:
        await admin.close()
