"""The right to run: kept in PostgreSQL by the conformance suite, held by `lease.hold`."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from lease_conformance import TTL, Expire, LeaseConformance, neighbour

from bibsync import lease
from bibsync.errors import LeaseHeld, LeaseLost, StoreUnavailable
from bibsync.lease import Key, Leases, PostgresLeases, Tenure
from bibsync.store import Pool, leases
from bibsync.store.leases import Held, Holder

SHORT = timedelta(seconds=0.6)
SOON_S = 10.0


@pytest.fixture
def where(pool: Pool) -> Leases:
    return PostgresLeases(pool)


class TestPostgresLeases(LeaseConformance):
    """The table `leases` passes the suite."""

    async def test_a_lease_is_shown_while_it_is_held(self, where: Leases, key: Key, pool: Pool):
        holder = lease.this_process()
        await where.take(key, holder, ttl=TTL)

        shown = await leases.held_now(pool)

        assert holder == shown[key].holder
        await where.release(key, holder)
        assert not await leases.held_now(pool)

    async def test_a_lease_that_lasts_longer_than_any_can_is_taken(
        self, where: Leases, key: Key, pool: Pool
    ):
        """The server's clock was set back behind its holder's death."""
        await where.take(key, replace(lease.this_process(), machine="elsewhere"), ttl=TTL)
        await pool.execute("update leases set expires_at = now() + interval '2 hours'")

        assert await where.take(key, lease.this_process(), ttl=TTL) is None


@dataclass
class Weak:
    """Leases whose answers can be made to fail: `renewing` is called before each renewal."""

    where: Leases
    renewing: Callable[[], None] = lambda: None
    taking: Callable[[], None] = lambda: None
    renewed: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answer_lost: bool = False
    hanging: bool = False
    late_s: float = 0.0

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        self.taking()
        held = await self.where.take(key, holder, ttl=ttl)
        self.asked.set()
        if self.answer_lost:
            await asyncio.Event().wait()
        return held

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        self.renewing()
        if self.hanging:
            await asyncio.Event().wait()
        await asyncio.sleep(self.late_s)
        held = await self.where.renew(key, holder, ttl=ttl)
        self.renewed.set()
        return held

    async def release(self, key: Key, holder: Holder) -> None:
        await self.where.release(key, holder)


@pytest.fixture
def weak(where: Leases) -> Weak:
    return Weak(where)


def hold(where: Leases, key: Key, *, ttl: timedelta = TTL, wait: timedelta = timedelta(0)):
    return lease.hold(where, key, ttl=ttl, wait=wait, random=Random(0))


async def is_free(where: Leases, key: Key) -> bool:
    probe = lease.this_process()
    free = await where.take(key, probe, ttl=TTL) is None
    await where.release(key, probe)
    return free


@contextmanager
def cancelled_in_time(ttl: timedelta) -> Iterator[None]:
    """Check that the block is over before the lease that it was begun with has run out."""
    began = asyncio.get_running_loop().time()
    yield
    assert asyncio.get_running_loop().time() - began < ttl.total_seconds()


async def test_a_block_holds_the_lease_and_frees_it_at_its_end(where: Leases, key: Key):
    async with hold(where, key) as tenure:
        assert await where.renew(key, tenure.holder, ttl=TTL)
        assert not await is_free(where, key)

    assert await is_free(where, key)


async def test_each_acquisition_has_a_token_of_its_own(where: Leases, key: Key):
    async with hold(where, key) as one:
        pass
    async with hold(where, key) as other:
        pass

    assert one.holder.token != other.holder.token
    assert one.holder.process == other.holder.process


async def test_an_error_leaves_the_block_as_it_is_and_the_lease_is_freed(where: Leases, key: Key):
    with pytest.raises(ZeroDivisionError):
        async with hold(where, key):
            raise ZeroDivisionError

    assert await is_free(where, key)


async def test_a_cancelled_block_frees_the_lease(where: Leases, key: Key):
    inside = asyncio.Event()

    async def work() -> None:
        async with hold(where, key):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_free(where, key)


async def test_a_held_lease_is_refused_with_host_and_since_when(where: Leases, key: Key):
    async with hold(where, key) as tenure:
        with pytest.raises(LeaseHeld) as refused:
            async with hold(where, key):
                raise AssertionError("two hold it")

        assert await where.renew(key, tenure.holder, ttl=TTL), "the refused one took nothing away"

    host, _, process = tenure.holder.replica.rpartition(":")
    assert host in refused.value.message
    assert f"process {process}" in refused.value.message
    assert "since 20" in refused.value.message


async def test_whoever_waits_gets_the_lease_when_it_comes_free(weak: Weak, key: Key):
    async with asyncio.TaskGroup() as group, hold(weak.where, key):
        waiting = group.create_task(_hold_once(weak, key), name="waiting")
        await weak.asked.wait()
        assert not waiting.done()

    assert waiting.result()


async def _hold_once(where: Leases, key: Key) -> Holder:
    async with hold(where, key, wait=timedelta(seconds=30)) as tenure:
        return tenure.holder


async def test_waiting_ends_with_a_refusal(where: Leases, key: Key):
    async with hold(where, key):
        with pytest.raises(LeaseHeld):
            async with hold(where, key, wait=timedelta(milliseconds=1)):
                pass


async def test_a_lease_is_renewed_while_the_block_goes_on(weak: Weak, key: Key):
    async with hold(weak, key, ttl=SHORT):
        for _ in range(4):  # more than its time to live
            weak.renewed.clear()
            await weak.renewed.wait()

        assert not await is_free(weak.where, key)


async def test_a_lost_lease_cancels_the_block(weak: Weak, key: Key, expire: Expire):
    other = lease.this_process()

    async def work() -> None:
        async with asyncio.timeout(SOON_S), hold(weak, key, ttl=SHORT):
            await expire(key)
            await weak.where.take(key, other, ttl=TTL)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()
    assert await weak.where.renew(key, other, ttl=TTL), "the new holder keeps it"


async def test_who_asks_for_the_word_of_a_lease_that_is_lost_is_told(
    weak: Weak, key: Key, expire: Expire
):
    """Also a task that nobody cancelled, or whose cancellation a library has dropped."""
    other, asked = lease.this_process(), []

    async def work() -> None:
        async with asyncio.timeout(SOON_S), hold(weak, key, ttl=SHORT) as tenure:
            tenure.renewed(-float("inf"))
            asked.append(asyncio.create_task(tenure.in_force()))
            await expire(key)
            await weak.where.take(key, other, ttl=TTL)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()
    async with asyncio.timeout(SOON_S):
        with pytest.raises(LeaseLost):
            await asked[0]


async def test_a_renewal_that_drops_its_cancellation_ends_all_the_same(weak: Weak, key: Key):
    """redis waits by asyncio.wait_for, which before Python 3.12 drops it in the wrong moment."""
    asked = asyncio.Event()

    class Late:
        """A back end that answers just as it is cancelled."""

        take, release = weak.take, weak.release

        async def renew(self, *_: object, **__: object) -> bool:
            asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return True

    async with asyncio.timeout(SOON_S), hold(Late(), key, ttl=SHORT):
        await asked.wait()


async def test_a_cancellation_that_comes_together_with_a_lost_lease_is_not_forgotten(
    weak: Weak, key: Key, expire: Expire
):
    """Else whoever works through several collections would go on with the next one."""
    other, held = lease.this_process(), asyncio.Event()

    class Doomed:
        """A back end that has the work cancelled while it says that the lease is lost."""

        take, release = weak.take, weak.release

        async def renew(self, *_: object, **__: object) -> bool:
            working.cancel()
            return False

    async def work() -> None:
        async with hold(Doomed(), key, ttl=SHORT):
            await expire(key)
            await weak.where.take(key, other, ttl=TTL)
            held.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work(), name="work")
    await asyncio.wait([working])

    assert held.is_set()
    assert working.cancelled()


async def test_a_release_that_is_cancelled_is_made_once_more(weak: Weak, key: Key):
    """Else the lease stays until it runs out, though its run is over."""
    releases: list[Holder] = []
    never = asyncio.Event()

    class Slow:
        """A back end whose first release doesn't come through before it is cancelled."""

        take, renew = weak.take, weak.renew

        async def release(self, key: Key, holder: Holder) -> None:
            releases.append(holder)
            if len(releases) == 1:
                working.cancel()
                await never.wait()
            await weak.release(key, holder)

    async def work() -> None:
        async with hold(Slow(), key):
            pass

    working = asyncio.create_task(work(), name="work")
    await asyncio.wait([working])

    assert working.cancelled()
    assert len(releases) == 2
    assert await is_free(weak.where, key)


