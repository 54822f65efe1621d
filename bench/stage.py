"""What a measurement stands on: an empty database of the embedded server, a collection, a run.

The server keeps its durability (fsync, synchronous_commit): bibsync's default installation has it.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from bench.shelf import LIBRARY, START
from bibsync import events, harvest, store
from bibsync.collection import Collection, Sync
from bibsync.harvest import Means
from bibsync.lease import PostgresLeases
from bibsync.run import Order, Outcome, Summary, Tally
from bibsync.source import Source
from bibsync.store import Pool, collections, schema
from bibsync.store.embedded import EmbeddedPostgres

NAME = "Springfield"
SETTINGS = Sync(start_date=START, reread=(), requests_per_second=100_000.0)
"""Nothing is read again here unless it is ordered, and nobody is spared."""


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Run a server of our own while the block lasts; give its URL."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-bench-"))
    try:
        async with EmbeddedPostgres(folder) as url:
            yield url
    finally:
        cluster = folder / "cluster"
        if cluster.is_symlink():  # as root, it may lie elsewhere
            shutil.rmtree(cluster.resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[str]:
    """Make an empty, migrated database and drop it at the end; give its URL."""
    name = f"bench_{os.urandom(6).hex()}"
    async with store.open_pool(url, size=1) as admin:
        await admin.execute(f"create database {name}")
        try:
            its = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            async with store.open_pool(its, size=1) as pool, store.acquire(pool) as conn:
                with logging_to_nowhere():
                    await schema.upgrade(conn)
            yield its
        finally:
            await admin.execute(f"drop database {name} with (force)")


@dataclass(slots=True)
class Installation:
    """A collection in an empty database, to be harvested from a source and at a time as given."""

    pool: Pool
    number: int = 0
    collection: Collection = field(
        default_factory=lambda: Collection(
            name=NAME,
            source="bibliotheca",
            library_id=LIBRARY,
            account_id="partner",
            account_key=SecretStr("secret"),
            base_url="https://shelf.example/",
            sync=SETTINGS,
        )
    )

    def configure(self, *, base_url: str | None = None, **sync: object) -> None:
        """Change the collection's settings."""
        settings = replace(self.collection.sync, **sync)  # type: ignore[arg-type] # by name
        address = base_url or self.collection.base_url
        self.collection = replace(self.collection, sync=settings, base_url=address)

    async def harvest(
        self, source: Source, *, now: datetime, order: Order | None = None
    ) -> Summary:
        """Run once, as `bibsync run-once` does.

        Raises:
            RuntimeError: the run didn't succeed, so that no figure of it means anything.
        """
        if not self.number:
            async with store.acquire(self.pool) as conn, conn.transaction():
                self.number = (await collections.enrol(conn, [self.collection]))[NAME]
        means = Means(
            pool=self.pool,
            leases=PostgresLeases(self.pool),
            source=lambda *_: source,
            now=lambda: now,
        )
        summary = await harvest.harvest(
            self.collection, self.number, order or Order(), means, tally=Tally()
        )
        if summary.outcome is not Outcome.SUCCEEDED:
            raise RuntimeError(f"a measured run was {summary.outcome}: {summary.problem}")
        return summary


@asynccontextmanager
async def installed(url: str) -> AsyncIterator[Installation]:
    """Give a collection in an empty database of this server."""
    async with database(url) as its, connected(its) as installation:
        yield installation


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Installation]:
    """Give a collection in this database, with as many connections as `run-once` has for one."""
    async with store.open_pool(url, size=4) as pool:
        yield Installation(pool)


@contextmanager
def logging_to_nowhere() -> Iterator[None]:
    """Log every event as the daemon does, but where nobody sees it: writing it has its price."""
    events.configure("info", "json")
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def say(sentence: str) -> None:
    """Tell whoever waits what goes on."""
    if sys.__stderr__:
        sys.__stderr__.write(f"{sentence}\n")
        sys.__stderr__.flush()


class Cpu:
    """CPU time of this process, all its threads, in seconds, since this was made."""

    def __init__(self) -> None:
        self._began = time.process_time()

    def __float__(self) -> float:
        return time.process_time() - self._began
