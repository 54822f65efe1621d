"""Nothing is lost, doubled or left behind by processes that are killed: a few of the trials.

`python -m tests.trials --kills 1000` plays as many as one likes.
"""

from collections import Counter
from random import Random

import pytest

from tests.trials import kills, points
from tests.trials.scene import MISSED, Stage

RANDOM_KILLS = 10


@pytest.mark.parametrize("number", range(2))
async def test_runs_killed_at_marked_and_random_points_lose_double_and_leave_nothing(
    stage: Stage, number: int
):
    seed = Random().randrange(10**6) + number
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await kills.group(stage, seed, [*kills.POINTS, *[None] * RANDOM_KILLS])

    expected = Counter({str(each): 1 for each in kills.POINTS} | {points.RANDOM: RANDOM_KILLS})
    assert (expected - struck).total() == struck[MISSED]
    assert struck[MISSED] <= 4  # the run was done before


async def test_a_run_killed_in_a_migration_leaves_all_of_the_schema_or_none(stage: Stage):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await kills.migrations(stage, seed, points.MIGRATION)

    assert Counter(str(each) for each in points.MIGRATION) == struck
