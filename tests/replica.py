"""Replicas in this process: each a dispatch over one real database, and vendors that wait for us.

What the daemon adds, signals and systemd, is tested as a process; here every step can be seen.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from bibsync import config, rounds, store
from bibsync.collection import Collection
from bibsync.dispatch import Dispatch
from bibsync.harvest import Means
from bibsync.jobs import Duty
from bibsync.lease import PostgresLeases
from bibsync.rounds import Database, Reached
from bibsync.run import Summary
from bibsync.source import Page, Permit, Source
from bibsync.store import Pool, collections, requests
from bibsync.store.requests import Terms, Wish
from bibsync.window import Window
from tests.harvest.world import MIDNIGHT, NOW, Vendor, bought, collection

WITHIN_S = 120.0
"""Far more than anything takes, also on a machine without breath."""
ENDED = ("done", "cancelled", "dropped")
TITLES = 3
LOOK = "select q.*, c.name from requests q left join collections c using (collection)"


class Waiting(Vendor):
    """A vendor that answers only while it is `open`; `asked_for` is set when it is asked."""

    def __init__(self) -> None:
        super().__init__(bought(TITLES, since=MIDNIGHT))
        self.open = asyncio.Event()
        self.open.set()
        self.asked_for = asyncio.Event()
        self.keys: list[str] = []
        self.askers: list[object] = []
        self.at_once = 0
        self._inside: list[object] = []

    async def page(self, window: Window, *, offset: int) -> Page:
        asker = self.askers[-1]
        self._inside.append(asker)
        self.at_once = max(self.at_once, len(set(self._inside)))
        self.asked_for.set()
        try:
            await self.open.wait()
            return await super().page(window, offset=offset)
        finally:
            self._inside.remove(asker)

    async def is_asked(self) -> None:
        """Wait until it is asked, from now on."""
        self.asked_for.clear()
        async with asyncio.timeout(WITHIN_S):
            await self.asked_for.wait()


@dataclass
class Scene:
    """A database with collections, a vendor for each, and the replicas that serve them."""

    pool: Pool
    folder: Path
    names: tuple[str, ...] = ("one", "two", "three")
    vendors: dict[str, Waiting] = field(default_factory=dict)
    replicas: list["Replica"] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    async def enrol(self, *names: str) -> None:
        """Enrol these collections and no others."""
        self.names = names or self.names
        self.vendors |= {each: Waiting() for each in self.names if each not in self.vendors}
        async with store.acquire(self.pool) as conn, conn.transaction():
            self.numbers |= await collections.enrol(conn, self.configured())

    def configured(self, **changed: object) -> list[Collection]:
        """Return the collections; `changed` are settings of the first one."""
        each = [collection(name, start_date=MIDNIGHT, retries=0) for name in self.names]
        return [replace(each[0], **changed), *each[1:]] if changed else each

    def replica(self, *, concurrency: int = 8, pool: Pool | None = None) -> "Replica":
        """Return another replica."""
        made = Replica(self, pool or self.pool, concurrency)
        self.replicas.append(made)
        return made

    async def ask(self, name: str | None, **more: Any) -> int:
        """Ask for purchases of a collection, or what `more` says, and wake every replica."""
        keys = {each: more.pop(each) for each in list(more) if each in Wish.__slots__}
        wish = Wish(**{"job": "purchases", "collection": self.numbers.get(name or "")} | keys)
        terms = Terms(**{"trigger": "person", "by": "anna"} | more)
        async with store.acquire(self.pool) as conn, conn.transaction():
            number = await requests.ask(conn, wish, terms)
        self.wake()
        return number

    def wake(self) -> None:
        for each in self.replicas:
            each.dispatch.woken.set()

    async def row(self, number: int) -> Any:
        async with store.acquire(self.pool) as conn:
            return await requests.one(conn, number)

    async def rows(self) -> list[Any]:
        """Return every request, in the order they were asked for."""
        rows: list[Any] = await self.pool.fetch(f"{LOOK} order by request")
        return rows

    async def until(self, number: int, true: Callable[[Any], object]) -> Any:
        """Wait until something is true of a request; return it."""
        async with asyncio.timeout(WITHIN_S):
            while not true(row := await self.row(number)):
                await self.pool.execute("select pg_sleep(0.01)")
        return row

    async def ended(self, *numbers: int) -> list[str]:
        """Wait until these have ended; return their outcomes."""
        each = [await self.until(number, lambda row: row["state"] in ENDED) for number in numbers]
        return [row["outcome"] for row in each]

    async def stored(self, name: str) -> dict[str, str]:
        """Return the title of every stored record of a collection, by control number."""
        found = await self.pool.fetch(
            "select control_number, title from records where collection = $1", self.numbers[name]
        )
        return {row["control_number"]: row["title"] for row in found}

    def truth(self, name: str) -> dict[str, str]:
        """Return what must be stored of it in the end."""
        return {each.key: each.title for each in self.vendors[name].purchases}

    async def execute(self, sql: str, *given: object) -> None:
        await self.pool.execute(sql, *given)


class Replica:
    """One replica; its rounds are made while `at_work`, its heartbeat when a test says so."""

    def __init__(self, scene: Scene, pool: Pool, concurrency: int) -> None:
        self._scene = scene
        self._concurrency = concurrency
        self._means = Means(
            pool=pool,
            leases=PostgresLeases(pool),
            source=self._source,
            now=lambda: NOW,
            random=Random(0),
        )
        self.summaries: list[Summary] = []
        self.database = Database(Reached(pool))
        self.dispatch = Dispatch(self.database, self.duty(), heard=self.summaries.append)

    def duty(self, **changed: object) -> Duty:
        """Return what to go by; `changed` are settings of the first collection."""
        each = tuple(self._scene.configured(**changed))
        found = config.load(None, {"BIBSYNC_STATE_DIR": str(self._scene.folder)})
        daemon = replace(found.daemon, concurrency=self._concurrency)
        return Duty(
            config=replace(found, collections=each, daemon=daemon),
            numbers={self._scene.numbers[one.name]: one for one in each},
            means=self._means,
        )

    def expire_quickly(self, ttl: timedelta) -> None:
        """Give what is held from now on this time to live."""
        self.dispatch.duty = replace(
            self.dispatch.duty, means=replace(self.dispatch.duty.means, lease_ttl=ttl)
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Carry out requests for the time of the block; at its end the replica is stopped."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self.dispatch.serve(self._rounds), name="replica")
            try:
                yield
            finally:
                work.cancel()

    async def _rounds(self) -> None:
        await rounds.go(self.database, self.dispatch.look, woken=self.dispatch.woken)

    def _source(self, each: Collection, _: Permit) -> Source:
        vendor = self._scene.vendors[each.name]
        vendor.askers.append(self)
        vendor.keys.append(each.account_key.get_secret_value())
        return vendor
