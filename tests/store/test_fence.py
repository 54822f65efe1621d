"""The fence: whose commits count, and what became of a COMMIT that nobody answered."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from fault_proxy import Fault, FaultProxy

from bibsync import fence, store
from bibsync.errors import LeaseLost
from bibsync.fence import Fence
from bibsync.store import Connection, Pool, fences
from bibsync.store.fences import Standing

TTL = timedelta(seconds=60)
Key = tuple[int, str]

STOPPED = """
import asyncio, sys
from datetime import timedelta
from bibsync import fence, store
from bibsync.errors import BibsyncError

async def begin(conn, epoch):
    return epoch

async def write(conn):
    await conn.execute("insert into written values ($1)", "stopped")
    print("inside", flush=True)
    sys.stdin.readline()

async def main(url, collection, ttl_s):
    async with store.open_pool(url, size=2) as pool:
        key = (int(collection), "purchases")
        ttl = timedelta(seconds=float(ttl_s))
        mine, _ = await fence.take(pool, key, "stopped", ttl=ttl, begin=begin)
        try:
            await mine.commit(write)
        except BibsyncError as error:
            print(type(error).__name__, flush=True)
        else:
            print("committed", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with store.open_pool(database, size=4) as pool:
        await pool.execute("create table written (what text)")
        yield pool


async def take(pool: Pool, key: Key, holder: str = "holder", *, ttl: timedelta = TTL) -> Fence:
    async def begin(_conn: Connection, epoch: int) -> int:
        return epoch

    mine, epoch = await fence.take(pool, key, holder, ttl=ttl, begin=begin)
    assert mine.epoch == epoch
    return mine


def writing(what: str):
    async def write(conn: Connection) -> str:
        await conn.execute("insert into written values ($1)", what)
        return f"{what} done"

    return write


async def written(pool: Pool) -> list[str]:
    return [row[0] for row in await pool.fetch("select what from written order by what")]


async def ver(pool: Pool, key: Key) -> int:
    return await pool.fetchval("select ver from fences where (collection, stream) = ($1, $2)", *key)


async def test_a_commit_writes_and_advances(pool: Pool, key: Key):
    mine = await take(pool, key)

    assert await mine.commit(writing("one")) == "one done"
    assert await mine.commit(writing("two")) == "two done"

    assert await written(pool) == ["one", "two"]
    assert await ver(pool, key) == 2


async def test_taking_raises_the_epoch_and_begins_in_the_same_transaction(pool: Pool, key: Key):
    async def fail(conn: Connection, _epoch: int) -> None:
        await conn.execute("insert into written values ('begun')")
        raise ZeroDivisionError

    first = await take(pool, key)
    with pytest.raises(ZeroDivisionError):
        await fence.take(pool, key, "failing", ttl=TTL, begin=fail)
    assert await written(pool) == []
    await first.commit(writing("still the holder"))

    assert first.epoch + 1 == (await take(pool, key)).epoch


async def test_a_deposed_run_writes_nothing(pool: Pool, key: Key):
    deposed = await take(pool, key, "deposed")
    holder = await take(pool, key, "holder")

    with pytest.raises(LeaseLost):
        await deposed.commit(writing("deposed"))

    await holder.commit(writing("holder"))
    with pytest.raises(LeaseLost):
        await deposed.commit(writing("deposed"))
    assert await written(pool) == ["holder"]


async def test_a_run_deposed_in_mid_transaction_commits_before_the_take_over(pool: Pool, key: Key):
    """The row is held until its commit: who takes over comes before or after, never amid it."""
    mine, inside = await take(pool, key), asyncio.Event()
    go_on = asyncio.Event()

    async def write(conn: Connection) -> None:
        await conn.execute("insert into written values ('before')")
        inside.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(mine.commit(write))
        await inside.wait()
        taking = group.create_task(take(pool, key, "next"))
        await _until_blocked(pool)
        assert not taking.done()
        go_on.set()

    assert await written(pool) == ["before"]
    with pytest.raises(LeaseLost):
        await mine.commit(writing("after"))


async def _until_blocked(pool: Pool) -> None:
    """Return when some session waits for a lock."""
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await pool.fetchval(waiting):
            pass


async def test_the_fences_of_streams_don_t_touch(pool: Pool, key: Key):
    mine = await take(pool, key)

    await take(pool, (key[0], "metadata"))

    await mine.commit(writing("mine"))


async def test_commits_of_one_run_take_turns(pool: Pool, key: Key):
    mine = await take(pool, key)

    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(mine.commit(writing(f"{n:02d}")))

    assert [f"{n:02d}" for n in range(20)] == await written(pool)
    assert await ver(pool, key) == 20


async def test_a_failed_write_leaves_nothing_and_the_fence_as_it_was(pool: Pool, key: Key):
    mine = await take(pool, key)

    async def fail(conn: Connection) -> None:
        await writing("failed")(conn)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mine.commit(fail)

    await mine.commit(writing("next"))
    assert await written(pool) == ["next"]


async def test_a_cancelled_commit_leaves_nothing_and_the_fence_as_it_was(pool: Pool, key: Key):
    mine, inside = await take(pool, key), asyncio.Event()

    async def write(conn: Connection) -> None:
        await writing("cancelled")(conn)
        inside.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(mine.commit(write))
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])

    await mine.commit(writing("next"))
    assert await written(pool) == ["next"]