async def test_a_lease_that_ran_out_and_that_nobody_holds_is_taken_again(
    weak: Weak, key: Key, expire: Expire
):
    """The server's clock was set forward, or it stood still for longer than the lease lasts."""
    async with hold(weak, key, ttl=SHORT) as tenure:
        await expire(key)
        weak.asked.clear()
        await weak.asked.wait()

        assert await tenure.in_force()
        assert (await weak.where.take(key, lease.this_process(), ttl=TTL)).holder == tenure.holder


async def test_whoever_waits_bears_with_a_database_that_is_away_for_a_moment(weak: Weak, key: Key):
    failures = iter([ConnectionResetError] * 2)

    def fail_twice() -> None:
        for error in failures:
            raise error

    weak.taking = fail_twice
    async with hold(weak, key, wait=timedelta(seconds=30)) as tenure:
        assert await weak.where.renew(key, tenure.holder, ttl=TTL)


async def test_whoever_does_not_wait_is_told_at_once_that_the_database_is_away(
    weak: Weak, key: Key
):
    def fail() -> None:
        raise ConnectionResetError

    weak.taking = fail
    with pytest.raises(StoreUnavailable):
        async with hold(weak, key):
            pass


async def test_a_renewal_that_fails_once_costs_nothing(weak: Weak, key: Key):
    failures = iter([ConnectionResetError])

    def fail_once() -> None:
        for error in failures:
            raise error

    weak.renewing = fail_once
    async with hold(weak, key, ttl=SHORT):
        await weak.renewed.wait()

        assert not await is_free(weak.where, key)


