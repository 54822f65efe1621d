"""Processes that are asked to stop: SIGTERM and SIGINT wherever a run may be.

It ends with 143 or 130 without finishing its work; what was stored stays, its run has ended, its
lease is free, and the next run goes on from there.

A statement during which the signal comes is held back until the process has had it cancelled: so
the answer to a COMMIT comes when nobody wants it any more.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random

from installation import Running, until

from tests.trials import points, scene
from tests.trials.points import MIGRATION, PAGE, TAKE_OVER, UNCHANGED_PAGE, WINDOW
from tests.trials.scene import FORCED, MISSED, NAME, RUN_ONCE, Scene, Stage, Violated
from tests.trials.tap import Point, Then, Trap, When

EACH = 12
"""Signals that share a library."""
MIGRATIONS_EVERY = 10
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
WITHIN_S = 25.0
"""A run bears with each of the waits below for longer; to stop, it may take 30 s (`drain`)."""
PAUSE_S = 28
"""How long the vendor asks to be left alone, which is not long enough for a run to end."""
FOR_A_LEASE = "waiting for a lease"
HELD = (*PAGE, *WINDOW, *TAKE_OVER, *UNCHANGED_PAGE)
SOMEBODY = """
insert into leases (
    collection, stream, holder, replica, machine, process, process_began, since, expires_at
)
select
    collection, 'purchases', 'somebody', 'elsewhere:1', 'elsewhere', 1, 0, now(), now() + '1 hour'
from collections
on conflict (collection, stream) do update
set holder = excluded.holder, machine = excluded.machine, expires_at = excluded.expires_at
"""
NOBODY = """
update leases set expires_at = '-infinity' where holder = 'somebody' and expires_at > now()
returning true
"""
HELD_LEASES = """
select holder from leases where expires_at >= clock_timestamp() and holder <> 'somebody'
"""
WAITING = """
exists (
    select from pg_locks
    where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))
)
"""


async def play(stage: Stage, seed: int, trials: int) -> Counter[str]:
    """Send so many signals: half of them at marked points, the others during waits; or migrations.

    Raises:
        Violated: a guarantee was.
    """
    if seed % MIGRATIONS_EVERY == 0:
        turn = seed // MIGRATIONS_EVERY
        return await migrations(stage, seed, points.dealt(MIGRATION, turn, trials))
    marked = points.dealt(HELD, seed, -(-trials // 2))
    waits = [[*WAITS][(seed + n) % len(WAITS)] for n in range(trials - len(marked))]
    return await group(stage, seed, [*marked, *waits])


async def group(stage: Stage, seed: int, chosen: Sequence[Point | str]) -> Counter[str]:
    """Stop a run at each of these points and in each of these waits; tell where it was stopped.

    Raises:
        Violated: a guarantee was.
    """
    random = Random(f"ends {seed}")
    struck: Counter[str] = Counter()
    stage = stage._replace(redis=random.choice([None, stage.redis]))
    async with scene.opened(
        stage, random, windows_at_once=random.choice([1, 2, 4]), retry_after_s=PAUSE_S
    ) as played:
        unchanged = [each for each in chosen if each in UNCHANGED_PAGE]
        others = [each for each in chosen if each not in unchanged]
        random.shuffle(others)
        for place, where in enumerate(others):
            words = FORCED if place > len(others) // 2 else RUN_ONCE
            struck[await stopped(played, words, where, random)] += 1
            if words is FORCED:
                played.vendor.move_on()
        for where in unchanged:
            await played.finish(*FORCED)
            struck[await stopped(played, FORCED, where, random)] += 1
        played.vendor.move_on()
        await played.finish(*FORCED)
        await played.check()
    return struck


async def migrations(stage: Stage, seed: int, chosen: Sequence[Point]) -> Counter[str]:
    """Stop as many first runs in their migration, each of them on an empty database.

    Raises:
        Violated: the schema was made by halves, or the next run went wrong.
    """
    random = Random(f"ended migrations {seed}")
    struck: Counter[str] = Counter()
    for point in chosen:
        async with scene.opened(stage, random, titles=30, empty=True) as played:
            where = await stopped(played, RUN_ONCE, point, random)
            struck[where] += 1
            if where != MISSED:
                await played.check_migrated()
    return struck


async def stopped(played: Scene, words: Sequence[str], where: Point | str, random: Random) -> str:
    """Begin a run and stop it there; check how it ended, and that it let go of everything."""
    number = random.choice([*CODES])
    async with asyncio.timeout(WITHIN_S * 4):
        if isinstance(where, Point):
            running = await _at(played, words, where, number, random)
        else:
            running = await WAITS[where](played, words, number, random)
        try:
            ended = await running.ended(within_s=WITHIN_S)
        except TimeoutError:
            raise Violated(f"{number.name}, {where}: the run didn't stop") from None
    if played.conn.is_in_transaction():
        await played.conn.execute("rollback")
    played.vendor.forget()
    played.vendor.answer_rightly()
    played.forget(f"bibsync:pause:*{played.vendor.port}*")  # which all runs would keep
    if where not in MIGRATION:
        somebodys = await played.conn.fetchval(NOBODY)
        if where == FOR_A_LEASE and not somebodys:
            raise Violated(f"{number.name}, {where}: the lease was taken from its holder")
        if holders := await played.conn.fetch(HELD_LEASES):
            raise Violated(f"{number.name}, {where}: {len(holders)} leases are still held")
    if ended.code in {0, 3}:
        return MISSED
    if ended.code != CODES[number]:
        raise Violated(f"{number.name}, {where}: the run ended with {ended.code}: {ended.err}")
    return str(where)


async def _at(
    played: Scene, words: Sequence[str], point: Point, number: signal.Signals, random: Random
) -> Running:
    """Send the signal at a point; a statement under way is done when it was to be cancelled."""
    [replica] = played.replicas

    async def send(running: Running) -> Then:
        running.send(number)
        if point.when is not When.AFTER:
            await replica.tap.cancelled.wait()
        return Then.GOES_ON

    return await replica.begin(words, Trap({point}, points.nth(point, random)), send)


async def _in_a_request(
    played: Scene, words: Sequence[str], number: signal.Signals, random: Random
) -> Running:
    """The vendor doesn't answer."""
    before = random.randint(0, 3)
    played.vendor.next_answers(NAME, ["ok"] * before + ["timeout"], resource="data/marc")
    [replica] = played.replicas
    running = await replica.begin(words)
    played.vendor.then(before + 1, lambda: running.send(number))
    return running


