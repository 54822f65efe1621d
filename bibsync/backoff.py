"""How long to wait before asking again: exponential, with full jitter. No I/O, no clock."""

from random import Random

FIRST_S = 1.0
LONGEST_S = 30.0
"""A wait above this isn't waited for inside a run: the attempt is parked instead."""


def full_jitter(attempt: int, random: Random) -> float:
    """Return seconds between 0 and FIRST_S doubled `attempt` times (0 for the first), capped."""
    return random.uniform(0.0, min(LONGEST_S, FIRST_S * 2**attempt))
