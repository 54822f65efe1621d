"""A replica: a process that syncs many collections at once, as `run-once --all` does.

    python -m bench.replica '{"database": ..., "base_url": ..., ...}'      the process, see `Job`

It says that it is ready, then syncs all of them whenever it is asked to, and answers with what that
came to, and with its memory's peak. Settings, leases, turns and connections are the product's.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import orjson
import uvloop
from pydantic import SecretStr

from bench import machine, stage, talk, vendor
from bench.talk import Child
from bibsync import harvest, replicas, store
from bibsync.cli.syncing import MOST_CONNECTIONS, SPARE_CONNECTIONS
from bibsync.collection import Collection, Sync
from bibsync.harvest import Means
from bibsync.run import PURCHASES, Order, Outcome, Tally
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool, collections


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a replica syncs: `count` libraries from `start` on, `at_once` together."""

    database: str
    base_url: str
    count: int
    start: str
    at_once: int = 8
    requests_per_second: float = 100_000.0
    redis: str | None = None

    def collections(self) -> list[Collection]:
        """Return the collections, otherwise with the settings that a new installation has."""
        sync = Sync(
            start_date=datetime.fromisoformat(self.start),
            requests_per_second=self.requests_per_second,
        )
        return [
            Collection(
                name=f"Library {number:04d}",
                source="bibliotheca",
                library_id=vendor.library(number),
                account_id=vendor.ACCOUNT,
                account_key=SecretStr(vendor.KEY),
                base_url=self.base_url,
                sync=sync,
            )
            for number in range(self.count)
        ]


@dataclass(frozen=True, slots=True)
class Done:
    """What a sync of all collections came to, by this process."""

    seconds: float
    cpu_s: float
    requests: int
    new: int
    outcomes: dict[str, int]
    peak_mib: float

    def demand(self, *fine: Outcome) -> None:
        """Let only these outcomes pass, else no figure means anything."""
        if others := set(self.outcomes) - {each.value for each in fine}:
            raise RuntimeError(f"measured runs were {', '.join(sorted(others))}")


@asynccontextmanager
async def started(job: Job) -> AsyncIterator[Child]:
    """Run a replica while the block lasts; it is ready."""
    async with talk.started("bench.replica", asdict(job)) as child:
        await child.heard()
        yield child


async def synced(child: Child) -> Done:
    """Have the replica sync all its collections once."""
    return Done(**await child.ask("sync"))


async def _serve(job: Job) -> None:
    size = min(job.at_once * 2, job.count * 2, MOST_CONNECTIONS) + SPARE_CONNECTIONS
    redis = SecretStr(job.redis) if job.redis else None
    ttl = timedelta(seconds=60)
    async with (
        store.open_pool(job.database, size=size) as pool,
        replicas.coordinated(redis, pool, ttl=ttl) as coordination,
        Hosts(shared=coordination.turns) as hosts,
    ):
        due = await _enrolled(pool, job.collections())
        means = Means(
            pool=pool,
            leases=coordination.leases,
            source=lambda each, permit: open_source(each, hosts, permit),
            lease_ttl=ttl,
        )
        talk.say("ready")
        async for _ in talk.questions():
            talk.say(asdict(await _sync(due, means, at_once=job.at_once)))


async def _enrolled(pool: Pool, each: list[Collection]) -> dict[int, Collection]:
    async with store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, each)
    return {numbers[one.name]: one for one in each}


async def _sync(due: dict[int, Collection], means: Means, *, at_once: int) -> Done:
    tallies = {(number, PURCHASES): Tally() for number in due}
    began, cpu = time.monotonic(), stage.Cpu()
    with stage.logging_to_nowhere():
        summaries = await harvest.harvest_each(
            due, [Order()], means, at_once=at_once, tallies=tallies
        )
    return Done(
        seconds=time.monotonic() - began,
        cpu_s=float(cpu),
        requests=sum(tally.requests for tally in tallies.values()),
        new=sum(tally.new for tally in tallies.values()),
        outcomes=dict(Counter(each.outcome.value for each in summaries)),
        peak_mib=machine.peak_bytes() / 2**20,
    )


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve(Job(**orjson.loads(sys.argv[1]))))
