"""python -m tests.mutants: take each mechanism out, and prove that the tests notice.

Prints a line for each mutant; exits 1 if one of them goes unnoticed.
"""

import argparse
import asyncio
import sys

from tests.mutants import workshop
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant


async def _each(wanted: list[Mutant], at_once: int) -> int:
    places = asyncio.Queue[str]()
    for number in range(at_once):
        places.put_nowait(f"mutant{number}")

    async def one(mutant: Mutant) -> bool:
        place = await places.get()
        try:
            verdict = await workshop.tried(mutant, PYTEST_XDIST_WORKER=place)
            word = "caught" if verdict.caught else f"NOT CAUGHT, pytest exited with {verdict.code}"
        except workshop.NotMade as missing:
            word = f"NOT MADE: {missing}"
        places.put_nowait(place)
        print(f"{mutant.guarantee:>2}  {mutant.name}: {word}", flush=True)  # noqa: T201 - the result
        return word == "caught"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each), name=each.name) for each in wanted]
    caught = sum(task.result() for task in tasks)
    print(f"{caught} of {len(wanted)} caught")  # noqa: T201 - the result
    return 0 if caught == len(wanted) else 1


def main() -> int:
    """Read the command line and try the mutants."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="WORDS", default="", help="those whose name has them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at once")
    given = parser.parse_args()
    wanted = [each for each in MUTANTS if given.only in each.name]
    return asyncio.run(_each(wanted, given.jobs))


if __name__ == "__main__":
    sys.exit(main())
