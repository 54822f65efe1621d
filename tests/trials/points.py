"""The marked points of a run at which trials strike, in the order in which a run meets them."""

from random import Random

from tests.trials.tap import ALONE, Point, When

BEFORE, INSIDE, UNANSWERED, AFTER = When.BEFORE, When.HALFWAY, When.UNANSWERED, When.AFTER
TAKE_OVER = (
    Point("lease", AFTER),
    Point("take-over", BEFORE),
    Point("take-over", UNANSWERED),
    Point("commit of a take-over", BEFORE),
    Point("commit of a take-over", UNANSWERED),
    Point("commit of a take-over", AFTER),
)
PAGE = (
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
)
UNCHANGED_PAGE = (
    Point(ALONE, BEFORE),
    Point(ALONE, INSIDE),
    Point(ALONE, UNANSWERED),
    Point(ALONE, AFTER),
)
WINDOW = (
    Point("coverage", UNANSWERED),
    Point("commit of a window", BEFORE),
    Point("commit of a window", UNANSWERED),
    Point("commit of a window", AFTER),
)
END = (
    Point("run's end", UNANSWERED),
    Point("commit of a run", BEFORE),
    Point("commit of a run", UNANSWERED),
    Point("lease's release", BEFORE),
)
MIGRATION = (
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
ONCE_A_RUN = frozenset(each.what for each in (*TAKE_OVER, *END, *MIGRATION))
RANDOM = "a random moment"
MOST_PASSED = 80
"""Statements that a run may be left before it meets a random moment."""


def anywhere(random: Random) -> Point:
    """Choose a moment of any statement."""
    return Point(None, random.choice([*When]))


def nth(point: Point, random: Random) -> int:
    """Choose how often the point must be met: most runs meet it so often."""
    if point.what is None:
        return random.randint(1, MOST_PASSED)
    return 1 if point.what in ONCE_A_RUN else random.randint(1, 3)


def dealt(points: tuple[Point, ...], turn: int, count: int) -> list[Point]:
    """Deal `count` points, beginning where the turn before left off."""
    return [points[(turn * count + n) % len(points)] for n in range(count)]