async def test_a_back_end_that_stays_away_cancels_the_block_before_the_lease_runs_out(
    weak: Weak, key: Key
):
    def fail() -> None:
        raise ConnectionResetError

    weak.renewing = fail
    with cancelled_in_time(SHORT), pytest.raises(StoreUnavailable):
        async with hold(weak, key, ttl=SHORT):
            await asyncio.Event().wait()


async def test_a_back_end_that_never_answers_cancels_the_block_before_the_lease_runs_out(
    weak: Weak, key: Key
):
    weak.hanging = True
    with cancelled_in_time(SHORT), pytest.raises(StoreUnavailable):
        async with hold(weak, key, ttl=SHORT):
            await asyncio.Event().wait()


async def test_a_back_end_that_is_away_at_the_start_is_unavailable(weak: Weak, key: Key):
    def fail() -> None:
        raise ConnectionRefusedError

    weak.taking = fail

    with pytest.raises(StoreUnavailable):
        async with hold(weak, key):
            raise AssertionError("nothing was taken")


async def test_a_take_that_is_cancelled_leaves_no_lease_behind(weak: Weak, key: Key):
    """It was taken, but the answer had not come when the run was stopped."""
    weak.answer_lost = True
    task = asyncio.create_task(_hold_once(weak, key))
    await weak.asked.wait()
    assert not await is_free(weak.where, key)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_free(weak.where, key)


async def test_a_take_cancelled_at_any_moment_leaves_no_lease_behind(where: Leases, key: Key):
    """In the middle of a statement too: the server may have done it or not."""
    loop = asyncio.get_running_loop()
    for n in range(40):
        task = asyncio.create_task(_hold_once(where, key))
        loop.call_later(n / 10_000, task.cancel)
        await asyncio.wait([task])

        assert await is_free(where, key)


