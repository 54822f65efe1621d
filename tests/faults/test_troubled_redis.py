"""A Redis that forgets, or says that it can't: before a run, in the middle, beside a second run.

It only ever saves work. What it says in the middle costs the run nothing and is said once; what it
forgets lets no second run in, because PostgreSQL holds the lease too.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest
import redis
from installation import Ended, Installation
from loaded import Loaded
from redis_server import RedisServer

from bibsync.events import REDIS_LOST
from tests.faults.scene import PATIENT, staged
from tests.faults.wire import Fault

EACH_ANSWER = {
    "LOADING Redis is loading the dataset in memory": "still loading its data",
    "BUSY Redis is busy running a script.": "it says BUSY",
    "OOM command not allowed when used memory > 'maxmemory'.": "memory of Redis is full",
    "READONLY You can't write against a read only replica.": "a read-only replica",
    "MASTERDOWN Link with MASTER is down.": "Redis can't be used",
    "MISCONF Errors writing to disk.": "it says MISCONF",
    "CLUSTERDOWN The cluster is down": "Redis can't be used",
    "MOVED 3999 127.0.0.1:1": "Redis can't be used",
    "NOPERM this user has no permissions": "may not do what bibsync needs",
    "NOAUTH Authentication required.": "wants a password",
    "ERR max number of clients reached": "it has no connection left",
    "NOSCRIPT No matching script.": "Redis can't be used",
}


def losses(ended: Ended) -> int:
    """Return how often the log says that Redis was lost."""
    lines = [line for line in ended.err.splitlines() if line.startswith("{")]
    return [json.loads(line)["event"] for line in lines].count(REDIS_LOST)


@pytest.mark.parametrize("answer", EACH_ANSWER, ids=lambda answer: answer.split()[0])
async def test_what_redis_says_before_the_run_is_told(
    installation: Installation, redis_server: RedisServer, answer: str
):
    async with staged(installation, redis=redis_server.url) as scene:
        wire = scene.wires["Redis"]
        wire.words = f"-{answer}\r\n".encode()
        wire.strike(Fault.INSTEAD)

        ended = await scene.run()

        assert (7, 0) == (ended.code, scene.vendor.requests), ended
        assert EACH_ANSWER[answer] in ended.err
        assert "[redis_unavailable]" in ended.err
        assert wire.fired


@pytest.mark.parametrize("answer", EACH_ANSWER, ids=lambda answer: answer.split()[0])
async def test_what_redis_says_in_the_middle_costs_nothing(
    installation: Installation, redis_server: RedisServer, answer: str
):
    async with staged(installation, redis=redis_server.url) as scene:
        wire = scene.wires["Redis"]
        wire.words = f"-{answer}\r\n".encode()
        scene.vendor.then(3, lambda: wire.strike(Fault.INSTEAD))

        ended = await scene.run()

        assert (0, 1) == (ended.code, losses(ended)), ended
        assert wire.fired
        await wire.mend()
        await scene.is_whole()


# -- a real one in trouble


def fill(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")


def demote(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")


def forget_scripts(client: redis.Redis) -> None:
    client.script_flush()


@contextmanager
def restored(server: RedisServer) -> Iterator[redis.Redis]:
    """Yield a client of the test's own; afterwards the server is as it was."""
    with server.asked() as client:
        before = client.config_get("maxmemory")["maxmemory"]
        try:
            yield client
        finally:
            client.config_set("maxmemory", before)
            client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("harm", "error"),
    [(fill, "OOM"), (demote, "READONLY"), (forget_scripts, "NOSCRIPT")],
)
async def test_a_redis_that_can_not_write_in_the_middle_costs_nothing(
    installation: Installation,
    redis_server: RedisServer,
    harm: Callable[[redis.Redis], None],
    error: str,
):
    """A script that was forgotten is sent again, and no word is said of it."""
    with restored(redis_server) as client:
        async with staged(installation, redis=redis_server.url) as scene:
            client.config_resetstat()
            scene.vendor.then(3, lambda: harm(client))

            ended = await scene.run()

            assert 0 == ended.code, ended
            assert (losses(ended) > 0) == (harm is not forget_scripts)
            assert f"errorstat_{error}" in client.info("errorstats")
            client.config_set("maxmemory", "0")
            client.replicaof("NO", "ONE")
            await scene.is_whole()


async def test_a_redis_that_is_busy_in_the_middle_costs_nothing(
    installation: Installation, redis_server: RedisServer
):
    with redis_server.asked() as client, redis_server.asked() as looping:
        client.config_set("busy-reply-threshold", "1")
        async with staged(installation, redis=redis_server.url) as scene:
            running = await scene.installation.fork("run-once", "--all", "--json")
            await scene.vendor.asked(3)
            loop = asyncio.create_task(asyncio.to_thread(spin, looping))

            ended = await running.ended()
            client.script_kill()
            await loop

            assert (0, 1) == (ended.code, losses(ended)), ended
            await scene.is_whole()


def spin(client: redis.Redis) -> None:
    """Run a script that doesn't end by itself."""
    with suppress(redis.ResponseError):
        client.eval("while true do end", 0)


# -- beside a second run


def flush(server: RedisServer) -> None:
    server.flush()


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.fixture
async def another(installation: Installation, program: Loaded) -> AsyncIterator[Installation]:
    """Return a second replica, at the same database."""
    folder = Path(mkdtemp(prefix="bibsync-another-"))
    yield Installation(folder, folder / "state", installation.database, program)
    rmtree(folder)


@pytest.mark.parametrize("harm", [flush, restart])
async def test_a_redis_that_forgets_its_leases_lets_no_second_run_in(
    installation: Installation,
    another: Installation,
    redis_server: RedisServer,
    harm: Callable[[RedisServer], None],
):
    async with staged(installation, redis=redis_server.url, sync=PATIENT) as scene:
        wire = scene.wires["vendor"]
        theirs = scene.vendor.collections(api_version="1.3", base_url=wire.url)
        another.configure(theirs, sync=PATIENT, more=f'[redis]\nurl = "{redis_server.url}"')
        scene.vendor.next_answers("springfield", ["ok", "ok", "timeout"])
        first = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)
        kept = redis_server.keys()

        harm(redis_server)
        second = await another.run("run-once", "--all", "--stream", "purchases", "--json")
        wire.strike(Fault.REFUSE)  # ends the request that is under way
        await wire.mend()
        ended = await first.ended()

        assert [each for each in kept if each.startswith("bibsync:lease:")]
        assert (11, "locked") == (second.code, second.document["problem"]["code"]), second
        assert 0 == ended.code, ended
        assert [] == scene.vendor.flights.encounters
        await scene.is_whole()
