"""Several windows, collections and processes at once, and a run that was deposed."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from world import MIDNIGHT, NOW, START, Bought, Script, Vendor, World, bought, collection, page

from bibsync import fence, lease, store
from bibsync.collection import Collection
from bibsync.errors import SourceRefused
from bibsync.harvest import Means, Place, harvest_each
from bibsync.lease import Key, PostgresLeases
from bibsync.run import PURCHASES, Order, Outcome, Summary, Tally
from bibsync.source import Page
from bibsync.store import Pool, collections
from bibsync.store.leases import Held, Holder
from bibsync.window import DAY, Window

COUNT = "select count(*) from records where collection = $1"


class WatchedLeases(PostgresLeases):
    """Leases that know how many were held at once."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.held: set[str] = set()
        self.most = 0

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        other = await super().take(key, holder, ttl=ttl)
        if other is None:
            self.held.add(holder.token)
        self.most = max(self.most, len(self.held))
        return other

    async def release(self, key: Key, holder: Holder) -> None:
        self.held.discard(holder.token)
        await super().release(key, holder)


class Process:
    """One of several processes: a pool and runs of its own over the same collections."""

    def __init__(self, pool: Pool, due: dict[int, Collection], vendors: dict[str, Vendor]) -> None:
        self.leases = WatchedLeases(pool)
        self._due = due
        self._means = Means(
            pool=pool,
            leases=self.leases,
            source=lambda each, _: vendors[each.name],
            now=lambda: NOW,
            blank_waits_s=(0.0, 0.0),
        )

    async def run_all(self, *, at_once: int) -> list[Summary]:
        tallies = {(number, PURCHASES): Tally() for number in self._due}
        return await harvest_each(
            self._due, [Order()], self._means, at_once=at_once, tallies=tallies
        )


@pytest.fixture
def vendors() -> dict[str, Vendor]:
    return {f"library {n}": Vendor(bought(60 + n, since=MIDNIGHT - 5 * DAY)) for n in range(6)}


@pytest.fixture
async def due(pool: Pool, vendors: dict[str, Vendor]) -> dict[int, Collection]:
    configured = [collection(name, start_date=MIDNIGHT - 5 * DAY) for name in vendors]
    async with store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, configured)
    return {numbers[each.name]: each for each in configured}


