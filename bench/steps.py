"""Where the client's CPU time goes: the steps of a record's way, each timed by itself.

What needs no database is timed over the same pages as the whole run is; the rest of the run is what
it does with PostgreSQL: comparing, storing, committing, choosing windows, and the log.
"""

from collections.abc import Callable, Mapping
from statistics import median

from bench import stage
from bench.contents import AGAIN
from bench.shelf import Shelf
from bench.stage import Cpu, Installation
from bench.table import Row
from bibsync import marc
from bibsync.marc import usual
from bibsync.run import Order


async def measure(url: str, *, records: int, rounds: int) -> list[Row]:
    """Time whole runs and the steps in turns, `rounds` times."""
    new, again = Shelf(records), Shelf(records, asking=1)
    bodies = list(new.bodies())
    taken: dict[str, list[float]] = {name: [] for name in ("new", "unchanged", *STEPS)}
    for _ in range(rounds):
        async with stage.installed(url) as installed:
            taken["new"].append(await _run(installed, new, Order()))
            taken["unchanged"].append(await _run(installed, again, AGAIN))
        for name, step in STEPS.items():
            cpu = Cpu()
            for body in bodies:
                step(body)
            taken[name].append(float(cpu))
    us = {name: median(seconds) / records * 1e6 for name, seconds in taken.items()}
    return rows(us)


def rows(us: Mapping[str, float]) -> list[Row]:
    """Return what each step takes of a record's time, in microseconds, and its share.

    Each of `cut`, `parsed` and `read` holds the one before.
    """
    ways = {
        "a new record": {
            "in all": us["new"],
            "cut and hashed": us["cut"],
            "parsed": us["parsed"] - us["cut"],
            "columns, JSON, fingerprint": us["read"] - us["parsed"],
            "PostgreSQL, windows, log": us["new"] - us["read"],
        },
        "an unchanged record": {
            "in all": us["unchanged"],
            "cut and hashed": us["cut"],
            "PostgreSQL, windows, log": us["unchanged"] - us["cut"],
        },
    }
    return [
        Row(
            f"{way}: {step}",
            f"{taken:.1f} µs",
            ratio=f"{taken / each['in all']:.2f}",
            figures={"us": taken, "share": taken / each["in all"]},
        )
        for way, each in ways.items()
        for step, taken in each.items()
    ]


def _cut(body: bytes) -> None:
    marc.cut(body)


def _parsed(body: bytes) -> None:
    for raw in marc.cut(body):
        usual.parsed(raw.data)


def _read(body: bytes) -> None:
    for raw in marc.cut(body):
        marc.read(raw)


STEPS: Mapping[str, Callable[[bytes], None]] = {"cut": _cut, "parsed": _parsed, "read": _read}


async def _run(installed: Installation, shelf: Shelf, order: Order) -> float:
    shelf.lay_out()
    with stage.logging_to_nowhere():
        cpu = Cpu()
        await installed.harvest(shelf, now=shelf.now, order=order)
        return float(cpu)
