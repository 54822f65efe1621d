"""Our wall clock stepped in the middle of a run, forth and back, by an hour, a day and 400 days.

The vendor's, PostgreSQL's and the clocks that only count go on as they did. Nothing that is asked
for, stored or due later may be told by the wrong time for long.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import time_machine
from installation import ACCOUNT_KEY
from pydantic import SecretStr
from watched import LONG_AGO, Watched, library, served

from bibsync import store
from bibsync.collection import Collection, Sync
from bibsync.harvest import Means, harvest
from bibsync.lease import PostgresLeases
from bibsync.run import METADATA, PURCHASES, Order, Outcome, Summary, Tally
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool, collections, lanes, records
from tests import journal
from tests.checker import first_violation, ledger_of

TTL = timedelta(seconds=3)
LEFT_S = "select extract(epoch from max(expires_at) - clock_timestamp())::float from leases"
LOOKED_UP = "select count(description), count(due_at) from titles"
LATEST = "select max(read_at) from days"
TITLES = 60


def counted_on(since: datetime) -> Callable[[], datetime]:
    """Return a clock that nobody steps."""
    began = time.monotonic()
    return lambda: since + timedelta(seconds=time.monotonic() - began)


@dataclass
class Watch:
    """A library at a vendor whose clock is right, and runs in this process, whose clock is ours."""

    pool: Pool
    vendor: Watched
    means: Means
    collection: Collection
    number: int

    async def run(self, stream: str = PURCHASES) -> Summary:
        return await harvest(
            self.collection, self.number, Order(stream=stream), self.means, tally=Tally()
        )

    async def covered_until(self) -> datetime:
        """Return the end of what is covered."""
        [lane, *_] = await lanes.unfinished(self.pool, (self.number, PURCHASES))
        return lane.covered[-1].end


@pytest.fixture
async def watch(pool: Pool) -> AsyncIterator[Watch]:
    vendor = Watched([library(titles=TITLES)], now=counted_on(datetime.now(UTC)))
    async with store.acquire(pool) as conn:
        await journal.switch_on(conn)
    async with served(vendor), Hosts() as hosts:
        start = datetime(LONG_AGO.year, LONG_AGO.month, LONG_AGO.day, tzinfo=UTC)
        springfield = Collection(
            name="springfield",
            source="bibliotheca",
            library_id="springfield",
            account_id="partner",
            account_key=SecretStr(ACCOUNT_KEY),
            base_url=vendor.base_url,
            sync=replace(Sync(), requests_per_second=1e5, start_date=start, windows_at_once=1),
        )
        async with store.acquire(pool) as conn, conn.transaction():
            numbers = await collections.enrol(conn, [springfield])
        means = Means(
            pool=pool,
            leases=PostgresLeases(pool),
            source=lambda each, permit: open_source(each, hosts, permit),
            lease_ttl=TTL,
            random=Random(0),
        )
        yield Watch(pool, vendor, means, springfield, numbers["springfield"])


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS = [sign * step for step in (HOUR, DAY, 400 * DAY) for sign in (1, -1)]


async def is_whole(watch: Watch) -> None:
    """Run with a clock that is right, then expect everything to be stored and described."""
    outcomes = {(await watch.run()).outcome, (await watch.run(METADATA)).outcome}
    assert {Outcome.SUCCEEDED} == outcomes
    truth = watch.vendor.truth("springfield")
    stored = await records.fingerprints(watch.pool, watch.number)
    assert watch.vendor.must_have("springfield")[0] == stored
    assert (TITLES, 0) == tuple(await watch.pool.fetchrow(LOOKED_UP))
    entries = await journal.entries(watch.pool)
    assert first_violation(entries, {watch.number: ledger_of(truth)}) is None


RELEASED = float("-inf")
"""What is left of a lease whose run was over before it was looked at."""


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_clock_that_is_stepped_in_the_middle_loses_nothing(watch: Watch, step: timedelta):
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:
        running = asyncio.create_task(watch.run())
        await watch.vendor.asked(4)

        clock.shift(step)
        off = datetime.now(UTC) - watch.vendor.clock
        left_s = await watch.pool.fetchval(LEFT_S)
        summary = await running

    assert abs(off - step) < timedelta(minutes=1)
    assert 0 < left_s <= TTL.total_seconds() or left_s == RELEASED
    assert Outcome.SUCCEEDED == summary.outcome
    await notes_no_future(watch)
    await is_whole(watch)


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_clock_that_is_wrong_for_one_request_loses_nothing(watch: Watch, step: timedelta):
    """What was noted meanwhile must not keep the days from being read, or looked up, in time."""
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:
        running = asyncio.create_task(watch.run())
        await watch.vendor.asked(4)

        clock.shift(step)
        off = datetime.now(UTC) - watch.vendor.clock
        await watch.vendor.asked(1)
        clock.shift(-step)
        summary = await running

    assert abs(off - step) < timedelta(minutes=1)
    assert Outcome.SUCCEEDED == summary.outcome
    await notes_no_future(watch)
    await is_whole(watch)


async def notes_no_future(watch: Watch) -> None:
    now = watch.vendor.clock
    assert await watch.covered_until() <= now
    assert await watch.pool.fetchval(LATEST) <= now
