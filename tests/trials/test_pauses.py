"""A process that is stopped beyond its lease writes nothing more: a few of the trials.

`python -m tests.trials --pauses 200` plays as many as one likes.
"""

from random import Random

import pytest

from tests.trials import pauses
from tests.trials.points import BEFORE, INSIDE, UNANSWERED
from tests.trials.scene import MISSED, Stage
from tests.trials.tap import ALONE, Point

INSIDE_ITS_TRANSACTION = [
    Point("records", UNANSWERED),
    Point("commit of a page", BEFORE),
    Point(ALONE, INSIDE),
]
WITH_ITS_COMMIT_UNDER_WAY = [
    Point("commit of a page", INSIDE),
    Point("commit of a window", UNANSWERED),
    Point(ALONE, BEFORE),
]


@pytest.mark.parametrize("chosen", [INSIDE_ITS_TRANSACTION, WITH_ITS_COMMIT_UNDER_WAY])
async def test_a_run_that_is_paused_while_another_takes_over_ends_as_deposed(
    stage: Stage, chosen: list[Point]
):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await pauses.group(stage, seed, chosen)

    assert {f"{each}, exit {pauses.DEPOSED}": 1 for each in chosen} == struck


async def test_runs_that_are_paused_anywhere_write_nothing_more(redis: Stage):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await pauses.play(redis, seed, pauses.EACH)

    assert pauses.EACH == struck.total()
    assert struck[MISSED] <= 2  # the run was done before
