"""Processes that are killed without warning, at marked and at random points; then one that isn't.

A group of kills shares a library: its first fill, then what the vendor has changed, then a
re-import in which nothing is new. After each of the three a run goes to its end by itself.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from random import Random

from installation import Running

from bibsync.simulator import Faults
from bibsync.store import schema
from tests import journal
from tests.trials import scene
from tests.trials.scene import FAULTS, FORCED, MISSED, RUN_ONCE, Moving, Scene, Stage, Violated
from tests.trials.tap import ALONE, Point, Then, Trap, When

BEFORE, INSIDE, UNANSWERED, AFTER = When.BEFORE, When.HALFWAY, When.UNANSWERED, When.AFTER
POINTS = (
    Point("lease", AFTER),
    Point("take-over", BEFORE),
    Point("take-over", UNANSWERED),
    Point("commit of a take-over", BEFORE),
    Point("commit of a take-over", UNANSWERED),
    Point("commit of a take-over", AFTER),
    Point("fence", BEFORE),
    Point("fence", INSIDE),
    Point("fence", AFTER),
    Point("records", INSIDE),
    Point("records", UNANSWERED),
    Point("checkpoint", UNANSWERED),
    Point("commit of a page", BEFORE),
    Point("commit of a page", INSIDE),
    Point("commit of a page", UNANSWERED),
    Point("commit of a page", AFTER),
    Point("coverage", UNANSWERED),
    Point("commit of a window", BEFORE),
    Point("commit of a window", UNANSWERED),
    Point("commit of a window", AFTER),
    Point("run's end", UNANSWERED),
    Point("commit of a run", BEFORE),
    Point("commit of a run", UNANSWERED),
    Point("lease's release", BEFORE),
    Point(ALONE, BEFORE),
    Point(ALONE, INSIDE),
    Point(ALONE, UNANSWERED),
    Point(ALONE, AFTER),
)
MIGRATING = (
    Point("migration's lock", AFTER),
    Point("migration's table", AFTER),
    Point("migration 1", INSIDE),
    Point("migration 1", UNANSWERED),
    Point("migration's note", UNANSWERED),
    Point("migration 2", UNANSWERED),
    Point("commit of a migration", BEFORE),
    Point("commit of a migration", INSIDE),
    Point("commit of a migration", UNANSWERED),
    Point("commit of a migration", AFTER),
)
ONCE_A_RUN = frozenset(
    {
        *("lease", "take-over", "commit of a take-over"),
        *("run's end", "commit of a run", "lease's release"),
        *(each.what for each in MIGRATING),
    }
)
MOST_PASSED = 150
"""Statements that a run may be left before a random kill."""
EACH = 14
"""Kills that share a library."""
MIGRATIONS_EVERY = 10
RANDOM = "a random moment"


async def play(stage: Stage, seed: int, trials: int) -> Counter[str]:
    """Play so many kills: half of them at marked points, or all of them in migrations.

    Groups of consecutive seeds go through all the points.

    Raises:
        Violated: a guarantee was.
    """
    if seed % MIGRATIONS_EVERY == 0:
        return await migrations(stage, seed, _dealt(MIGRATING, seed // MIGRATIONS_EVERY, trials))
    marked = _dealt(POINTS, seed, -(-trials // 2))
    return await group(stage, seed, [*marked, *[None] * (trials - len(marked))])


def _dealt(points: Sequence[Point], turn: int, count: int) -> list[Point]:
    """Deal `count` points, beginning where the turn before left off."""
    return [points[(turn * count + n) % len(points)] for n in range(count)]


async def group(stage: Stage, seed: int, points: Sequence[Point | None]) -> Counter[str]:
    """Kill at each of these points, None standing for a random one; tell where it struck.

    Raises:
        Violated: a guarantee was.
    """
    random = Random(f"kills {seed}")
    struck: Counter[str] = Counter()
    faults = random.choice([FAULTS, Faults.none()])
    async with scene.opened(
        stage, random, faults=faults, windows_at_once=random.choice([1, 2, 4])
    ) as played:
        unchanged = [each for each in points if each and each.what == ALONE]
        others = [each for each in points if each not in unchanged]
        random.shuffle(others)
        others.sort(key=_comes_in_every_run)
        for turn, (words, chosen) in enumerate(
            [(RUN_ONCE, others[::2]), (FORCED, others[1::2]), (FORCED, unchanged)]
        ):
            played.vendor.faults = faults
            for point in chosen:
                struck[await killed(played, words, point, random)] += 1
            await played.finish(*(words if turn else RUN_ONCE))
            played.vendor.move_on()
        await played.check()
    return struck


def _comes_in_every_run(point: Point | None) -> bool:
    """Tell whether a run meets the point even where nothing is left to read: those have time."""
    return point is None or point.what in ONCE_A_RUN


async def migrations(stage: Stage, seed: int, points: Sequence[Point]) -> Counter[str]:
    """Kill as many first runs in their migration, each of them on an empty database.

    The next run makes the schema, or finds it whole, and does its work.

    Raises:
        Violated: the schema was made by halves, or that run went wrong.
    """
    random = Random(f"migrations {seed}")
    struck: Counter[str] = Counter()
    for point in points:
        async with scene.opened(stage, random, titles=30, empty=True) as played:
            where = await killed(played, RUN_ONCE, point, random)
            struck[where] += 1
            if where == MISSED:
                continue
            found = await schema.state(played.conn)
            if found.applied and found.missing:
                raise Violated(f"{found.missing} are missing beside {found.applied}")
            await played.replicas[0].installation.run("db", "upgrade")
            await journal.switch_on(played.conn)
            played.vendor.move_on()
            await played.finish()
            await played.check()
    return struck


async def killed(played: Scene, words: Sequence[str], point: Point | None, random: Random) -> str:
    """Begin a run and kill it at a point; return where that was, `missed` where it was nowhere."""
    [replica] = played.replicas
    begun: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def kill() -> Then:
        (await begun).kill()
        return Then.CUT

    by_request = point is None and random.random() < 0.5
    where = point or Point(None, random.choice([*When]))
    trap = Trap(where, _nth(where, random), kill)
    replica.tap.trap = None if by_request else trap
    running = await replica.installation.fork(*words)
    begun.set_result(running)
    if by_request:
        _kill_later(played.vendor, running, random)
    ended = await running.ended()
    played.vendor.forget()
    replica.tap.trap = None
    if ended.code != 128 + signal.SIGKILL:
        return MISSED
    return str(point) if point else RANDOM


def _nth(point: Point, random: Random) -> int:
    """Choose how often a run is let past the point, and once more."""
    if point.what is None:
        return random.randint(1, MOST_PASSED)
    return 1 if point.what in ONCE_A_RUN else random.randint(1, 3)


def _kill_later(vendor: Moving, running: Running, random: Random) -> None:
    """Kill it within moments of a random request."""
    loop, moment = asyncio.get_running_loop(), random.uniform(0, 0.02)
    vendor.then(random.randint(1, 14), lambda: loop.call_later(moment, running.kill))
