"""What every trial is played on: a library, its vendor, a database with a journal, replicas.

The vendor shows at first what it had ten days ago: `Moving.move_on` brings late titles and changed
records to light. `Scene.finish` runs to the end, `Scene.check` compares everything with the truth.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from installation import QUICK, Ended, Installation, Running
from loaded import Loaded
from watched import TODAY, Watched, library, served

from bibsync.simulator import Faults, Library
from bibsync.store import schema
from tests import checker, journal
from tests.checker import Purchased
from tests.redis_server import RedisServer
from tests.trials.tap import Tap, Then, Trap

NAME = "springfield"
DAYS = 30
LATER = timedelta(days=10)
FAULTS = Faults.parse("all,timeout=0,blank_quiet=0,unstable_order=0,shift=0")
"""Everything but what only takes time (silence, quiet days that are asked for three times), and but
for what hides titles from an answer without a word: when those had to be found nobody can say."""
MOST_RUNS = 12
"""A window that a run gives up on is asked for by the next; more runs than this is no progress."""
ONE = {"a": 60}
"""One replica, whose leases last a minute."""
MISSED = "missed"
RUN_ONCE = ("run-once", "--all", "--json")
FORCED = (*RUN_ONCE, "--force-reimport")

TEMPLATE = "bibsync_trials_template"
STATES = "select control_number, encode(fingerprint, 'hex') from record_states"
REJECTS = "select reason from rejects"
VERSIONS = """
select control_number, encode(fingerprint, 'hex') from record_versions
union all select control_number, encode(fingerprint, 'hex') from record_states
"""
RUNS = "select run, stream, epoch, finished, outcome from runs order by stream, run"
FENCES = "select stream, epoch from fences"
LEFT = """
select 'window ' || start_at from open_windows union all
select 'lane ' || lane from lanes where lane <> 0 and closed_at is null union all
select 'gap before ' || upper(c) from lanes, unnest(covered) c
where lane = 0 and lower(c) > from_at union all
select 'lease of ' || stream from leases where expires_at >= clock_timestamp()
"""


class Violated(Exception):
    """A guarantee was violated, said in a sentence."""


class Stage(NamedTuple):
    """What scenes share: a PostgreSQL, the program, and a Redis where there is one."""

    server: str
    program: Loaded
    redis: RedisServer | None = None


class Moving(Watched):
    """A vendor that shows what it had at `shown_at`; its clock is right all the same."""

    def __init__(self, libraries: list[Library], **more: Any) -> None:
        super().__init__(libraries, **more)
        self.moved_at = datetime.now(UTC)
        self.before = self.shown_at = self.moved_at - LATER
        self.first = self.must_have(NAME)[0]

    @property
    def known_at(self) -> datetime:
        return min(super().known_at, self.shown_at)

    @property
    def port(self) -> int:
        return urlsplit(self.base_url).port or 0

    def move_on(self) -> None:
        """Show all that there is by now."""
        if self.shown_at == self.before:
            self.moved_at = self.shown_at = datetime.now(UTC)

    def answer_rightly(self) -> None:
        """Take back what was planned for the next answers."""
        self._scripts.clear()

    def ledger(self) -> list[Purchased]:
        """Return each title that must be stored, and since when it could be."""
        stored, _ = self.must_have(NAME)
        find = self.libraries[NAME].bought.find
        return [
            Purchased(name, bought.moment, bought.moment if name in self.first else self.moved_at)
            for name in stored
            if (bought := find(name))
        ]

    def versions(self) -> set[tuple[str, str]]:
        """Return every content that a title has or had."""
        return {*self.first.items(), *self.must_have(NAME)[0].items()}


@dataclass(eq=False)
class Replica:
    """An installation at the scene's database, behind a wire of its own; commits bear its name."""

    name: str
    lease_s: int
    installation: Installation
    tap: Tap

    async def begin(
        self,
        words: Sequence[str],
        trap: Trap | None = None,
        act: Callable[[Running], Awaitable[Then]] | None = None,
    ) -> Running:
        """Begin a run; `act` is what to do to it when the trap shuts."""
        begun: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

        async def act_on_it() -> Then:
            return await act(await begun)

        if trap:
            trap.act = act_on_it
        self.tap.trap = trap
        self.tap.cancelled.clear()
        running = await self.installation.fork(*words)
        begun.set_result(running)
        return running


