"""500 seeded histories amid faults keep every guarantee, and each seed is one history."""

from collections.abc import Iterator

import pytest

from tests.simulation.database import STATEMENTS, Server
from tests.simulation.faults import PLAIN, WEIGHTS
from tests.simulation.many import Totals, opened
from tests.simulation.seeds import simulate

SEEDS = 100
CHUNKS = range(5)
LOST = {f"connection lost {when} {what}" for when in ("before", "after") for what in STATEMENTS}
AMID = {f"{what} while paging" for what in ("shown", "withdrawn", "edited")}
BLOWS = {"crash", "cancellation", "pause"}
ORDERS = {"order: reimport", "order: backfill", "order: limited", "start_date changed"}
CLOCKS = {f"clock of {whose} stepped" for whose in ("server", "vendor", "a replica")}
KINDS = {
    *PLAIN,
    *(set(WEIGHTS) - {"plain"}),
    *LOST,
    *AMID,
    *BLOWS,
    *ORDERS,
    *CLOCKS,
    "blank and believed",
    "edited behind an answer",
    "lease granted to all",
    "leases flushed",
    "server stopped",
}
"""Every kind of fault, each of which fires in each hundred seeds."""


@pytest.fixture
def simulated(database: str) -> Iterator[Server]:
    with opened(database) as server:
        yield server


@pytest.mark.parametrize("chunk", CHUNKS)
def test_every_guarantee_is_kept_amid_faults(simulated: Server, chunk: int):
    totals = Totals()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        print(f"seed {seed}: python -m tests.simulation --seed {seed}")  # noqa: T201 - replays it
        totals.add(simulate(simulated, seed))

        assert totals.violations == []
    assert set(totals.fired) >= KINDS


def test_a_seed_is_one_history(simulated: Server):
    """What is asked and committed, and when, depends on the seed alone."""
    told = set()
    for seed in range(10):
        once, again = simulate(simulated, seed), simulate(simulated, seed)
        told |= {what for _, _, what in once.history}

        assert once.history == again.history
    assert told >= {"commit", "alone"}