async def _in_a_pause(
    played: Scene, words: Sequence[str], number: signal.Signals, random: Random
) -> Running:
    """The vendor asks for a pause, and the run has said that it will ask again."""
    before = random.randint(0, 3)
    busy = ["ok"] * before + ["http_503_retry_after"]
    played.vendor.next_answers(NAME, busy, resource="data/marc")
    running = await played.replicas[0].begin(words)
    while line := await running.process._err.readline():
        if b'"request.retried"' in line:
            running.send(number)
            break
    return running


async def _for_a_lease(
    played: Scene, words: Sequence[str], number: signal.Signals, random: Random
) -> Running:
    """Somebody on another machine holds the lease, and the run looks for it now and then."""
    [replica] = played.replicas

    async def hold(running: Running) -> Then:
        await played.conn.execute(SOMEBODY)
        found = {Point("lease", When.AFTER)}
        replica.tap.trap = Trap(found, random.randint(1, 2), partial(send, running))
        return Then.GOES_ON

    async def send(running: Running) -> Then:
        running.send(number)
        return Then.GOES_ON

    trap = Trap({Point("lease", When.BEFORE)}, 1)
    return await replica.begin([*words, "--wait-lock", "5m"], trap, hold)


async def _for_the_fence(
    played: Scene, words: Sequence[str], number: signal.Signals, random: Random
) -> Running:
    """Somebody at psql has locked the fence's row, and PostgreSQL has the statement wait for it.

    A request to cancel it that came before that would be in vain.
    """
    [replica] = played.replicas
    nth = random.randint(1, 3)

    async def lock(running: Running) -> Then:
        await played.conn.execute("begin; select from fences for update")
        replica.tap.trap = Trap({Point("fence", When.HALFWAY)}, 1, partial(send, running))
        return Then.GOES_ON

    async def send(running: Running) -> Then:
        await until(played.conn, WAITING)
        running.send(number)
        return Then.GOES_ON

    return await replica.begin(words, Trap({Point("fence", When.BEFORE)}, nth), lock)


WAITS = {
    "in a request": _in_a_request,
    "in a pause that the vendor asked for": _in_a_pause,
    FOR_A_LEASE: _for_a_lease,
    "waiting for the fence's row": _for_the_fence,
}