@asynccontextmanager
async def through_a_proxy(database: str, **upon: bytes) -> AsyncIterator[tuple[Pool, FaultProxy]]:
    async with FaultProxy(database, **upon) as proxy, store.open_pool(proxy.url, size=2) as pool:
        yield pool, proxy


AT_A_COMMIT = [Fault.ANSWER_LOST, Fault.NEVER_SENT, Fault.SERVER_UNAWARE]


@pytest.mark.parametrize("fault", AT_A_COMMIT)
async def test_a_commit_without_an_answer_is_done_exactly_once(
    pool: Pool, key: Key, database: str, fault: Fault
):
    """`ver` tells whether it landed; it is never repeated on a guess."""
    tries = []

    async def write(conn: Connection) -> int:
        tries.append(1)
        await conn.execute("insert into written values ('once')")
        return len(tries)

    async with through_a_proxy(database) as (far, proxy):
        mine = await take(far, key, ttl=timedelta(seconds=0.5))
        proxy.fault = fault

        result = await mine.commit(write)

        landed = fault is Fault.ANSWER_LOST
        assert proxy.met == 1
        assert (1 if landed else 2) == result == len(tries)
        assert await written(pool) == ["once"]
        assert await ver(pool, key) == 1
        await mine.commit(writing("then"))

    assert await written(pool) == ["once", "then"]


async def test_a_commit_that_landed_while_it_was_cancelled_counts(
    pool: Pool, key: Key, database: str
):
    """Else the run's next commit would find itself deposed by itself, and its counts be short."""
    heard: list[object] = []
    async with through_a_proxy(database) as (far, proxy):
        mine = await take(far, key)
        proxy.fault = Fault.ANSWER_LOST
        task = asyncio.create_task(mine.commit(writing("once"), landed=heard.append))
        while not await written(pool):  # noqa: ASYNC110 - the table has no event, and it is soon
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        await mine.commit(writing("then"), landed=heard.append)

    assert await written(pool) == ["once", "then"]
    assert heard == ["once done", "then done"]


@pytest.mark.parametrize("fault", AT_A_COMMIT)
async def test_what_was_written_is_told_once_whatever_became_of_the_answer(
    pool: Pool, key: Key, database: str, fault: Fault
):
    heard: list[object] = []
    async with through_a_proxy(database) as (far, proxy):
        mine = await take(far, key, ttl=timedelta(seconds=0.5))
        proxy.fault = fault

        await mine.commit(writing("once"), landed=heard.append)
        await mine.commit(writing("then"), landed=heard.append)

    assert heard == ["once done", "then done"]


