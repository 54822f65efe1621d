"""SIGTERM and SIGINT end a run wherever it is, and leave nothing behind: a few of the trials.

`python -m tests.trials --ends 200` plays as many as one likes.
"""

from random import Random

from tests.trials import ends
from tests.trials.points import BEFORE, UNANSWERED
from tests.trials.scene import Stage
from tests.trials.tap import ALONE, Point

MARKED = (
    Point("commit of a take-over", UNANSWERED),
    Point("records", UNANSWERED),
    Point("commit of a page", BEFORE),
    Point("commit of a page", UNANSWERED),
    Point("commit of a window", UNANSWERED),
    Point(ALONE, BEFORE),
)
IN_A_MIGRATION = (Point("migration 1", UNANSWERED), Point("commit of a migration", BEFORE))


async def test_a_run_stops_when_it_is_told_to_wherever_it_is(redis: Stage):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await ends.group(redis, seed, [*MARKED, *ends.WAITS])

    assert {str(each): 1 for each in (*MARKED, *ends.WAITS)} == struck


async def test_a_run_stops_in_the_midst_of_a_migration(stage: Stage):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await ends.migrations(stage, seed, IN_A_MIGRATION)

    assert {str(each): 1 for each in IN_A_MIGRATION} == struck
