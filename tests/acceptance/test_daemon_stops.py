"""SIGTERM: no new work, what is in flight ends whole or not at all, and another daemon goes on."""

import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from attended import Attended, attending, configure, looking
from installation import QUICK, Installation
from watched import Watched, library, served

from bibsync.simulator import Faults

DRAIN_S = 20
SETTINGS = f'[daemon]\nlease_ttl = "2s"\ndrain = "{DRAIN_S}s"\n'
RETRYING = QUICK.replace("retries = 0", "retries = 20")
ELSEWHERE = """
insert into leases (
    collection, stream, holder, replica, machine, process, process_began, since, expires_at
)
select collection, 'purchases', 'somebody', 'elsewhere:1', 'elsewhere', 1, 0, clock_timestamp(),
       clock_timestamp() + interval '1 hour'
from collections
on conflict (collection, stream) do update
set holder = excluded.holder, machine = excluded.machine, expires_at = excluded.expires_at
"""
Reach = Callable[[Attended, Watched, asyncpg.Connection], Awaitable[object]]


async def in_page(daemon: Attended, vendor: Watched, _: asyncpg.Connection) -> None:
    vendor.latency_s = 0.05
    await daemon.told("page.stored")
    await vendor.asked(3)


async def in_backoff(daemon: Attended, vendor: Watched, _: asyncpg.Connection) -> None:
    await vendor.asked(3)
    vendor.faults = Faults(http_502=1.0)
    await daemon.told("request.retried", times=3)


async def in_wait_for_a_lease(daemon: Attended, _: Watched, __: asyncpg.Connection) -> None:
    told = await daemon.told("request.put_back")
    assert "locked" == told["problem"]["code"]


@pytest.mark.parametrize("reach", [in_page, in_backoff, in_wait_for_a_lease])
async def test_a_stop_is_quick_leaves_nothing_half_done_and_another_goes_on(
    installation: Installation, database: str, reach: Reach
):
    async with (
        served(Watched([library()])) as vendor,
        looking(database) as conn,
    ):
        configured = vendor.collections(max_window="1d", windows_at_once=1)
        configure(installation, configured, more=SETTINGS, sync=RETRYING)
        if reach is in_wait_for_a_lease:
            assert 0 == (await installation.run("run-once", "--all", "--until", "80d")).code
            await conn.execute("update runs set outcome = 'partial'")
            await conn.execute(ELSEWHERE)
        async with attending(installation) as daemon:
            await reach(daemon, vendor, conn)

            began = time.monotonic()
            assert 0 == await daemon.stop()

            assert time.monotonic() - began < DRAIN_S
        assert ["waiting"] == [
            row["state"]
            for row in await conn.fetch("select state from requests where job = 'purchases'")
        ]
        await conn.execute("delete from leases where holder = 'somebody'")
        assert 0 == await conn.fetchval(
            "select count(*) from leases where expires_at >= clock_timestamp()"
        )
        await conn.execute("update requests set due_at = clock_timestamp()")
        vendor.faults = Faults.none()
        vendor.latency_s = 0.0
        async with attending(installation) as another:
            await another.told("request.ended", outcome="succeeded")
            assert 0 == await another.stop()

    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_a_stop_that_takes_longer_than_drain_ends_all_the_same(
    installation: Installation, database: str
):
    """The database keeps it from noting how its work ended."""
    async with (
        served(Watched([library()], latency_s=0.05)) as vendor,
        looking(database) as conn,
    ):
        short = SETTINGS.replace(f"{DRAIN_S}s", "1s")
        configure(installation, vendor.collections(max_window="1d"), more=short)
        async with attending(installation) as daemon:
            await vendor.asked(5)
            async with conn.transaction():
                await conn.execute("lock table requests, runs, leases in access exclusive mode")

                began = time.monotonic()
                assert 0 == await daemon.stop()

                assert 0.9 < time.monotonic() - began < 15
        assert "drain is over" in daemon.events[-1]["because"]
        async with attending(installation) as another:
            await another.told("request.ended", outcome="succeeded")

    assert vendor.must_have("springfield")[0] == await installation.stored()