@pytest.fixture
async def pools(database: str) -> AsyncIterator[list[Pool]]:
    """The pools of three processes."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(store.open_pool(database, size=4)) for _ in range(3)]


async def test_two_windows_of_a_collection_are_read_at_once(world: World):
    both = asyncio.Barrier(2)
    world.vendor.purchases = bought(140)
    world.vendor.before = dict.fromkeys(range(4, 10), both.wait)

    async with asyncio.timeout(30):
        await world.harvest()

    assert world.truth() == await world.stored()
    assert (Window(START, NOW),) == await world.covered()


async def test_one_window_at_a_time_is_read_where_that_is_wanted(world: World):
    world.configure(windows_at_once=1)
    world.vendor.purchases = bought(140)
    order: list[Window] = []
    world.vendor.hook = lambda window, _offset: order.append(window)

    await world.harvest()

    changes = sum(before != after for before, after in itertools.pairwise(order))
    assert changes == len(set(order)) - 1, "no window was left for another and taken up again"


async def test_no_more_collections_than_wanted_run_at_once(
    pools: list[Pool], due: dict[int, Collection], vendors: dict[str, Vendor]
):
    both = asyncio.Barrier(2)
    vendors["library 0"].before = vendors["library 1"].before = {1: both.wait}
    process = Process(pools[0], due, vendors)

    async with asyncio.timeout(30):
        summaries = await process.run_all(at_once=2)

    assert [each.outcome for each in summaries] == [Outcome.SUCCEEDED] * 6
    assert process.leases.most == 2
    assert list(vendors) == [each.collection for each in summaries], "in the order given"


async def test_whoever_waits_for_a_lease_keeps_no_free_collection_from_its_turn(world: World):
    """The locked one is the first, and there is one place; it goes on when the lease is free."""
    names = ("Locked", "Free")
    each = [collection(name, start_date=MIDNIGHT) for name in names]
    world.vendor.purchases = bought(3, since=MIDNIGHT)
    async with store.acquire(world.pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, each)
    means = replace(world.means(), wait_lock=timedelta(minutes=5))
    locked = (numbers["Locked"], PURCHASES)
    other = lease.this_process()
    await means.leases.take(locked, other, ttl=timedelta(minutes=5))
    ended: list[str] = []
    free = asyncio.Event()

    def hear(summary: Summary) -> None:
        ended.append(summary.collection)
        free.set()

    async def release() -> None:
        await free.wait()
        await means.leases.release(locked, other)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(release())
        summaries = await harvest_each(
            {numbers[one.name]: one for one in each},
            [Order()],
            means,
            at_once=1,
            tallies=dict.fromkeys([(number, PURCHASES) for number in numbers.values()], Tally()),
            ended=hear,
        )

    assert ended == ["Free", "Locked"]
    assert [summary.outcome for summary in summaries] == ["succeeded", "succeeded"]


async def test_a_run_cancelled_while_it_stands_aside_gives_up_no_place_twice():
    places = asyncio.Semaphore(1)
    aside, never = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        async with Place(places) as place, place.given_up():
            aside.set()
            await never.wait()

    waiting = asyncio.create_task(wait(), name="waiting")
    await aside.wait()
    waiting.cancel()
    await asyncio.wait([waiting])

    async with Place(places):
        assert places.locked()
    assert not places.locked()


async def test_a_failing_collection_disturbs_no_other(
    pools: list[Pool], due: dict[int, Collection], vendors: dict[str, Vendor]
):
    vendors["library 2"].hook = Script([SourceRefused("The vendor refuses the account.")])

    summaries = await Process(pools[0], due, vendors).run_all(at_once=3)

    failed = {each.collection: each.outcome for each in summaries if each.problem}
    assert failed == {"library 2": "failed"}
    assert sum(each.tally.new for each in summaries) == sum(60 + n for n in (0, 1, 3, 4, 5))


async def test_a_defect_in_one_collection_ends_them_all(
    pools: list[Pool], due: dict[int, Collection], vendors: dict[str, Vendor]
):
    vendors["library 2"].hook = Script([ZeroDivisionError("a defect")])

    with pytest.raises(ZeroDivisionError):
        await Process(pools[0], due, vendors).run_all(at_once=3)


async def test_a_second_run_of_a_collection_is_locked_and_asks_nothing(world: World):
    reached, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await done.wait()

    await world.enrol()
    world.vendor.purchases, world.vendor.before = bought(60), {2: hold}
    second = replace(world, vendor=Vendor([]))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.harvest(), name="first")
        await reached.wait()

        locked = await second.harvest()
        done.set()

    assert (locked.outcome, locked.run) == ("locked", None)
    assert locked.problem.code == "locked"
    assert second.vendor.asked == []
    assert first.result().outcome == "succeeded"


async def test_three_processes_share_the_work_of_all_collections(
    pools: list[Pool], due: dict[int, Collection], vendors: dict[str, Vendor]
):
    processes = [Process(pool, due, vendors) for pool in pools]

    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(each.run_all(at_once=2), name="run all") for each in processes]

    summaries = [summary for run in runs for summary in run.result()]
    assert {"succeeded", "locked"} == {each.outcome for each in summaries}
    assert set(vendors) == {each.collection for each in summaries if each.outcome == "succeeded"}
    assert sum(each.tally.new for each in summaries) == sum(60 + n for n in range(6))
    at_work = {each for each, run in enumerate(runs) if any(s.tally.new for s in run.result())}
    assert len(at_work) > 1


async def test_a_deposed_run_writes_nothing_more(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)
    found: list[object] = []

    async def depose() -> None:
        await fence.take(world.pool, world.key, "another", ttl=world.ttl, begin=_nothing)
        found.append(await world.value(COUNT))

    world.vendor.before = {3: depose}

    summary = await world.harvest()

    assert (summary.outcome, summary.problem.code) == ("deposed", "deposed")
    assert found == [await world.value(COUNT)]
    assert await world.covered() == ()
    assert await world.value("select finished from runs where collection = $1") is None


async def test_a_run_whose_lease_was_lost_stops_and_writes_nothing_more(world: World):
    world.configure(start_date=MIDNIGHT)
    world.vendor.purchases = bought(300, since=MIDNIGHT)
    world.ttl = timedelta(seconds=2)
    never = asyncio.Event()

    async def lose() -> None:
        await world.execute("update leases set holder = 'another' where collection = $1")
        await never.wait()

    world.vendor.before = {3: lose}

    async with asyncio.timeout(30):
        summary = await world.harvest()

    assert summary.outcome == "deposed"
    assert await world.value("select outcome from runs where collection = $1") == "deposed"
    assert await world.covered() == ()


async def test_a_late_answer_never_replaces_what_a_later_asked_one_stored(world: World):
    """The first gap is asked for first and answered last; the same title is in the second too."""
    world.configure(start_date=MIDNIGHT - 6 * DAY)
    stored_meanwhile = asyncio.Event()

    async def go_on() -> None:
        stored_meanwhile.set()

    def answer(window: Window, _offset: int) -> Page | None:
        order = list(dict.fromkeys(each for each, _ in world.vendor.asked))
        if window not in order[1:3]:
            return None
        return page([Bought(window.start, "same", ("Earlier", "Later")[order.index(window) - 1])])

    world.vendor.before = {2: stored_meanwhile.wait, 5: go_on}
    world.vendor.hook = answer

    async with asyncio.timeout(30):
        summary = await world.harvest()

    assert await world.stored() == {"same": "Later"}
    assert (summary.tally.new, summary.tally.changed, summary.tally.unchanged) == (1, 0, 1)
    assert await world.value("select count(*) from record_versions where collection = $1") == 0


async def test_collections_with_equal_control_numbers_do_not_mix(world: World):
    other = replace(world, vendor=Vendor([]), collection=collection("Shelbyville"), number=0)
    async with store.acquire(world.pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, [world.collection, other.collection])
    world.number, other.number = (numbers[each.collection.name] for each in (world, other))
    world.vendor.purchases = [Bought(START, "same", "Here"), Bought(START, "only here")]
    other.vendor.purchases = [Bought(START, "same", "There")]

    await world.harvest()
    await other.harvest()

    assert world.truth() == await world.stored()
    assert other.truth() == await other.stored()


async def _nothing(_conn: object, _epoch: int) -> None:
    return None
