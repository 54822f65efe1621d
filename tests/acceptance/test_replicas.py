"""Three replicas over Redis, and everything that can befall them: nothing is lost, none meet.

Each replica runs `run-once` again and again, as a schedule would. They name different versions of
the interface, by which the simulated vendor tells them apart: it notes each request that comes
while another replica's is in flight in the same stream of a library.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import mkdtemp

import pytest
import redis_server
from installation import Ended, Installation
from loaded import Loaded
from redis_server import RedisServer
from watched import Watched, library, served

from bibsync.simulator import Faults

TTL_S = 2
SYNC = 'requests_per_second = 100000\nretries = 2\ntimeout = "5s"\nmax_window = "1d"'
"""Small windows, so that there is enough to ask for while the blows fall."""
BLOWS = 14
ONE_RUN_S = 240.0
"""One run may last as long as the blows: whoever is left does the others' work."""
REPLICAS = ("1.1", "1.2", "1.3")
SEEDS = (1, 2)
FAULTS = Faults(http_502=0.06, cut_body=0.03, error_document=0.03, short_page=0.05)
"""No blank answers: three in a row cover a window until it is asked for again, at its next age."""
FINE = {0, 3, 6, 7, 11, 137, 143}
"""What a replica may exit with that was hit by something, or met a fault of the vendor.

7 only if it began while Redis was away."""


@pytest.fixture(params=redis_server.kinds())
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server.opened(request.param) as server:
        yield server


@dataclass
class Replica:
    """An installation that runs `run-once --all` until it is told to stop."""

    installation: Installation
    ended: list[Ended] = field(default_factory=list)
    stopped: bool = False
    _pid: int = 0

    async def work(self) -> None:
        while not self.stopped:
            running = await self.installation.fork("run-once", "--all", "--json")
            self._pid = running.process.pid
            ended = await running.ended(within_s=ONE_RUN_S)
            assert ended.code in FINE, ended
            assert ended.code != 7 or "[redis_unavailable]" in ended.err, ended
            self.ended.append(ended)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the run under way, if there is one just now."""
        with suppress(ProcessLookupError):
            if self._pid:  # 0 would be everybody here
                os.kill(self._pid, number)

    def summaries(self) -> list[dict[str, object]]:
        return [json.loads(line) for each in self.ended for line in each.out.splitlines()]


@asynccontextmanager
async def replicas(
    vendor: Watched, database: str, redis: RedisServer, program: Loaded
) -> AsyncIterator[list[Replica]]:
    """Install three replicas at one database and Redis, and let them work as long as the block."""
    folders = [Path(mkdtemp(prefix=f"bibsync-{name}-")) for name in REPLICAS]
    made = []
    for name, folder in zip(REPLICAS, folders, strict=True):
        installation = Installation(folder, folder / "state", database, program)
        installation.configure(
            vendor.collections(api_version=name),
            sync=SYNC,
            more=f'[redis]\nurl = "{redis.url}"\n[daemon]\nconcurrency = 3\nlease_ttl = "{TTL_S}s"',
        )
        made.append(Replica(installation))
    try:
        async with asyncio.TaskGroup() as group:
            for each in made:
                group.create_task(each.work())
            try:
                yield made
            finally:
                for each in made:
                    each.stopped = True
                    each.send(signal.SIGCONT)
    finally:
        for folder in folders:
            rmtree(folder)


class Blows:
    """What befalls replicas and Redis, chosen at random, each counted once it has struck."""

    def __init__(self, each: list[Replica], redis: RedisServer, random: Random) -> None:
        self.struck: Counter[str] = Counter()
        self._replicas = each
        self._redis = redis
        self._random = random

    def next(self) -> Callable[[], Awaitable[None]]:
        """Choose the next blow; the first ones are each kind once."""
        kinds = [self.kill, self.stop, self.end, self.flush, self.restart, self.hold]
        untried = [each for each in kinds if not self.struck[each.__name__]]
        chosen = self._random.choice(untried or kinds)
        self.struck[chosen.__name__] += 1
        return chosen

    async def kill(self) -> None:
        self._random.choice(self._replicas).send(signal.SIGKILL)

    async def end(self) -> None:
        self._random.choice(self._replicas).send(signal.SIGTERM)

    async def stop(self) -> None:
        """Stop a replica for longer than its leases last, then let it go on."""
        replica = self._random.choice(self._replicas)
        replica.send(signal.SIGSTOP)
        await self.asked_meanwhile(TTL_S * 1.5)
        replica.send(signal.SIGCONT)

    async def flush(self) -> None:
        self._redis.flush()

    async def restart(self) -> None:
        self._redis.kill()
        await self.asked_meanwhile(0.5)
        self._redis.start()

    async def hold(self) -> None:
        """Leave Redis's connections open and unanswered."""
        self._redis.stop()
        await self.asked_meanwhile(1.0)
        self._redis.go_on()

    @staticmethod
    async def asked_meanwhile(seconds: float) -> None:
        """Let the fault last: its length is the fault."""
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("seed", SEEDS)
async def test_three_replicas_lose_nothing_and_never_meet_whatever_befalls_them(
    redis: RedisServer, database: str, program: Loaded, seed: int
):
    print(f"seed {seed}")  # noqa: T201 - the blows replay from it
    random = Random(seed)
    libraries = [library(f"branch {n}", titles=300 + n) for n in range(6)]
    vendor = Watched(libraries, latency_s=0.02, faults=FAULTS, seed=seed)
    async with served(vendor), replicas(vendor, database, redis, program) as each:
        blows = Blows(each, redis, random)
        for _ in range(BLOWS):
            await vendor.asked(random.randrange(15, 50))
            await blows.next()()
        vendor.faults = Faults.none()
        done = each[0].installation
        async with asyncio.timeout(120):
            while (await done.run("run-once", "--all", "--json")).code != 0:
                pass
        await told_until_whole(done, vendor)
        stored = {name: await done.stored(name) for name in vendor.libraries}

    assert vendor.flights.encounters == []
    assert set(REPLICAS) <= set(vendor.flights.clients)
    assert 6 == len(blows.struck)
    assert stored == {name: vendor.must_have(name)[0] for name in vendor.libraries}


async def told_until_whole(installation: Installation, vendor: Watched) -> None:
    """Run until no title waits for a look-up, then expect every record to be described."""
    async with asyncio.timeout(120):
        while True:
            status = await installation.run("status", "--json")
            looked_up = {
                each["name"]: stream
                for each in status.document["collections"]
                for stream in each["streams"]
                if stream["stream"] == "metadata"
            }
            if all(each["titles_waiting"] == 0 for each in looked_up.values()):
                break
            await installation.run("run-once", "--all", "--stream", "metadata")
    for name, stream in looked_up.items():
        assert len(vendor.must_have(name)[0]) == stream["titles_described"]
