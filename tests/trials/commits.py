"""COMMITs whose answer gets lost, or that never arrive; the connection breaks, the process lives.

The run finds out which it was and goes on, without losing or doubling anything, in its counts
neither. Several strike one run, sometimes one right after the other.
"""

from collections import Counter
from random import Random
from typing import Any

from installation import Ended, Running

from tests.trials import scene
from tests.trials.scene import FORCED, MISSED, NAME, RUN_ONCE, Scene, Stage, Violated
from tests.trials.tap import ALONE, Point, Then, Trap, When

EACH = 30
"""Lost answers that share a library."""
SHARES = (12, 12, 6)
"""How many of them befall its first fill, what has changed then, and a re-import without news."""
COMMITS = (
    *("commit of a take-over", "commit of a preparation", "commit of a page", "commit of a window"),
    *("commit of a run", "commit of descriptions", ALONE),
)
LOST = {Point(what, When.UNANSWERED) for what in COMMITS}
NEVER_SENT = {Point(what, When.BEFORE) for what in COMMITS}
AT_FIRST = "commit of a take-over"
AT_LAST = ("commit of a run", "commit of descriptions")
IN_A_ROW = 3
"""How often at most the tries of one commit fail; one run bears that. A take-over's fails once."""
MOST_RUNS = 6
"""A run in which nothing is new may be over before so many answers got lost."""


async def play(stage: Stage, seed: int, trials: int) -> Counter[str]:
    """Lose the answers to so many commits; every third never arrives.

    Raises:
        Violated: a guarantee was, or a run ended or counted wrongly.
    """
    random = Random(f"commits {seed}")
    struck: Counter[str] = Counter()
    async with scene.opened(stage, random, windows_at_once=random.choice([1, 2, 4])) as played:
        for turn, share in enumerate(SHARES):
            left = min(-(-share * trials // EACH), trials - struck.total())
            for words in [(FORCED if turn else RUN_ONCE), *[FORCED] * MOST_RUNS]:
                befallen = await lost(played, words, left, random)
                struck += befallen
                left -= befallen.total()
                if not left:
                    break
            if turn == 0:
                played.vendor.move_on()
        struck[MISSED] = trials - struck.total()
        await played.check()
    return struck


async def lost(played: Scene, words: tuple[str, ...], most: int, random: Random) -> Counter[str]:
    """Have a run lose answers, at most so many; check what it counted; tell which they were."""
    [replica] = played.replicas
    before = dict(await played.conn.fetch(scene.STATES))
    rejects = await played.conn.fetchval("select count(*) from rejects")
    struck: Counter[str] = Counter()
    nths: list[int] = []

    def trap(last: str = "") -> Trap | None:
        if struck.total() == most:
            return None
        wanted = random.choice([LOST, LOST, NEVER_SENT])
        if not struck and random.random() < 0.5:
            return Trap([each for each in wanted if each.what == AT_FIRST], 1)
        if struck.total() == most - 1:
            return Trap([each for each in wanted if each.what in AT_LAST], random.choice([1, 2]))
        others = [each for each in wanted if each.what != AT_FIRST or last != AT_FIRST]
        nths.append(random.choice([3, 8] if nths[-IN_A_ROW:] == [1] * IN_A_ROW else [1, 1, 3, 8]))
        return Trap(others, nths[-1])

    async def lose(running: Running) -> Then:
        caught = replica.tap.trap
        struck[str(caught.struck)] += 1
        if following := trap(caught.struck.what):
            following.act = caught.act
        replica.tap.trap = following
        return Then.CUT

    running = await replica.begin(words, trap(), lose)
    ended = await running.ended()
    replica.tap.trap = None
    await _judge(played, ended, before, rejects)
    return struck


async def _judge(played: Scene, ended: Ended, before: dict[str, str], rejects: int) -> None:
    """Check that the run succeeded and counted each record once."""
    now = dict(await played.conn.fetch(scene.STATES))
    prints, reasons = played.vendor.must_have(NAME)
    if ended.code not in {0, 3} or {each["outcome"] for each in ended.documents} != {"succeeded"}:
        raise Violated(f"a run that lost answers ended with {ended.code}: {ended.err}")
    if now != prints:
        raise Violated("a run that lost answers didn't store everything")
    told: dict[str, Any] = ended.document
    expected = {
        "new": len({*now} - {*before}),
        "changed": sum(before[each] != now[each] for each in {*before} & {*now}),
        "new_rejects": reasons.total() - rejects,
    }
    counted = {name: told[name] for name in expected}
    if counted != expected:
        raise Violated(f"a run that lost answers counted {counted}, and it was {expected}")
