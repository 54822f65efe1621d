"""A process is stopped beyond its lease; another one takes over; the first one is let go on.

It writes nothing more under its old fence and ends as deposed, wherever it was stopped: before a
statement, in the middle of one, inside its transaction, with its COMMIT under way. What it had sent
before it was stopped reaches PostgreSQL when it goes on, which is later than ever it could.

No lease is waited for: it is expired in PostgreSQL, and forgotten by Redis where there is one.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from random import Random

from installation import Ended, Running

from bibsync import store
from bibsync.replicas import client
from bibsync.simulator import Faults
from tests import journal
from tests.journal import Entry
from tests.trials import points, scene
from tests.trials.points import END, PAGE, TAKE_OVER, UNCHANGED_PAGE, WINDOW
from tests.trials.scene import FAULTS, FORCED, MISSED, RUN_ONCE, Replica, Scene, Stage, Violated
from tests.trials.tap import Point, Then, Trap

EACH = 6
"""Pauses that share a library."""
POINTS = (*PAGE, *WINDOW, *TAKE_OVER, *END)
WITHIN_S = 240.0
DEPOSED = 11
UNAVAILABLE = 7
CONNECTING_S = {"database_unavailable": store.ACQUIRE_S, "redis_unavailable": client.START_S}
"""A run that was paused for longer while it connected, before it took over, gives up with these.

So does one that connects while another stands still with the lock of enrolment and has not yet said
to PostgreSQL that its statement is over: no timeout of a session begins before that."""
FINE = {0, 3, 6, DEPOSED}
"""What a run may end with that wasn't deposed: 3 and 6 where its vendor errs."""
LEASES_S = (2, 60)
"""With the shorter one a paused run knows by itself, once it goes on, that its lease ran out."""
OVERLAPS = 0.5
"""The share of pauses that end while the other run is still at work."""
A_REQUEST = "a request to the vendor"
EXPIRE = "update leases set expires_at = '-infinity'"
LAST = "select coalesce(max(number), 0) from journal"
ABANDONED = "select stream, epoch from runs where outcome = 'interrupted'"


