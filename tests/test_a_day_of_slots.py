"""24 simulated hours of 200 collections: four replicas, clocks apart, crashes and restarts.

Every statement is the real server's, whose clock is virtual; each replica's own clock is wrong by
up to 45 seconds, and looks at the same moment are made at once. A replica crashes at a statement
that chance picks, before it or behind it, and begins anew minutes later; one at least is always
there. Work takes as long as chance says. What must come of it depends on nothing of that: each
slot of each schedule fires once, at its time, and each collection is asked for once per slot.
"""

import asyncio
import heapq
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
import time_machine

from bibsync import store, timetable
from bibsync.config import Config, load
from bibsync.store import claims, collections, firings, schedules
from bibsync.store.claims import Ended
from bibsync.store.requests import LAST
from tests.simulation.database import PREPARE

BEGIN = datetime(2026, 3, 28, 20, 0, 30, tzinfo=UTC)
"""The night in which Berlin's clocks go forward."""
DAY = timedelta(hours=24)
COLLECTIONS = 200
REPLICAS = 4
APART_S = 45.0
TTL = timedelta(seconds=60)
WAKE_S = 240.0
"""The longest time between two looks. The daemon looks every two seconds: that would take hours."""
CRASHES = 40
AWAY_S = (5.0, 400.0)
SEED = 20260328
SETTINGS = {"search_path": "simulated, public, pg_catalog", "timezone": "UTC"}
FILE = """
[[schedules]]
name = "hourly"
job = "purchases"
cron = "5 * * * *"

[[schedules]]
name = "few"
job = "metadata"
cron = "7-59/15 * * * *"
collections = ["library 7", "library 8", "library 9"]

[[schedules]]
name = "berlin"
job = "snapshot"
cron = "30 2 * * *"
timezone = "Europe/Berlin"
"""
ASKED = """
select f.schedule, f.slot, count(*) as requests, count(distinct q.collection) as collections,
       bool_and(q.outcome = 'succeeded') as done
from firings f join requests q using (firing) group by f.schedule, f.slot
"""


class Crash(ConnectionError):
    """The replica is no more."""


class Fragile(asyncpg.Connection):
    """A connection of a replica that crashes after so many more statements, if `fuse` says so."""

    fuse: int | None = None

    async def execute(self, *given: Any, **options: Any) -> Any:
        return await self._burn(super().execute, *given, **options)

    async def fetch(self, *given: Any, **options: Any) -> Any:
        return await self._burn(super().fetch, *given, **options)

    async def fetchval(self, *given: Any, **options: Any) -> Any:
        return await self._burn(super().fetchval, *given, **options)

    async def _burn(self, ask: Callable[..., Awaitable[Any]], *given: Any, **options: Any) -> Any:
        if self.fuse is None:
            return await ask(*given, **options)
        self.fuse -= 1
        if self.fuse < 0:
            behind = self.fuse % 2
            self.fuse = None
            if behind:
                await ask(*given, **options)
            self.terminate()
            raise Crash
        return await ask(*given, **options)


@dataclass(eq=False)
class Replica:
    """One replica: its connection is its pool, what it holds is forgotten when it crashes."""

    world: "World"
    name: str
    ahead_s: float
    conn: Any = None
    token: str = ""
    held: dict[int, datetime] = field(default_factory=dict)

    async def begin(self) -> None:
        """Start, as the daemon does: enrol, seed, ask for what never succeeded."""
        self.token, self.held = uuid.uuid4().hex, {}
        self.conn = await asyncpg.connect(
            self.world.url, connection_class=Fragile, server_settings=SETTINGS
        )
        async with store.acquire(self) as conn, conn.transaction():
            await collections.enrol(conn, self.world.config.collections)
            await timetable.seed(conn, self.world.config)

    async def acquire(self, **_: float) -> Any:
        await asyncpg.Connection.execute(
            self.conn, "select set_config('simulated.now', $1, false)", self.world.now.isoformat()
        )
        return self.conn

    async def release(self, _: Any) -> None:
        """Keep it: there is no other."""

    async def look(self) -> float:
        """Do one round of everything; return the seconds until the next."""
        tick = await timetable.fire_due(self, by=self.name)
        async with store.acquire(self) as conn:
            if any((await claims.holders(conn)).values()):
                async with conn.transaction():
                    await claims.take_back(conn)
            await self._settle(conn)
            await claims.keep(conn, self.token, [*self.held], ttl=TTL)
            await claims.drop_expired(conn)
            await firings.finish(conn)
            for row in await claims.claim(
                conn,
                self.world.numbers,
                priorities=(0, LAST),
                limit=COLLECTIONS,
                holder=(self.token, self.name),
                ttl=TTL,
            ):
                wait = timedelta(seconds=self.world.random.uniform(1, 20))
                self.held[row["request"]] = self.world.now + wait
        wait_s = min(WAKE_S, tick.wait.total_seconds() if tick.wait else WAKE_S)
        if self.held:
            wait_s = min(wait_s, TTL.total_seconds() / 4)
        return max(wait_s, 0.0) + self.world.random.uniform(0, 2)

    async def _settle(self, conn: Any) -> None:
        """End what is over by now, all of it in one transaction: else it would take too long."""
        over = [number for number, until in self.held.items() if until <= self.world.now]
        async with conn.transaction():
            for number in over:
                if not await claims.settle(conn, number, self.token, Ended("succeeded")):
                    self.world.lost += 1
        for number in over:
            del self.held[number]


