"""A COMMIT without an answer is neither lost nor made twice: a few of the trials.

`python -m tests.trials --lost-commits 500` plays as many as one likes.
"""

from random import Random

from tests.trials import commits
from tests.trials.scene import MISSED, Stage
from tests.trials.tap import When


async def test_a_run_whose_commits_go_unanswered_stores_and_counts_each_record_once(stage: Stage):
    seed = Random().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it

    struck = await commits.play(stage, seed, commits.EACH)

    assert commits.EACH == struck.total()
    assert struck[MISSED] <= 3
    assert {When.BEFORE, When.UNANSWERED} <= {each.rsplit(", ", 1)[-1] for each in struck}