async def play(stage: Stage, seed: int, trials: int) -> Counter[str]:
    """Play so many pauses, at marked points, in requests and at random moments.

    Raises:
        Violated: a guarantee was.
    """
    marked = points.dealt(POINTS, seed, -(-trials // 2))
    unchanged = points.dealt(UNCHANGED_PAGE, seed, trials // 6)
    anywhere = [None] * (trials - len(marked) - len(unchanged))
    lease_s = Random(f"lease {seed}").choice(LEASES_S)
    return await group(stage, seed, [*marked, *anywhere, *unchanged], lease_s=lease_s)


async def group(
    stage: Stage, seed: int, chosen: Sequence[Point | None], *, lease_s: int = 60
) -> Counter[str]:
    """Pause a run at each of these points, in this order, None standing for any moment.

    The first run fills the library; before the second one the vendor moves on. `lease_s` is how
    long leases of the run that is paused last by themselves.

    Raises:
        Violated: a guarantee was.
    """
    random = Random(f"pauses {seed}")
    struck: Counter[str] = Counter()
    stage = stage._replace(redis=random.choice([None, stage.redis]))
    async with scene.opened(
        stage,
        random,
        faults=random.choice([FAULTS, Faults.none(), Faults.none()]),
        leases_s={"first": lease_s, "other": 60},
        windows_at_once=random.choice([1, 2, 4]),
    ) as played:
        for turn, point in enumerate(chosen):
            if turn == 1:
                played.vendor.move_on()
            if point in UNCHANGED_PAGE:  # after which nothing is new, and no lane half read
                await played.finish(*FORCED)
            words = FORCED if turn else RUN_ONCE
            struck[await paused(played, words, point, random)] += 1
        await played.finish(*FORCED)
        await played.check()
    return struck


async def paused(played: Scene, words: Sequence[str], point: Point | None, random: Random) -> str:
    """Stop a run at a point, let another one work, let it go on; return where that was."""
    first, other = played.replicas
    since = await played.conn.fetchval(LAST)
    held, free = asyncio.Event(), asyncio.Event()
    loop, paused_s = asyncio.get_running_loop(), 0.0

    async def stop(running: Running) -> Then:
        running.send(signal.SIGSTOP)
        held.set()
        await free.wait()
        return Then.GOES_ON

    where = point or random.choice([points.anywhere(random), None])
    trap = Trap({where}, points.nth(where, random)) if where else None
    running = await first.begin(words, trap, stop)
    if trap is None:
        played.vendor.then(random.randint(1, 8), lambda: (held.set(), running.send(signal.SIGSTOP)))
    others: asyncio.Task[Ended] | None = None
    async with asyncio.TaskGroup() as group:
        ending = group.create_task(running.ended(within_s=WITHIN_S), name="the run that is paused")
        ending.add_done_callback(lambda _: held.set())
        await held.wait()
        if not ending.done():
            began = loop.time()
            others = await _meanwhile(played, other, random, group)
            free.set()
            running.send(signal.SIGCONT)
            paused_s = loop.time() - began
    free.set()
    played.vendor.forget()
    if others is None:
        return MISSED
    told = await _nobody_writes_late(played, since)
    abandoned = {tuple(row) for row in await played.conn.fetch(ABANDONED)}
    _judge(told, abandoned, first, ending.result(), paused_s=paused_s)
    held_up_s = paused_s if trap and trap.struck and trap.struck.when is points.INSIDE else 0.0
    _judge(told, abandoned, other, others.result(), paused_s=held_up_s)
    chosen = A_REQUEST if trap is None else points.RANDOM
    return f"{point or chosen}, exit {ending.result().code}"


async def _meanwhile(
    played: Scene, other: Replica, random: Random, group: asyncio.TaskGroup
) -> asyncio.Task[Ended]:
    """Have another replica take over; return when it is done, or in the midst of its work."""
    await expire(played)
    until = asyncio.Event()
    if random.random() < OVERLAPS:
        played.vendor.then(random.randint(1, 8), until.set)
    running = await other.begin(RUN_ONCE)
    ending = group.create_task(running.ended(within_s=WITHIN_S), name="the run that takes over")
    ending.add_done_callback(lambda _: until.set())
    await until.wait()
    return ending


async def expire(played: Scene) -> None:
    """End every lease, as if its time had passed."""
    await played.conn.execute(EXPIRE)
    scope = await store.identity(played.conn)
    played.forget(f"bibsync:lease:{scope}:*")


async def _nobody_writes_late(played: Scene, since: int) -> list[Entry]:
    """Check that nobody wrote after being deposed; return what was written."""
    told = await journal.entries(played.conn, after=since)
    raised: dict[str, Entry] = {}
    for each in told:
        if each.kind == "raised":
            raised[each.stream] = each
        elif (by := raised.get(each.stream)) and (each.writer, each.epoch) != (by.writer, by.epoch):
            raise Violated(f"{each.writer} wrote {each.kind} after {by.writer} had taken over")
    return told


def _judge(
    told: Sequence[Entry],
    abandoned: set[tuple[str, int]],
    replica: Replica,
    its: Ended,
    *,
    paused_s: float,
) -> None:
    """Check that a run ended as deposed if it was, and else as one that was never paused."""
    mine = {(e.stream, e.epoch) for e in told if e.kind == "raised" and e.writer == replica.name}
    fine = {DEPOSED} if mine & abandoned else FINE
    if not mine and any(code in its.err and s <= paused_s for code, s in CONNECTING_S.items()):
        fine = {UNAVAILABLE}
    if its.code not in fine:
        raise Violated(f"{replica.name} ended with {its.code}, not {fine}: {its.err}")
