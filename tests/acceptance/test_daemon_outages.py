"""PostgreSQL and Redis away: at the start they are waited for, later the work goes on."""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis_server
from attended import SETTINGS, attending, configure, fire, looking
from installation import Installation
from loaded import Loaded
from redis_server import RedisServer
from watched import Watched, library, served

from bibsync.store.embedded import EmbeddedPostgres

SLOW = {"max_window": "1d", "windows_at_once": 1}


@pytest.fixture
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """Return a server of this test's own, which runs."""
    folder = tempfile.mkdtemp(prefix="bibsync-test-")
    server = EmbeddedPostgres(Path(folder), fsync="off", full_page_writes="off")
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def elsewhere(
    postgres: EmbeddedPostgres, folder: Path, program: Loaded
) -> tuple[Installation, EmbeddedPostgres]:
    """Return an installation at a server that a test may stop and start, and that server."""
    url = await postgres.start()
    return Installation(folder, folder / "state", url, program), postgres


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    kind = redis_server.kinds()[0].values[0]
    if not kind:
        pytest.skip("no Redis here")
    with redis_server.opened(kind) as server:
        yield server


def with_redis(redis: RedisServer) -> str:
    return f'[redis]\nurl = "{redis.url}"\n{SETTINGS}'.partition("[web]")[0]


async def test_a_database_that_is_away_at_the_start_is_waited_for(
    elsewhere: tuple[Installation, EmbeddedPostgres], vendor: Watched
):
    installation, postgres = elsewhere
    configure(installation, vendor.collections())
    await postgres.stop()
    async with attending(installation) as daemon:
        waiting = await daemon.told("daemon.waiting")
        assert "database_unavailable" == waiting["problem"]["code"]
        daemon.send(signal.SIGHUP)
        await daemon.told("config.reloaded")

        await postgres.start()
        await daemon.told("daemon.ready")
        await daemon.told("request.ended", outcome="succeeded")

        assert 0 == await daemon.stop()
    assert vendor.must_have("springfield")[0] == await installation.stored()
    assert 1 == sum(each["event"] == "daemon.waiting" for each in daemon.events)


async def test_a_daemon_that_waits_for_its_database_stops_at_once(
    elsewhere: tuple[Installation, EmbeddedPostgres], vendor: Watched
):
    installation, postgres = elsewhere
    configure(installation, vendor.collections())
    await postgres.stop()
    async with attending(installation) as daemon:
        await daemon.told("daemon.waiting")

        assert 0 == await daemon.stop(within_s=20)


async def test_a_database_that_is_restarted_under_the_work_costs_nothing(
    elsewhere: tuple[Installation, EmbeddedPostgres],
):
    installation, postgres = elsewhere
    libraries = [library("springfield"), library("ogdenville")]
    async with served(Watched(libraries, latency_s=0.02)) as vendor:
        configure(installation, vendor.collections(**SLOW))
        async with attending(installation) as daemon:
            await vendor.asked(20)

            await postgres.stop()
            await daemon.told("store.lost")
            await postgres.start()
            await daemon.told("store.recovered")

            await daemon.told("request.ended", times=2, outcome="succeeded")
            assert 0 == await daemon.stop()
        for name in vendor.libraries:
            assert vendor.must_have(name)[0] == await installation.stored(name)


async def test_a_redis_that_is_away_at_the_start_is_waited_for(
    installation: Installation, vendor: Watched, redis: RedisServer
):
    configure(installation, vendor.collections(), more=with_redis(redis))
    redis.kill()
    async with attending(installation) as daemon:
        waiting = await daemon.told("daemon.waiting")
        assert "redis_unavailable" == waiting["problem"]["code"]

        redis.start()
        await daemon.told("request.ended", outcome="succeeded")

        assert 0 == await daemon.stop()
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_a_redis_that_is_lost_costs_no_work(
    installation: Installation, database: str, redis: RedisServer
):
    async with (
        served(Watched([library()], latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        configure(installation, vendor.collections(**SLOW), more=with_redis(redis))
        async with attending(installation) as daemon:
            await vendor.asked(10)

            redis.kill()
            await daemon.told("redis.lost")
            await daemon.told("request.ended", outcome="succeeded")
            redis.start()
            await fire(conn)
            await daemon.told("request.ended", times=2, outcome="succeeded")
            await daemon.told("redis.recovered")

            assert 0 == await daemon.stop()
    assert vendor.must_have("springfield")[0] == await installation.stored()
    assert not any(each["event"] == "request.put_back" for each in daemon.events)
