"""Every wire broken in every way, before a run and in the middle of it.

Whatever happens, the run ends by itself with the code and the problem that the contract names; and
the next run, without the fault, ends with exit 0 and the whole truth.
"""

import asyncio
import json
import signal
from datetime import timedelta
from typing import NamedTuple

import pytest
from installation import Ended, Installation
from redis_server import RedisServer
from watched import TODAY

from bibsync import store
from bibsync.events import REDIS_LOST, REDIS_RECOVERED, STORE_RECONNECTED
from tests.faults.scene import Scene, staged
from tests.faults.wire import Fault, Wire

COMMIT = b"COMMIT;\0"
MIDDLE = 3
"""The request that the vendor is answering when a fault of the middle begins."""
LATE = 11
"""The same where each window that is left costs its retries."""
FEW_DAYS = TODAY - timedelta(days=1)
EVER = float("inf")


class Case(NamedTuple):
    """A fault, how many messages it befalls, the code and the words of the run it befell."""

    fault: Fault
    code: int
    words: str = ""
    times: float = EVER

    def __str__(self) -> str:
        return f"{self.fault.name}-{self.times}"


def cases(*each: tuple[object, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [Case(*one) for one in each], ids=str)


def befall(
    scene: Scene, server: str, case: Case, *, at: bytes = b"", request: int = MIDDLE
) -> Wire:
    """Let the fault strike while the vendor is answering that request."""
    wire = scene.wires[server]
    scene.vendor.then(request, lambda: wire.strike(case.fault, at=at, times=case.times))
    return wire


async def is_borne(scene: Scene, wire: Wire, case: Case, ended: Ended) -> None:
    """Expect the run to have ended as it must, and the next one to make up for it."""
    assert case.code == ended.code, ended
    assert case.words in ended.out + ended.err
    assert wire.fired or case.fault is Fault.REFUSE  # a closed port counts nothing: the words do
    await wire.mend()
    await scene.is_whole()


def said(ended: Ended) -> list[str]:
    """Return the names of the events in the log."""
    lines = [line for line in ended.err.splitlines() if line.startswith("{")]
    return [json.loads(line)["event"] for line in lines]


# -- PostgreSQL

AWAY = "The database can't be reached: "


@cases(
    (Fault.REFUSE, 7, AWAY + "nothing listens at its address. [database_unavailable]"),
    (Fault.CUT, 7, AWAY + "it broke the connection off. [database_unavailable]"),
    (Fault.BLACK_HOLE, 7, AWAY + "it gave no answer in time. [database_unavailable]"),
    (Fault.DELAY, 0),
    (Fault.TRUNCATE, 7, AWAY + "it broke the connection off. [database_unavailable]"),
    (Fault.DROP_ANSWER, 7, AWAY + "it broke the connection off. [database_unavailable]"),
)
async def test_a_database_that_is_away_before_the_run(installation: Installation, case: Case):
    async with staged(installation) as scene:
        wire = scene.wires["PostgreSQL"]
        wire.delay_s = 0.005
        wire.strike(case.fault, times=case.times)

        ended = await scene.run()

        assert case.code == 0 or scene.vendor.requests == 0
        await is_borne(scene, wire, case, ended)


@cases(
    (Fault.REFUSE, 7, AWAY),
    (Fault.CUT, 7, AWAY),
    (Fault.BLACK_HOLE, 7, AWAY),
    (Fault.TRUNCATE, 7, AWAY),
    (Fault.DROP_ANSWER, 7, AWAY),
)
async def test_a_database_that_goes_away_in_the_middle_and_stays_away(
    installation: Installation, case: Case
):
    async with staged(installation) as scene:
        wire = befall(scene, "PostgreSQL", case)

        ended = await scene.run()

        assert "database_unavailable" == ended.document["problem"]["code"]
        await is_borne(scene, wire, case, ended)


@cases(
    (Fault.CUT, 0, STORE_RECONNECTED, 1),
    (Fault.DELAY, 0, "", 1),
    (Fault.TRUNCATE, 0, STORE_RECONNECTED, 1),
    (Fault.DROP_ANSWER, 0, STORE_RECONNECTED, 1),
)
async def test_a_connection_that_breaks_at_a_commit_costs_the_run_nothing(
    installation: Installation, case: Case
):
    async with staged(installation) as scene:
        wire = befall(scene, "PostgreSQL", case, at=COMMIT)

        ended = await scene.run()

        await is_borne(scene, wire, case, ended)


async def test_a_run_stops_when_it_is_told_to_although_the_database_is_silent(
    installation: Installation,
):
    """asyncpg can't clean up after a cancelled statement then, and must not hide the signal."""
    async with staged(installation, lease_ttl_s=9) as scene:
        wire = scene.wires["PostgreSQL"]
        running = await scene.installation.fork("run-once", "--all", "--json")
        scene.vendor.then(MIDDLE, lambda: wire.strike(Fault.BLACK_HOLE))
        async with asyncio.timeout(30):
            await wire.struck.wait()

        running.send(signal.SIGTERM)
        ended = await running.ended()

        assert 143 == ended.code
        assert "interrupted" == ended.document["outcome"]
        await wire.mend()
        await scene.is_whole()


async def test_a_cancellation_is_not_taken_for_a_fault_of_the_database(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "ACQUIRE_S", 0.2)

    async def ask(pool: store.Pool) -> None:
        async with store.acquire(pool) as conn:
            wire.strike(Fault.BLACK_HOLE)
            await conn.fetchval("select 1")

    async with Wire(database) as wire, store.open_pool(wire.url, size=1) as pool:
        asking = asyncio.create_task(ask(pool))
        await wire.struck.wait()

        asking.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asking


# -- Redis

LOST = "Redis can't be reached: "


@cases(
    (Fault.REFUSE, 7, LOST + "nothing listens at its address. [redis_unavailable]"),
    (Fault.CUT, 7, LOST + "it broke the connection off. [redis_unavailable]"),
    (Fault.BLACK_HOLE, 7, LOST + "it gave no answer in time. [redis_unavailable]"),
    (Fault.DELAY, 0),
    (Fault.TRUNCATE, 7, LOST + "it broke the connection off. [redis_unavailable]"),
    (Fault.DROP_ANSWER, 7, LOST + "it broke the connection off. [redis_unavailable]"),
)
async def test_a_redis_that_is_away_before_the_run(
    installation: Installation, redis_server: RedisServer, case: Case
):
    async with staged(installation, redis=redis_server.url) as scene:
        wire = scene.wires["Redis"]
        wire.strike(case.fault, times=case.times)

        ended = await scene.run()

        assert case.code == 0 or scene.vendor.requests == 0
        await is_borne(scene, wire, case, ended)


@cases(
    (Fault.REFUSE, 0),
    (Fault.CUT, 0),
    (Fault.BLACK_HOLE, 0),
    (Fault.DELAY, 0),
    (Fault.TRUNCATE, 0),
    (Fault.DROP_ANSWER, 0),
    (Fault.CUT, 0, REDIS_RECOVERED, 1),
)
async def test_a_redis_that_is_lost_in_the_middle_is_said_once_and_costs_nothing(
    installation: Installation, redis_server: RedisServer, case: Case
):
    async with staged(installation, redis=redis_server.url) as scene:
        scene.wires["Redis"].delay_s = scene.lease_ttl_s / 4
        wire = befall(scene, "Redis", case)

        ended = await scene.run()

        assert 1 == said(ended).count(REDIS_LOST), ended
        await is_borne(scene, wire, case, ended)


# -- the vendor


@cases(
    (Fault.REFUSE, 6, '"detail":"connect"'),
    (Fault.CUT, 6, '"detail":"reset"'),
    (Fault.BLACK_HOLE, 6, '"detail":"timeout"'),
    (Fault.DELAY, 0),
    (Fault.TRUNCATE, 6, '"detail":"cut_short"'),
    (Fault.DROP_ANSWER, 6, '"detail":"reset"'),
)
async def test_a_vendor_that_is_away_before_the_run_is_asked_again_and_then_left(
    installation: Installation, case: Case
):
    async with staged(installation, since=FEW_DAYS) as scene:
        wire = scene.wires["vendor"]
        wire.strike(case.fault, times=case.times)

        ended = await scene.run()

        assert case.code == 0 or ended.document["retries"] > 0
        await is_borne(scene, wire, case, ended)


@cases(
    (Fault.REFUSE, 3, '"detail":"connect"'),
    (Fault.CUT, 3, '"detail":"reset"'),
    (Fault.BLACK_HOLE, 3, '"detail":"timeout"'),
    (Fault.DELAY, 0),
    (Fault.TRUNCATE, 3, '"detail":"cut_short"'),
    (Fault.DROP_ANSWER, 3, '"detail":"reset"'),
)
async def test_a_vendor_that_goes_away_in_the_middle_costs_only_what_it_was_not_asked(
    installation: Installation, case: Case
):
    async with staged(installation) as scene:
        wire = befall(scene, "vendor", case, request=LATE)

        ended = await scene.run("--stream", "purchases")

        assert ended.document["windows"] > 0
        await is_borne(scene, wire, case, ended)


@cases((Fault.CUT, 0, "", 1), (Fault.TRUNCATE, 0, "", 1), (Fault.DROP_ANSWER, 0, "", 1))
async def test_one_broken_answer_of_the_vendor_is_asked_for_again(
    installation: Installation, case: Case
):
    async with staged(installation) as scene:
        wire = befall(scene, "vendor", case)

        ended = await scene.run()

        await is_borne(scene, wire, case, ended)


@pytest.mark.parametrize("after", [0, 1, 100, 400, 3000])
async def test_an_answer_that_is_cut_after_any_number_of_bytes_counts_for_nothing(
    installation: Installation, after: int
):
    async with staged(installation) as scene:
        wire = scene.wires["vendor"]
        scene.vendor.then(9, lambda: wire.strike(Fault.CUT, after=after, times=1))

        ended = await scene.run()

        await is_borne(scene, wire, Case(Fault.CUT, 0), ended)