@dataclass
class Scene:
    """A library at a vendor, and a database that keeps a journal; `replicas` work on them."""

    stage: Stage
    vendor: Moving
    database: str
    conn: asyncpg.Connection
    replicas: list[Replica]

    def forget(self, keys: str) -> None:
        """Delete the keys of this pattern from Redis, where there is one."""
        if self.stage.redis:
            with self.stage.redis.asked() as client:
                for key in client.scan_iter(keys):
                    client.delete(key)

    async def finish(self, *words: object) -> Ended:
        """Have the vendor err no more, and run until nothing is left to do; return the last run."""
        self.vendor.faults = Faults.none()
        self.replicas[-1].tap.trap = None
        words = words or RUN_ONCE
        for _ in range(MOST_RUNS):
            ended = await self.replicas[-1].installation.run(*words)
            if ended.code == 0:
                return ended
            if ended.code not in {3, 6}:
                raise Violated(f"a run that nothing befell ended with {ended.code}: {ended.err}")
        raise Violated(f"after {MOST_RUNS} runs there is still something to do: {ended.err}")

    async def check_migrated(self) -> None:
        """Check that the schema is whole or not there, then that a run does its work with it."""
        found = await schema.state(self.conn)
        if found.applied and found.missing:
            raise Violated(f"{found.missing} are missing beside {found.applied}")
        await self.replicas[-1].installation.run("db", "upgrade")
        await journal.switch_on(self.conn)
        self.vendor.move_on()
        await self.finish()
        await self.check()

    async def check(self) -> None:
        """Compare everything with the truth; raises Violated."""
        prints, reasons = self.vendor.must_have(NAME)
        stored = dict(await self.conn.fetch(STATES))
        if prints != stored:
            raise Violated(_difference(prints, stored))
        rejected = Counter(row[0] for row in await self.conn.fetch(REJECTS))
        if reasons != rejected:
            raise Violated(f"rejects must be {dict(reasons)} and are {dict(rejected)}")
        foreign = {tuple(row) for row in await self.conn.fetch(VERSIONS)} - self.vendor.versions()
        if foreign:
            raise Violated(f"versions that the vendor never had: {sorted(foreign)[:3]}")
        number = await self.conn.fetchval("select collection from collections")
        told = await journal.entries(self.conn)
        if found := checker.first_violation(told, {number: self.vendor.ledger()}):
            raise Violated(found)
        await self._check_runs()

    async def _check_runs(self) -> None:
        """Each run has ended, each under a later fence than the one before; nothing is left."""
        latest: dict[str, int] = {}
        for run, stream, epoch, finished, outcome in await self.conn.fetch(RUNS):
            if finished is None or outcome is None:
                raise Violated(f"run {run} of {stream} never ended")
            if epoch <= latest.get(stream, 0):
                raise Violated(f"run {run} of {stream} has epoch {epoch}, as one before it")
            latest[stream] = epoch
        fences = dict(await self.conn.fetch(FENCES))
        if fences != latest:
            raise Violated(f"the fences stand at {fences}, the runs at {latest}")
        if left := [row[0] for row in await self.conn.fetch(LEFT)]:
            raise Violated(f"left behind: {', '.join(left)}")


@asynccontextmanager
async def prepared(server: str) -> AsyncIterator[None]:
    """Keep a migrated database with a journal on this server, to copy scenes' databases from."""
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"drop database if exists {TEMPLATE}")
        await admin.execute(f"create database {TEMPLATE}")
        conn = await asyncpg.connect(at(server, TEMPLATE))
        await schema.upgrade(conn)
        await journal.switch_on(conn)
        await conn.close()
        yield
    finally:
        await admin.execute(f"drop database if exists {TEMPLATE}")
        await admin.close()


@asynccontextmanager
async def opened(
    stage: Stage,
    random: Random,
    *,
    titles: int = 400,
    faults: Faults | None = None,
    leases_s: Mapping[str, int] = ONE,
    windows_at_once: int = 1,
    empty: bool = False,
    **vendors: Any,
) -> AsyncIterator[Scene]:
    """Set a scene, with replicas whose leases last so many seconds; `empty`: without a schema."""
    seed = random.randrange(10**6)
    since = TODAY - timedelta(days=DAYS)
    bought = library(NAME, titles=titles, seed=seed, bad=0.03, retitled=1.0, since=since)
    vendor = Moving([bought], faults=faults or Faults.none(), seed=seed, **vendors)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(vendor))
        database = await stack.enter_async_context(
            _database(stage.server, "template1" if empty else TEMPLATE)
        )
        sync = {"start_date": since, "windows_at_once": windows_at_once}
        conn = await asyncpg.connect(database)
        stack.push_async_callback(conn.close)
        replicas = [
            await stack.enter_async_context(
                _replica(stage, database, vendor, name, lease_s, sync=sync)
            )
            for name, lease_s in leases_s.items()
        ]
        yield Scene(stage, vendor, database, conn, replicas)


@asynccontextmanager
async def _replica(
    stage: Stage,
    database: str,
    vendor: Moving,
    name: str,
    lease_s: int,
    *,
    sync: dict[str, object],
) -> AsyncIterator[Replica]:
    folder = Path(tempfile.mkdtemp(prefix="bibsync-trial-"))
    try:
        async with Tap(database) as tap:
            url = f"{tap.url}&journal.writer={name}"
            installation = Installation(folder, folder / "state", url, stage.program)
            more = f'[daemon]\nlease_ttl = "{lease_s}s"\n'
            if stage.redis:
                more += f'[redis]\nurl = "{stage.redis.url}"\n'
            installation.configure(
                vendor.collections(**sync),
                sync=QUICK.replace("retries = 0", 'retries = 1\nmax_window = "1d"'),
                more=more,
            )
            yield Replica(name, lease_s, installation, tap)
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def _database(server: str, template: str) -> AsyncIterator[str]:
    """Keep a copy of a database as long as the block lasts; return its URL."""
    name = f"bibsync_trial_{os.urandom(6).hex()}"
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"create database {name} template {template}")
        try:
            yield at(server, name)
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


def at(server: str, database: str) -> str:
    """Return the server's URL with another database."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


def _difference(expected: Mapping[str, str], stored: Mapping[str, str]) -> str:
    lost, foreign = sorted({*expected} - {*stored}), sorted({*stored} - {*expected})
    other = sorted(each for each in {*expected} & {*stored} if expected[each] != stored[each])
    return f"lost: {lost[:5]}; not bought: {foreign[:5]}; of other content: {other[:5]}"
