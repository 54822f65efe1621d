"""Client CPU for records that are new, unchanged, or changed in 2 of 100, beside the ordinary way.

Both ways store the same records from the same pages into the same database, in turns: a round is
new, unchanged, changed by each way, the order being swapped from round to round. The ratio is the
median of the rounds' ratios, so what befalls one round doesn't count.
"""

import gc
from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from bench import ordinary, stage
from bench.shelf import Shelf
from bench.stage import Cpu, Installation
from bench.table import Row
from bibsync import store
from bibsync.run import Order

CHANGED = 0.02
AGAIN = Order(force_reimport=True)


@dataclass(frozen=True, slots=True)
class Phase:
    """What is read, and how many records must be written for it."""

    name: str
    shelf: Shelf
    order: Order
    written: int
    target: str = ""


async def measure(url: str, *, records: int, rounds: int) -> list[Row]:
    """Measure all three phases in `rounds` rounds."""
    changed = records // round(1 / CHANGED)
    phases = (
        Phase("new", Shelf(records), Order(), records, "≤ 0.333"),
        Phase("unchanged", Shelf(records, asking=1), AGAIN, 0, "≤ 0.04"),
        Phase("2 % changed", Shelf(records, asking=2, retitled=CHANGED), AGAIN, changed),
    )
    ours: defaultdict[str, list[float]] = defaultdict(list)
    theirs: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        stage.say(f"  round {number + 1} of {rounds}")
        async with stage.installed(url) as installed:
            await installed.pool.execute(ordinary.TABLE)
            for phase in phases:
                if number % 2:
                    ours[phase.name].append(await _ours(installed, phase))
                    theirs[phase.name].append(await _theirs(installed, phase))
                else:
                    theirs[phase.name].append(await _theirs(installed, phase))
                    ours[phase.name].append(await _ours(installed, phase))
    return [_row(phase, ours[phase.name], theirs[phase.name]) for phase in phases]


async def _ours(installed: Installation, phase: Phase) -> float:
    phase.shelf.lay_out()
    gc.collect()
    with stage.logging_to_nowhere():
        cpu = Cpu()
        summary = await installed.harvest(phase.shelf, now=phase.shelf.now, order=phase.order)
        spent = float(cpu)
    return _each(phase, spent, summary.tally.new + summary.tally.changed)


async def _theirs(installed: Installation, phase: Phase) -> float:
    bodies = list(phase.shelf.bodies())
    gc.collect()
    async with store.acquire(installed.pool) as conn:
        cpu = Cpu()
        written = await ordinary.store(conn, bodies)
        spent = float(cpu)
    return _each(phase, spent, written)


def _each(phase: Phase, spent: float, written: int) -> float:
    """Return the CPU time for each record, in seconds, if the right ones were written."""
    if written != phase.written:
        raise RuntimeError(f"{phase.name}: {written} records written, not {phase.written}")
    return spent / phase.shelf.count


def _row(phase: Phase, ours: list[float], theirs: list[float]) -> Row:
    ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
    our, their = median(ours), median(theirs)
    return Row(
        f"client CPU for a record, {phase.name}",
        f"{our * 1e6:.0f} µs",
        f"{their * 1e6:.0f} µs",
        f"{ratio:.3f}",
        phase.target,
        {
            "us": our * 1e6,
            "ordinary_us": their * 1e6,
            "ratio": ratio,
            "records_per_cpu_second": 1 / our,
            "ordinary_records_per_cpu_second": 1 / their,
        },
    )
