"""Three daemons on one database: a slot fires once, a collection is one's, any of them may go."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import asyncpg
import pytest
from attended import WITHIN_S, Attended, attending, configure, fire, looking
from installation import Installation, until
from loaded import Loaded
from watched import Watched, library, served

REPLICAS = ("1.1", "1.2", "1.3")
"""Versions of the interface, by which the vendor tells the replicas apart."""
NAMES = tuple(f"branch {number}" for number in range(4))
SLOW = {"max_window": "2d", "windows_at_once": 1}
TAKEN_S = 30
"""A lease lasts two seconds and each looks every second; the rest is for a busy machine."""
AT_WORK = "select replica from requests where state = 'running' order by request limit 1"
TO_DO = "select count(*) from requests where state in ('waiting', 'running')"
TAKEN_OVER = """
exists (select from requests where state = 'done' or replica <> '{0}' and state = 'running')
    and not exists (select from requests where replica = '{0}' and state = 'running')
"""


@pytest.fixture
async def installations(database: str, program: Loaded) -> AsyncIterator[list[Installation]]:
    """Return three installations at one database."""
    folders = [Path(mkdtemp(prefix=f"bibsync-{name}-")) for name in REPLICAS]
    yield [Installation(each, each / "state", database, program) for each in folders]
    for each in folders:
        rmtree(each)


@pytest.fixture
async def vendor() -> AsyncIterator[Watched]:
    libraries = [library(name, titles=90) for name in NAMES]
    async with served(Watched(libraries, latency_s=0.02)) as vendor:
        yield vendor


def configure_each(installations: list[Installation], vendor: Watched, **settings: object) -> None:
    more = '[daemon]\nlease_ttl = "2s"\nconcurrency = 2\n'
    for name, each in zip(REPLICAS, installations, strict=True):
        configure(each, vendor.collections(api_version=name, **settings), more=more)


@asynccontextmanager
async def all_of(installations: list[Installation]) -> AsyncIterator[dict[str, Attended]]:
    """Run a daemon of each; return them by the names that they give themselves."""
    async with AsyncExitStack() as stack:
        each = [await stack.enter_async_context(attending(one)) for one in installations]
        for daemon in each:
            await daemon.told("daemon.ready")
        yield {daemon.replica: daemon for daemon in each}


async def all_is_done(conn: asyncpg.Connection) -> None:
    """Wait until nothing is left to do."""
    async with asyncio.timeout(WITHIN_S):
        while await conn.fetchval(TO_DO):
            await conn.execute("select pg_sleep(0.05)")


async def expect_the_truth(installation: Installation, vendor: Watched) -> None:
    for name in vendor.libraries:
        assert vendor.must_have(name)[0] == await installation.stored(name)
    assert [] == vendor.flights.encounters


async def test_a_slot_fires_once_and_the_work_is_shared(
    installations: list[Installation], vendor: Watched, database: str
):
    configure_each(installations, vendor)
    async with all_of(installations) as daemons, looking(database) as conn:
        await all_is_done(conn)
        vendor.flights.clients.clear()

        await fire(conn)
        await until(conn, "exists (select from firings where finished is not null)")

        assert 1 == await conn.fetchval("select count(*) from firings")
        assert [1] * len(NAMES) == [
            row["count"]
            for row in await conn.fetch(
                "select count(*) from runs where stream = 'purchases' and trigger = 'schedule' "
                "group by collection"
            )
        ]
        fired = [each for one in daemons.values() for each in one.events]
        assert 1 == sum(each["event"] == "schedule.fired" for each in fired)
        assert 1 == sum(each["event"] == "schedule.ended" for each in fired)
        assert "succeeded" == await conn.fetchval("select outcome from firings")
        for each in daemons.values():
            assert 0 == await each.stop()
    await expect_the_truth(installations[0], vendor)


async def test_each_is_killed_in_the_middle_of_a_run_and_another_goes_on(
    installations: list[Installation], vendor: Watched, database: str
):
    configure_each(installations, vendor, **SLOW)
    async with all_of(installations) as daemons, looking(database) as conn:
        for left in (2, 1):
            await vendor.asked(8)
            killed = await conn.fetchval(AT_WORK)
            daemons.pop(killed).send(signal.SIGKILL)
            began = await conn.fetchval("select clock_timestamp()")

            await until(conn, TAKEN_OVER.format(killed))

            taken = await conn.fetchval("select clock_timestamp()") - began
            assert taken.total_seconds() < TAKEN_S
            assert left == len(daemons)
        await vendor.asked(8)
        [last] = daemons.values()
        last.send(signal.SIGKILL)
        await last.ended()
        async with attending(installations[0]) as another:
            await another.told("request.taken_over")
            await all_is_done(conn)
            assert 0 == await another.stop()

        crashed = await conn.fetchval("select count(*) from requests where claims > 1")
        again = await conn.fetchval("select count(*) from requests where outcome <> 'succeeded'")
    assert crashed >= 3
    assert 0 == again
    await expect_the_truth(installations[0], vendor)


async def test_one_that_stood_still_beyond_its_lease_writes_and_asks_nothing_more(
    installations: list[Installation], vendor: Watched, database: str
):
    configure_each(installations, vendor, **SLOW)
    async with all_of(installations) as daemons, looking(database) as conn:
        await vendor.asked(8)
        stopped = daemons[await conn.fetchval(AT_WORK)]

        stopped.send(signal.SIGSTOP)
        await until(conn, TAKEN_OVER.format(stopped.replica))
        stopped.forget("run.ended")
        stopped.send(signal.SIGCONT)

        ended = await stopped.told("run.ended")
        assert ended["outcome"] in {"deposed", "interrupted"}
        await all_is_done(conn)
        for each in daemons.values():
            assert 0 == await each.stop()
    await expect_the_truth(installations[0], vendor)


async def test_what_one_on_this_machine_left_is_gone_on_with_at_once(
    installations: list[Installation], vendor: Watched, database: str
):
    """Its requests and its leases are held for an hour, and nobody waits for them."""
    more = '[daemon]\nlease_ttl = "1h"\n'
    for each in installations[:2]:
        configure(each, vendor.collections(**SLOW), more=more)
    async with looking(database) as conn, attending(installations[0]) as first:
        await vendor.asked(8)
        first.send(signal.SIGKILL)
        await first.ended()
        left = await conn.fetchval("select count(*) from requests where state = 'running'")

        async with attending(installations[1]) as other:
            await other.told("request.taken_over", times=left)
            await all_is_done(conn)
            assert 0 == await other.stop()

    assert left > 0
    await expect_the_truth(installations[0], vendor)
