"""docs/guarantees.md: each guarantee, what it rests on, and what was done to break it.

    python -m tests.guarantees > docs/guarantees.md

The mechanisms, their tests and mutants are `mutants`; the figures of the trials are kept here and
are changed by hand, after a run on the code that they speak of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

PAGE = Path(__file__).parents[1] / "docs" / "guarantees.md"

GUARANTEES = {
    1: "Nothing is lost",
    2: "Nothing is silently dropped",
    3: "Nothing is duplicated",
    4: "A page and what it proves commit together",
    5: "A deposed run writes nothing",
    6: "Late arrivals are found",
    7: "A shifting result set loses nothing",
    8: "A forced re-import may be interrupted, and delays nothing",
    9: "Nothing is taken for gone on absence of evidence",
    10: "Secrets appear nowhere",
    11: "Memory stays flat",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A kind of trial, and what came of it.

    `struck` says how many of them the fault really befell; `guarantees` are those that each
    trial checks.
    """

    name: str
    what: str
    command: str
    trials: int
    struck: int
    violations: int
    guarantees: frozenset[int]


RUNS = "python -m tests.trials --kills 1000 --pauses 220 --lost-commits 500 --ends 200"
TRIALS = (
    Trial(
        "simulated months",
        "every fault of a vendor, late and changing records, clocks apart, crashes, pauses, lost "
        "answers, two replicas at once, a server that stops; seed after seed",
        "python -m tests.simulation --seeds 20000 --jobs 2",
        trials=20_000,
        struck=20_000,
        violations=0,
        guarantees=frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9}),
    ),
    Trial(
        "kills",
        "SIGKILL at each marked statement, before, inside and after it, and at random moments",
        RUNS,
        trials=1_000,
        struck=1_000,
        violations=0,
        guarantees=frozenset({1, 2, 3, 4, 5, 8}),
    ),
    Trial(
        "pauses",
        "SIGSTOP beyond the lease, also inside a transaction; another replica goes on meanwhile",
        RUNS,
        trials=220,
        struck=217,
        violations=0,
        guarantees=frozenset({1, 2, 3, 5}),
    ),
    Trial(
        "lost answers",
        "a COMMIT that lands and whose answer is lost, or that never arrives",
        RUNS,
        trials=500,
        struck=500,
        violations=0,
        guarantees=frozenset({1, 2, 3, 4, 5}),
    ),
    Trial(
        "signals",
        "SIGTERM and SIGINT in a page, in backoff, in a wait, while a COMMIT is under way",
        RUNS,
        trials=200,
        struck=200,
        violations=0,
        guarantees=frozenset({1, 2, 3, 4}),
    ),
    Trial(
        "fuzz",
        "mutated pages, look-ups, answers, packed bodies, MARC files and configurations",
        "python -m tests.fuzz --seconds 490",
        trials=1_725_978,
        struck=1_725_978,
        violations=0,
        guarantees=frozenset({1, 2, 9, 11}),
    ),
    Trial(
        "canaries",
        "every secret where every command and failure could show it, in every spelling",
        "python -m pytest tests/secrets",
        trials=76,
        struck=76,
        violations=0,
        guarantees=frozenset({10}),
    ),
)

HEAD = """\
# What is guaranteed, and what proves it

Each guarantee rests on mechanisms. For each mechanism there is a test, and a *mutant*: the program
without that mechanism, of which CI proves at every run that its test fails. Beside them stand
trials, in which everything that can go wrong does so at random, in simulated time and with real
processes; afterwards the store is compared with the vendor's own ledger, and a journal that the
database kept of each commit is checked for the first thing that must never happen.

This page is made by `python -m tests.guarantees > docs/guarantees.md`; a test compares them.
"""

TRIALS_HEAD = """\
## Trials

| trial | what befalls | run by | trials | struck | violations |
| --- | --- | --- | ---: | ---: | ---: |
"""

TRIALS_FOOT = """
CI runs fewer of each at every change. A violation is printed with the seed that replays it. What
holds in `n` trials is violated in fewer than 3 of `n`, with 95 % certainty.
"""

MECHANISMS_HEAD = """\
## Mechanisms

| guarantee | it rests on | test | without it (mutant) | trials | violations |
| --- | --- | --- | --- | --- | ---: |
"""

FOOT = """
`python -m tests.mutants` makes every mutant and runs its test: all {count} are caught.
`python -m tests.checker journal.jsonl truth.json` reads a journal beside the simulator's ledger and
names the first violation.
"""


def page() -> str:
    """Return the page."""
    trials = TRIALS_HEAD + "".join(_trial(each) for each in TRIALS) + TRIALS_FOOT
    mechanisms = MECHANISMS_HEAD + "".join(_rows()) + FOOT.format(count=len(MUTANTS))
    return f"{HEAD}\n{mechanisms}\n{trials}"


def _trial(each: Trial) -> str:
    counts = " | ".join(f"{n:,}" for n in (each.trials, each.struck, each.violations))
    return f"| {each.name} | {each.what} | `{each.command}` | {counts} |\n"


def _rows() -> Iterator[str]:
    for number, sentence in GUARANTEES.items():
        trials = [each for each in TRIALS if number in each.guarantees]
        counts = ", ".join(f"{each.trials:,} {each.name}" for each in trials)
        violated = sum(each.violations for each in trials)
        for each in MUTANTS:
            if each.guarantee == number:
                yield (
                    f"| {number}. {sentence} | {each.mechanism} | {_tests(each)} | {each.name} "
                    f"| {counts} | {violated} |\n"
                )


def _tests(mutant: Mutant) -> str:
    return ", ".join(_link(each) for each in mutant.tests)


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name or file}](../{file})"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the page
