"""The stage of the trials that a test run plays: few of each kind, on the servers of all tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import loaded
import pytest
from loaded import Loaded

from tests.redis_server import RedisServer
from tests.trials import scene
from tests.trials.scene import Stage


@pytest.fixture(scope="session")
def program(shared_folder: Path) -> Iterator[Loaded]:
    """Return the program, loaded; its compiled modules lie in one folder for all workers."""
    with loaded.opened(shared_folder / "bytecode") as program:
        yield program


@pytest.fixture(scope="session")
async def stage(server: str, program: Loaded) -> AsyncIterator[Stage]:
    """Return a stage without Redis."""
    async with scene.prepared(server):
        yield Stage(server, program)


@pytest.fixture
def redis(stage: Stage, redis_server: RedisServer) -> Stage:
    """Return a stage with Redis."""
    return stage._replace(redis=redis_server)
