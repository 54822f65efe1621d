"""A daemon's memory after 1,000 runs is what it was after the first few."""

import gc
import sys
from pathlib import Path

from bibsync.metrics import Metrics
from bibsync.store import Pool
from tests.replica import Scene

FIRST, RUNS = 30, 1000
"""Runs before the first look, while modules are loaded and caches filled; and in all."""
GROWN = 800
"""Blocks more that chance may leave: one a run would be more."""
ASK_ALL = """
insert into requests (collection, job, trigger, requested_by, requested_at, priority, due_at)
select collection, 'purchases', 'person', 'anna', clock_timestamp(), 1, clock_timestamp()
from collections on conflict do nothing
"""

LEFT = "select exists (select from requests where state <> 'done')"


async def test_a_thousand_runs_leave_nothing_in_memory(pool: Pool, tmp_path: Path):
    """Runs with nothing new, as nearly all of them are."""
    scene = Scene(pool, tmp_path, tuple(f"library {number}" for number in range(10)))
    await scene.enrol()
    metrics = Metrics()
    replica = scene.replica(concurrency=4, witness=metrics)
    async with replica.at_work():
        await run(scene, replica.summaries, FIRST)
        before = _blocks(scene)

        await run(scene, replica.summaries, RUNS - FIRST)

        grown = _blocks(scene) - before
        assert grown < GROWN


async def run(scene: Scene, summaries: list, number: int) -> None:
    """Have so many runs made; their summaries are heard and forgotten."""
    made = 0
    while made < number:
        await scene.execute(ASK_ALL)
        scene.wake()
        while await scene.pool.fetchval(LEFT):
            await scene.execute("select pg_sleep(0.01)")
        made += len(summaries)
        summaries.clear()


def _blocks(scene: Scene) -> int:
    """Count the blocks of memory in use, the made-up vendors' notes aside."""
    for vendor in scene.vendors.values():
        for noted in (vendor.asked, vendor.look_ups, vendor.keys, vendor.askers):
            noted.clear()
    gc.collect()
    return sys.getallocatedblocks()
