"""Many seeds, shared by processes that each have a database of their own on one server."""

import asyncio
import contextlib
import multiprocessing
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog

from bibsync.store.embedded import EmbeddedPostgres
from tests.simulation.database import Server
from tests.simulation.seeds import Report, simulate

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "100",
}


@dataclass
class Totals:
    """What many seeds came to."""

    seeds: int = 0
    requests: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Count a seed."""
        self.seeds += 1
        self.requests += report.requests
        self.fired += report.fired
        self.outcomes += report.outcomes
        if report.violation is not None:
            self.violations.append((report.seed, report.violation))

    def merge(self, other: "Totals") -> None:
        """Count what another process did."""
        self.seeds += other.seeds
        self.requests += other.requests
        self.fired += other.fired
        self.outcomes += other.outcomes
        self.violations = sorted([*self.violations, *other.violations])


@contextlib.contextmanager
def opened(url: str) -> Iterator[Server]:
    """Make an empty database fit for simulations; the program's log is silent meanwhile."""
    before = structlog.get_config()
    silent = structlog.make_filtering_bound_logger(50)
    structlog.configure(wrapper_class=silent)
    server = Server(url)
    try:
        server.prepare()
        yield server
    finally:
        server.close()
        structlog.configure(**before)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start a PostgreSQL that keeps nothing safe; return its URL."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-simulation-"))
    embedded = EmbeddedPostgres(folder, **SETTINGS)
    try:
        yield asyncio.run(embedded.start())
    finally:
        asyncio.run(embedded.stop())
        shutil.rmtree(folder, ignore_errors=True)


def live_through(url: str, seeds: range, jobs: int) -> Totals:
    """Live through the seeds, in that many processes."""
    totals = Totals()
    databases = [asyncio.run(_make_database(url, job)) for job in range(jobs)]
    shares = [seeds[job::jobs] for job in range(jobs)]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for each in pool.starmap(_share, zip(databases, shares, strict=True), chunksize=1):
            totals.merge(each)
    return totals


def replay(url: str, seed: int) -> Report:
    """Live through one seed."""
    with opened(asyncio.run(_make_database(url, 0))) as server:
        return simulate(server, seed)


def _share(url: str, seeds: range) -> Totals:
    totals = Totals()
    with opened(url) as server:
        for seed in seeds:
            totals.add(simulate(server, seed))
    return totals


async def _make_database(url: str, number: int) -> str:
    name = f"simulation_{number}"
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(f"create database {name}")
    finally:
        await admin.close()
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