async def test_what_was_not_written_is_not_told(pool: Pool, key: Key):
    heard: list[object] = []
    deposed, _ = await take(pool, key), await take(pool, key)

    with pytest.raises(LeaseLost):
        await deposed.commit(writing("deposed"), landed=heard.append)

    assert heard == []


async def test_a_commit_without_an_answer_by_a_deposed_run_is_not_repeated(
    pool: Pool, key: Key, database: str
):
    async with through_a_proxy(database) as (far, proxy):
        mine = await take(far, key)

        async def write(conn: Connection) -> None:
            await conn.execute("insert into written values ('deposed')")
            proxy.fault = Fault.NEVER_SENT

        async def taken_over() -> None:
            while not proxy.met:  # noqa: ASYNC110 - the proxy has no event, and it is soon
                await asyncio.sleep(0)
            await take(pool, key, "next")

        async with asyncio.TaskGroup() as group:
            group.create_task(taken_over())
            with pytest.raises(LeaseLost):
                await mine.commit(write)

    assert await written(pool) == []


AT_ONCE = """
with fence as (
    update fences set ver = ver + 1
    where collection = $1 and stream = $2 and epoch = $3 and holder = $4 and ver = $5
    returning ver
)
insert into written select $6 from fence returning what
"""
HEARD = {"upon": b"at once", "answer": b"Z\0\0\0\5I"}
"""The statement by its argument, its answer by the word that the session is idle again."""


def at_once(key: Key, tries: list[int]):
    async def statement(conn: Connection, standing: Standing) -> str | None:
        tries.append(1)
        return await conn.fetchval(AT_ONCE, *key, *standing, "at once")

    return statement


async def test_a_statement_that_carries_the_fence_writes_and_advances(pool: Pool, key: Key):
    mine = await take(pool, key)

    assert await mine.commit_at_once(at_once(key, []), unanswered="lost") == "at once"
    await mine.commit(writing("then"))

    assert await written(pool) == ["at once", "then"]
    assert await ver(pool, key) == 2


async def test_a_deposed_run_writes_nothing_at_once(pool: Pool, key: Key):
    deposed = await take(pool, key, "deposed")
    await take(pool, key, "holder")

    with pytest.raises(LeaseLost):
        await deposed.commit_at_once(at_once(key, []), unanswered="lost")

    assert await written(pool) == []


@pytest.mark.parametrize("fault", AT_A_COMMIT)
async def test_a_statement_without_an_answer_is_done_exactly_once(
    pool: Pool, key: Key, database: str, fault: Fault
):
    tries: list[int] = []
    async with through_a_proxy(database, **HEARD) as (far, proxy):
        mine = await take(far, key)
        proxy.fault = fault

        told = await mine.commit_at_once(at_once(key, tries), unanswered="lost")

        landed = fault is Fault.ANSWER_LOST
        assert proxy.met == 1
        assert (("lost", 1) if landed else ("at once", 2)) == (told, len(tries))
        assert await ver(pool, key) == 1
        await mine.commit(writing("then"))

    assert await written(pool) == ["at once", "then"]


async def test_a_statement_that_lands_after_it_was_given_up_is_done_exactly_once(
    pool: Pool, key: Key, database: str
):
    """The wire may hold it back for longer than it takes to ask what became of it."""
    async with through_a_proxy(database, **HEARD) as (far, proxy):
        mine, tries = await take(far, key), []
        proxy.fault = Fault.LATE

        async def statement(conn: Connection, standing: Standing) -> str | None:
            if tries:
                proxy.deliver.set()
                while not await written(pool):
                    pass
            return await at_once(key, tries)(conn, standing)

        told = await mine.commit_at_once(statement, unanswered="lost")

        assert (proxy.met, len(tries), told) == (1, 2, "lost")
        await mine.commit(writing("then"))

    assert await written(pool) == ["at once", "then"]
    assert await ver(pool, key) == 2


