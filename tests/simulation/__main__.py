"""Live through many seeds, or replay one.

Prints what was done and which faults fired; exits with 1 where a guarantee was violated, and names
it and its seed. With --seed, prints the history of that one.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.simulation.many import live_through, postgres, replay


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share them")
    parser.add_argument("--seed", type=int, help="replay this one and print its history")
    given = parser.parse_args(arguments)
    with postgres() as url:
        if given.seed is not None:
            return _replay(url, given.seed)
        return _live_through(url, range(given.first, given.first + given.seeds), given.jobs)


def _replay(url: str, seed: int) -> int:
    report = replay(url, seed)
    for second, who, what in report.history:
        _say(f"{second:>14.3f} {who:<6} {what}")
    _say(report.violation or "Every guarantee was kept.")
    return report.violation is not None


def _live_through(url: str, seeds: range, jobs: int) -> int:
    began = time.monotonic()
    totals = live_through(url, seeds, jobs)
    for heading, counted in (("Faults", totals.fired), ("Runs", totals.outcomes)):
        _say(f"{heading}:")
        for kind, times in sorted(counted.items()):
            _say(f"{times:>10} {kind}")
    for seed, violation in totals.violations:
        _say(f"seed {seed}: {violation}")
    _say(
        f"{totals.seeds} seeds, {totals.fired.total()} faults, {totals.outcomes.total()} runs, "
        f"{totals.requests} requests, {len(totals.violations)} violations, "
        f"{time.monotonic() - began:.0f} s"
    )
    return bool(totals.violations)


def _say(line: str) -> None:
    print(line)  # noqa: T201 - what the command is for


if __name__ == "__main__":
    sys.exit(main())