@dataclass
class World:
    """The server's clock, the replicas, and what happens next."""

    url: str
    config: Config
    random: Random
    now: datetime = BEGIN
    numbers: list[int] = field(default_factory=list)
    crashes: int = 0
    lost: int = 0
    looks: int = 0
    _next: list[tuple[datetime, int, Replica]] = field(default_factory=list)
    _order: Any = field(default_factory=count)

    async def live(self, replicas: list[Replica]) -> None:
        """Let the day pass, and as long as it takes until all that it asked for is done."""
        for each in replicas:
            await each.begin()
            self._plan(each, self.random.uniform(0, 2))
        crashing = sorted(self.random.uniform(0, DAY.total_seconds()) for _ in range(CRASHES))
        self.numbers = [
            row["collection"] for row in await replicas[0].conn.fetch("select * from collections")
        ]
        while self._next[0][0] < BEGIN + DAY + timedelta(minutes=4):
            due = [heapq.heappop(self._next)]
            while self._next and self._next[0][0] - due[0][0] < timedelta(seconds=2):
                due.append(heapq.heappop(self._next))
            self.now = max(self.now, due[-1][0])
            each = [replica for _, _, replica in due]
            up = REPLICAS - sum(replica.conn is None for replica in replicas)
            if crashing and (self.now - BEGIN).total_seconds() > crashing[0] and up > 1:
                del crashing[0]
                if each[0].conn is not None:
                    each[0].conn.fuse = self.random.randrange(16)
            await self._let(each)

    async def _let(self, replicas: list[Replica]) -> None:
        """Let these act: all at once, by one wrong clock, or in turn, each by its own."""
        self.looks += len(replicas)
        if self.random.random() < 0.5:
            ahead_s = self.random.uniform(-APART_S, APART_S)
            with time_machine.travel(self.now + timedelta(seconds=ahead_s)):
                await asyncio.gather(*(self._act(each) for each in replicas))
            return
        for each in replicas:
            with time_machine.travel(self.now + timedelta(seconds=each.ahead_s)):
                await self._act(each)

    async def _act(self, replica: Replica) -> None:
        try:
            if replica.conn is None:
                await replica.begin()
            self._plan(replica, await replica.look())
        except (Crash, asyncpg.InterfaceError):  # the one behind the other, inside a transaction
            assert replica.conn.is_closed()
            self.crashes += 1
            replica.conn = None
            self._plan(replica, self.random.uniform(*AWAY_S))

    def _plan(self, replica: Replica, wait_s: float) -> None:
        at = self.now + timedelta(seconds=wait_s)
        heapq.heappush(self._next, (at, next(self._order), replica))


@asynccontextmanager
async def replicas_of(world: World) -> AsyncIterator[list[Replica]]:
    span = 2 * APART_S / (REPLICAS - 1)
    each = [Replica(world, f"r{n}", ahead_s=n * span - APART_S) for n in range(REPLICAS)]
    try:
        yield each
    finally:
        for replica in each:
            if replica.conn is not None:
                await replica.conn.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    accounts = "".join(
        f'[[collections]]\nname = "library {number}"\nsource = "bibliotheca"\n'
        f'library_id = "{number}"\naccount_id = "partner"\naccount_key = "secret"\n'
        for number in range(COLLECTIONS)
    )
    file = tmp_path / "bibsync.toml"
    file.write_text(f'state_dir = "{tmp_path}"\n{FILE}{accounts}')
    file.chmod(0o600)
    return load(file, {})


async def test_every_slot_of_a_day_fires_once_and_asks_for_each_collection_once(
    database: str, config: Config
):
    print(f"seed {SEED}")  # noqa: T201 - what befalls the replicas replays from it
    admin = await asyncpg.connect(database)
    await admin.execute(PREPARE)
    world = World(database, config, Random(SEED))
    async with replicas_of(world) as each:
        await world.live(each)
    fired = await admin.fetch("select * from firings")
    asked = {(row["schedule"], row["slot"]): row for row in await admin.fetch(ASKED)}
    left = await admin.fetchval("select count(*) from requests where state <> 'done'")
    rows = await schedules.all_rows(admin)
    await admin.close()

    expected = Counter({(row.name, slot): 1 for row in rows for slot in slots(row)})
    assert expected == Counter((row["schedule"], row["slot"]) for row in fired)
    assert all(timedelta(0) <= row["fired_at"] - row["slot"] < TTL for row in fired)
    assert {"succeeded"} == {row["outcome"] for row in fired}
    assert {"r0", "r1", "r2", "r3"} == {row["fired_by"] for row in fired}
    for (name, slot), row in asked.items():
        wanted = {
            "hourly": COLLECTIONS,
            "purchases": COLLECTIONS,
            "metadata": COLLECTIONS,
            "few": 3,
        }
        assert (wanted.get(name, 1), True) == (row["requests"], row["done"]), (name, slot)
        assert row["collections"] in (row["requests"], 0)
    assert asked.keys() == expected.keys()
    assert 0 == left
    assert world.crashes > CRASHES / 2


def slots(row: schedules.Row) -> Iterable[datetime]:
    for slot in row.terms.timing.following(BEGIN):
        if slot > BEGIN + DAY:
            return
        yield slot