async def test_a_cancelled_statement_that_landed_counts(pool: Pool, key: Key, database: str):
    async with through_a_proxy(database, **HEARD) as (far, proxy):
        mine = await take(far, key)
        proxy.fault = Fault.ANSWER_LOST
        task = asyncio.create_task(mine.commit_at_once(at_once(key, []), unanswered="lost"))
        while not await written(pool):
            pass
        task.cancel()
        await asyncio.wait([task])

        await mine.commit(writing("then"))

    assert await written(pool) == ["at once", "then"]


async def test_reading_goes_on_after_a_lost_connection(pool: Pool, key: Key):
    mine = await take(pool, key)
    lost = []

    async def query(conn: Connection) -> int:
        if not lost:
            lost.append(conn)
            pid = await fences.backend(conn)
            await pool.execute("select pg_terminate_backend($1)", pid)
        return await conn.fetchval("select 7")

    assert await mine.read(query) == 7
    assert lost


async def test_a_database_that_refuses_a_write_for_another_reason_is_not_asked_again(
    pool: Pool, key: Key
):
    """A record that it can't hold is the record's fault: asking again changes nothing."""
    mine, tries = await take(pool, key), []

    async def write(conn: Connection) -> None:
        tries.append(1)
        await conn.execute("select 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await mine.commit(write)
    assert tries == [1]


@asynccontextmanager
async def another_run(
    database: str, key: Key, *, ttl_s: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that holds the fence and has written inside its transaction."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STOPPED,
        database,
        str(key[0]),
        str(ttl_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert await child.stdout.readline() == b"inside\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


@pytest.mark.parametrize("ttl_s", [1, 60], ids=["ends by itself", "is ended"])
async def test_a_process_stopped_inside_its_transaction_does_not_hold_up_a_take_over(
    pool: Pool, key: Key, database: str, ttl_s: float
):
    """A short idle time ends its session; before a long one has passed, who takes over does."""
    async with another_run(database, key, ttl_s=ttl_s) as child:
        child.send_signal(signal.SIGSTOP)

        async with asyncio.timeout(6):
            mine = await take(pool, key, "next")
            await mine.commit(writing("next"))

        child.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            said, _ = await child.communicate(b"\n")
        assert said.endswith(b"LeaseLost\n")
    assert await written(pool) == ["next"]


@pytest.mark.parametrize("whose", ["bibsync", "psql"])
async def test_only_bibsyncs_own_sessions_are_ended(
    pool: Pool, key: Key, database: str, whose: str
):
    """A person at psql who locked the row keeps it; the take-over then says that it can't."""
    await take(pool, key)
    other = await asyncpg.connect(database, server_settings={"application_name": whose})
    locked = other.transaction()
    await locked.start()
    await other.execute("select from fences for update")
    pid = await fences.backend(other)
    async with store.acquire(pool) as conn, asyncio.TaskGroup() as group:
        mine = await fences.backend(conn)
        raising = group.create_task(_raise_epoch(conn, key))
        await _until_blocked(pool)

        ended = await fences.end_blockers(pool, mine)

        assert ([pid] if whose == "bibsync" else []) == ended
        if not ended:
            assert not raising.done()
            await locked.rollback()
    other.terminate()


async def _raise_epoch(conn: Connection, key: Key) -> None:
    async with conn.transaction():
        await fences.raise_epoch(conn, key, "next", wait_ms=5000)


async def test_a_take_over_waits_for_the_row_no_longer_than_it_was_told(pool: Pool, key: Key):
    async with store.acquire(pool) as other, other.transaction():
        await fences.raise_epoch(other, key, "other", wait_ms=5000)

        async with store.acquire(pool) as conn:
            with pytest.raises(store.DISCONNECTED):
                async with conn.transaction():
                    await fences.raise_epoch(conn, key, "next", wait_ms=50)
