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
from tests.trials import points, scene
from tests.trials.points import END, MIGRATION, ONCE_A_RUN, PAGE, TAKE_OVER, UNCHANGED_PAGE, WINDOW
from tests.trials.scene import FAULTS, FORCED, MISSED, RUN_ONCE, Moving, Scene, Stage
from tests.trials.tap import Point, Then, Trap

POINTS = (*TAKE_OVER, *PAGE, *WINDOW, *END, *UNCHANGED_PAGE)
EACH = 14
"""Kills that share a library."""
MIGRATIONS_EVERY = 10
BY_REQUEST = 0.5
"""The share of random kills that follow a request to the vendor, not a statement."""


async def play(stage: Stage, seed: int, trials: int) -> Counter[str]:
    """Play so many kills: half of them at marked points, or all of them in migrations.

    Groups of consecutive seeds go through all the points.

    Raises:
        Violated: a guarantee was.
    """
    if seed % MIGRATIONS_EVERY == 0:
        return await migrations(
            stage, seed, points.dealt(MIGRATION, seed // MIGRATIONS_EVERY, trials)
        )
    marked = points.dealt(POINTS, seed, -(-trials // 2))
    return await group(stage, seed, [*marked, *[None] * (trials - len(marked))])


async def group(stage: Stage, seed: int, chosen: Sequence[Point | None]) -> Counter[str]:
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
        unchanged = [each for each in chosen if each in UNCHANGED_PAGE]
        others = [each for each in chosen if each not in unchanged]
        random.shuffle(others)
        others.sort(key=_has_time)
        for turn, (words, now) in enumerate(
            [(RUN_ONCE, others[::2]), (FORCED, others[1::2]), (FORCED, unchanged)]
        ):
            played.vendor.faults = faults
            for point in now:
                struck[await killed(played, words, point, random)] += 1
            await played.finish(*(words if turn else RUN_ONCE))
            played.vendor.move_on()
        await played.check()
    return struck


def _has_time(point: Point | None) -> int:
    """Order points: those last that a run meets even where nothing is left to read."""
    if point is None:
        return 1
    return 2 if point.what in ONCE_A_RUN else 0


async def migrations(stage: Stage, seed: int, chosen: Sequence[Point]) -> Counter[str]:
    """Kill as many first runs in their migration, each of them on an empty database.

    The next run makes the schema, or finds it whole, and does its work.

    Raises:
        Violated: the schema was made by halves, or that run went wrong.
    """
    random = Random(f"migrations {seed}")
    struck: Counter[str] = Counter()
    for point in chosen:
        async with scene.opened(stage, random, titles=30, empty=True) as played:
            where = await killed(played, RUN_ONCE, point, random)
            struck[where] += 1
            if where != MISSED:
                await played.check_migrated()
    return struck


async def killed(played: Scene, words: Sequence[str], point: Point | None, random: Random) -> str:
    """Begin a run and kill it at a point; return where that was, `missed` where it was nowhere."""
    [replica] = played.replicas

    async def kill(running: Running) -> Then:
        running.kill()
        return Then.CUT

    if point is None and random.random() < BY_REQUEST:
        running = await replica.begin(words)
        _kill_later(played.vendor, running, random)
    else:
        where = point or points.anywhere(random)
        running = await replica.begin(words, Trap({where}, points.nth(where, random)), kill)
    ended = await running.ended()
    played.vendor.forget()
    if ended.code != 128 + signal.SIGKILL:
        return MISSED
    return str(point) if point else points.RANDOM


def _kill_later(vendor: Moving, running: Running, random: Random) -> None:
    """Kill it within moments of a random request."""
    loop, moment = asyncio.get_running_loop(), random.uniform(0, 0.02)
    vendor.then(random.randint(1, 10), lambda: loop.call_later(moment, running.kill))
