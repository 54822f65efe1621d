"""Backoff: full jitter under a doubling, capped ceiling."""

from random import Random

from hypothesis import given, settings, strategies as st

from bibsync import backoff


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers())
def test_a_wait_lies_between_nothing_and_the_doubled_ceiling(attempt: int, seed: int):
    wait_s = backoff.full_jitter(attempt, Random(seed))

    assert 0 <= wait_s <= min(backoff.LONGEST_S, 2.0**attempt)


class Extreme(Random):
    """Chance that always draws one end of the range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def test_the_ceiling_doubles_from_one_second_to_thirty():
    assert [backoff.full_jitter(n, Extreme()) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_waits_are_spread_over_the_whole_range():
    """Full jitter: clients that failed together don't come back together."""
    random = Random(7)

    waits = [backoff.full_jitter(5, random) for _ in range(400)]

    assert min(waits) < 3
    assert max(waits) > 27
    assert 12 < sum(waits) / len(waits) < 18


def test_the_same_seed_gives_the_same_waits():
    one, other = Random(3), Random(3)

    assert [backoff.full_jitter(n, one) for n in range(9)] == [
        backoff.full_jitter(n, other) for n in range(9)
    ]
