"""Plays trials of real processes: kills, pauses, lost answers to COMMIT, signals.

    python -m tests.trials --kills 1000 --pauses 220 --lost-commits 500 --ends 200

Prints how many there were, how many struck and where, and what was violated: exit 1 then, with the
seed that replays it.
"""

import argparse
import asyncio
import sys
from importlib import import_module
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))  # as pytest has it


def main() -> int:
    """Play what the command line wants."""
    play, report = (import_module(f"tests.trials.{each}") for each in ("play", "report"))
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    for kind in play.KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))
    words = parser.parse_args()
    wanted = {kind: getattr(words, kind.replace("-", "_")) for kind in play.KINDS}
    print(f"seed {words.seed}", flush=True)  # noqa: T201 - the result is text

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress

    tallies = asyncio.run(play.play(wanted, seed=words.seed, jobs=words.jobs, tell=tell))
    report.show(tallies)
    return 0 if all(each.is_good for each in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
