"""Rounds: a database that fails some of them is one failure, told once, and so is its end."""

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from bibsync import rounds
from bibsync.rounds import Database, Reached
from bibsync.store import Pool

WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_S", 0.001)
    monkeypatch.setattr(rounds, "MOST_S", 0.002)


class Round:
    """A round that fails so often; its events are set once what it did before is noted."""

    def __init__(self, failures: int) -> None:
        self._left = failures
        self._calls: list[bool] = []
        self.has_failed = asyncio.Event()
        self.has_answered = asyncio.Event()

    async def __call__(self) -> float:
        if self._calls:
            (self.has_answered if self._calls[-1] else self.has_failed).set()
        self._left -= 1
        self._calls.append(self._left < 0)
        if not self._calls[-1]:
            raise asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT")
        return 0.001


async def test_a_database_that_can_only_be_read_is_told_once(pool: Pool):
    database = Database(Reached(pool))
    reads, writes, says = Round(0), Round(50), Round(40)
    with capture_logs() as logged:
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
            going = [group.create_task(rounds.go(database, act)) for act in (reads, writes, says)]
            await reads.has_answered.wait()
            await writes.has_failed.wait()
            assert (True, False) == (database.lost, database.silent)
            await writes.has_answered.wait()
            await says.has_answered.wait()
            assert not database.lost
            for each in going:
                each.cancel()

    told = [each["event"] for each in logged]
    assert ["store.lost", "store.recovered"] == told


async def test_who_asks_no_more_is_no_failure(pool: Pool):
    database, act = Database(Reached(pool)), Round(10**6)
    asking = asyncio.create_task(rounds.until_answered(database, "a request", act))
    async with asyncio.timeout(WITHIN_S):
        await act.has_failed.wait()
    assert database.lost

    asking.cancel()
    await asyncio.wait([asking])

    assert not database.lost


async def test_a_database_that_answers_nobody_is_silent_after_a_while(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rounds, "SILENT_S", 0.0)
    database, act = Database(Reached(pool)), Round(20)
    asking = asyncio.create_task(rounds.until_answered(database, "it", act))
    async with asyncio.timeout(WITHIN_S):
        await act.has_failed.wait()
        assert database.silent
        await asking

    assert not database.silent
