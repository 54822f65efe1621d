"""A mutant: the program without one mechanism, and the tests that must then fail.

What is taken out is given as text, before and after, so that each mutant shows what it removes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of source, which stands exactly once in `file`, and what stands there instead."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One mechanism removed.

    Attributes:
        name: what the program does without it.
        guarantee: the number of the guarantee of docs/guarantees.md that it breaks.
        mechanism: what was removed, in words.
        edits: how; all of them together.
        tests: pytest's names of the tests that notice; at least one of them must fail.
    """

    name: str
    guarantee: int
    mechanism: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def of(file: str, test: str) -> str:
    """Return pytest's name of a test."""
    return f"{file}::{test}"
