"""Plays trials in several processes on one PostgreSQL and one Redis, and adds them up."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import loaded

from bibsync.errors import first_of
from bibsync.store.embedded import EmbeddedPostgres
from tests import redis_server
from tests.redis_server import RedisServer
from tests.trials import commits, ends, kills, pauses, scene
from tests.trials.report import Tally
from tests.trials.scene import Stage, Violated

GROUPS_AT_ONCE = 3
"""Of one process: while one waits for a time-out, another goes on."""
GROUPS_TOGETHER = 6
"""Of one process, on one loaded program."""

Play = Callable[[Stage, int, int], Awaitable[Counter[str]]]


class Kind(NamedTuple):
    """A kind of trials: what plays a group of them, from its seed, and how many that is."""

    play: Play
    each: int


KINDS = {
    "kills": Kind(kills.play, kills.EACH),
    "pauses": Kind(pauses.play, pauses.EACH),
    "lost-commits": Kind(commits.play, commits.EACH),
    "ends": Kind(ends.play, ends.EACH),
}


class Group(NamedTuple):
    """Trials that share a library, and follow from a seed."""

    kind: str
    seed: int
    trials: int

    @property
    def command(self) -> str:
        return f"python -m tests.trials --{self.kind} {self.trials} --seed {self.seed}"


class Result(NamedTuple):
    """What a group came to: where its faults struck, or the violation that ended it."""

    group: Group
    struck: Counter[str]
    violation: str | None = None


class Servers(NamedTuple):
    """Where the servers are that all processes use, and the folder of compiled modules."""

    postgres: str
    redis: str | None
    bytecode: Path


def groups(kind: str, trials: int, seed: int) -> list[Group]:
    """Divide trials into groups with consecutive seeds."""
    each = KINDS[kind].each
    sizes = [each] * (trials // each) + [trials % each] * bool(trials % each)
    return [Group(kind, seed + place, size) for place, size in enumerate(sizes)]


async def play(
    wanted: dict[str, int], *, seed: int, jobs: int, tell: Callable[[str], None]
) -> list[Tally]:
    """Play so many trials of each kind; the first violation ends them."""
    tallies = {kind: Tally(kind) for kind, trials in wanted.items() if trials}
    due = [each for kind in tallies for each in groups(kind, wanted[kind], seed)]
    async with _servers() as servers:
        await asyncio.to_thread(_in_processes, due, servers, tallies, jobs=jobs, tell=tell)
    return list(tallies.values())


def _in_processes(
    due: Sequence[Group],
    servers: Servers,
    tallies: dict[str, Tally],
    *,
    jobs: int,
    tell: Callable[[str], None],
) -> None:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        begun: list[Future[list[Result]]] = [
            pool.submit(_several, servers, due[place : place + GROUPS_TOGETHER])
            for place in range(0, len(due), GROUPS_TOGETHER)
        ]
        for each in as_completed(begun):
            for group, struck, violation in each.result():
                tally = tallies[group.kind]
                tally.struck += struck
                if violation:
                    tally.violations.append(f"{violation}\n    {group.command}")
            tell(", ".join(f"{tally.trials} {kind}" for kind, tally in tallies.items()))
            if any(tally.violations for tally in tallies.values()):
                pool.shutdown(cancel_futures=True)
                return


def _several(servers: Servers, due: Sequence[Group]) -> list[Result]:
    """Play groups, the program being loaded once."""
    redis = RedisServer(servers.redis, Path()) if servers.redis else None
    with loaded.opened(servers.bytecode) as program:
        return asyncio.run(_together(Stage(servers.postgres, program, redis), due))


async def _together(stage: Stage, due: Sequence[Group]) -> list[Result]:
    gate = asyncio.Semaphore(GROUPS_AT_ONCE)

    async def one(group: Group) -> Result:
        async with gate:
            try:
                struck = await KINDS[group.kind].play(stage, group.seed, group.trials)
            except Violated as violated:
                return Result(group, Counter(), str(violated))
            except Exception as failed:  # noqa: BLE001 - whatever it is, its seed must be told
                cause = first_of(failed) if isinstance(failed, ExceptionGroup) else failed
                return Result(group, Counter(), f"{type(cause).__name__}: {cause}")
            return Result(group, struck)

    async with asyncio.TaskGroup() as tasks:
        begun = [tasks.create_task(one(each), name=each.command) for each in due]
    return [task.result() for task in begun]


@asynccontextmanager
async def _servers() -> AsyncIterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="bibsync-trials-"))
    postgres = EmbeddedPostgres(
        folder,
        fsync="off",
        full_page_writes="off",
        synchronous_commit="off",
        max_connections="200",
    )
    try:
        server = await postgres.start()
        async with scene.prepared(server):
            with _redis() as redis:
                yield Servers(server, redis, folder / "bytecode")
    finally:
        await postgres.stop()
        shutil.rmtree(folder)


@contextmanager
def _redis() -> Iterator[str | None]:
    """Run the first Redis that there is; None where there is none."""
    [kind] = redis_server.kinds()[0].values
    if not kind:
        yield None
        return
    with redis_server.opened(kind) as server:
        yield server.url