@dataclass
class Hand:
    """A clock that goes on when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def returns_at_once(tenure: Tenure) -> bool:
    task = asyncio.create_task(tenure.in_force())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.wait([task])
    return done


@pytest.mark.parametrize(("passed", "said"), [(0, True), (49.9, True), (50, False), (9e9, False)])
async def test_a_lease_is_in_force_until_five_sixths_of_its_time(passed, said):
    clock = Hand()
    tenure = Tenure(lease.this_process(), ttl=timedelta(seconds=60), clock=clock)

    clock.now += passed

    assert said == await returns_at_once(tenure)


async def test_a_renewal_counts_from_when_it_began():
    clock = Hand()
    tenure = Tenure(lease.this_process(), ttl=timedelta(seconds=60), clock=clock)
    clock.now += 100

    tenure.renewed(clock.now - 49)
    assert await returns_at_once(tenure)
    clock.now += 1

    assert not await returns_at_once(tenure)


async def test_whoever_waits_for_the_lease_to_be_in_force_goes_on_when_it_is_renewed():
    clock = Hand()
    tenure = Tenure(lease.this_process(), ttl=timedelta(seconds=60), clock=clock)
    clock.now += 60

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tenure.in_force()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        tenure.renewed(clock.now - 55)  # an old renewal, which says too little
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        tenure.renewed(clock.now)


def stop_the_loop(seconds: float) -> None:
    """Let nothing of this process go on for a while, as SIGSTOP does."""
    time.sleep(seconds)


async def test_a_process_that_was_stopped_beyond_its_lease_asks_nothing_more(
    where: Leases, key: Key, pool: Pool
):
    other, asked = lease.this_process(), []

    async def work() -> None:
        async with hold(where, key, ttl=SHORT) as tenure:
            await pool.execute("update leases set expires_at = '-infinity'")
            await where.take(key, other, ttl=TTL)
            stop_the_loop(SHORT.total_seconds())
            await tenure.in_force()
            asked.append("the vendor")

    with pytest.raises(LeaseLost):
        await work()
    assert asked == []
    assert await where.renew(key, other, ttl=TTL)


async def test_a_process_that_was_stopped_amid_a_renewal_finds_that_it_was_deposed(
    weak: Weak, key: Key, pool: Pool
):
    """The time-out of that renewal is no sign that the database is away."""
    ttl = 4 * SHORT

    def stop_once() -> None:
        weak.renewing = lambda: None
        stop_the_loop(ttl.total_seconds())

    async def work() -> None:
        weak.renewing = stop_once
        async with hold(weak, key, ttl=ttl):
            await pool.execute("update leases set expires_at = '-infinity'")
            await weak.where.take(key, lease.this_process(), ttl=TTL)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()


async def test_a_process_that_was_stopped_waits_until_it_is_told_that_it_was_deposed(
    weak: Weak, key: Key, pool: Pool
):
    """Its lease is over already: to hear so late costs nothing, to guess tells something wrong."""

    async def work() -> None:
        async with hold(weak, key, ttl=SHORT):
            await pool.execute("update leases set expires_at = '-infinity'")
            await weak.where.take(key, lease.this_process(), ttl=TTL)
            weak.late_s = SHORT.total_seconds() / 2
            stop_the_loop(SHORT.total_seconds())
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()


async def test_a_process_that_was_stopped_goes_on_where_nobody_took_its_lease(
    where: Leases, key: Key
):
    asked = []
    async with hold(where, key, ttl=SHORT) as tenure:
        await where.renew(key, tenure.holder, ttl=TTL)  # the row lasts, our knowledge of it doesn't
        stop_the_loop(SHORT.total_seconds())
        assert tenure.left_s <= 0
        await tenure.in_force()
        asked.append("the vendor")

    assert asked == ["the vendor"]


HIDDEN = """
import os, sys, psutil
from dataclasses import replace
from bibsync import lease
somebody, nobody = (replace(lease.this_process(), process=pid) for pid in (1, int(sys.argv[1])))
if os.geteuid() == 0:
    os.setuid(65534)
psutil.PROCFS_PATH = "/nowhere"
print(lease.is_dead(somebody), lease.is_dead(nobody))
"""
"""Sees no process at all in /proc, as where it is mounted with hidepid; the first is root's."""


@pytest.mark.skipif(sys.platform != "linux", reason="hidepid is Linux's")
def test_a_process_of_another_user_that_proc_hides_is_not_dead():
    with neighbour() as (gone, child):
        child.kill()
        child.wait()

    told = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", HIDDEN, str(gone.process)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert ["False", "True"] == told.stdout.split()
