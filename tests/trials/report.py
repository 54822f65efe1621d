"""What trials came to: how many there were, how many struck, and where."""

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.trials.scene import MISSED

STRUCK_AT_LEAST = 0.9
"""The share of trials whose fault must have struck, else they show nothing."""


@dataclass
class Tally:
    """The trials of one kind."""

    kind: str
    struck: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def trials(self) -> int:
        return self.struck.total()

    @property
    def hits(self) -> int:
        return self.trials - self.struck[MISSED]

    @property
    def is_good(self) -> bool:
        """Whether nothing was violated, and enough struck for that to mean something."""
        return not self.violations and self.hits >= STRUCK_AT_LEAST * self.trials


def show(tallies: list[Tally]) -> None:
    """Print the table, and the violations below it."""
    table = Table("kind", "trials", "struck", "where", "violations")
    for each in tallies:
        places = {place: n for place, n in sorted(each.struck.items()) if place != MISSED}
        first = True
        for place, count in places.items():
            row = (each.kind, str(each.trials), str(each.hits)) if first else ("", "", "")
            table.add_row(*row, f"{place}: {count}", str(len(each.violations)) if first else "")
            first = False
        table.add_section()
    console = Console(width=100)
    console.print(table)
    for each in tallies:
        for violation in each.violations:
            console.print(violation, markup=False, highlight=False)
        if not each.violations and not each.is_good:
            console.print(f"{each.kind}: only {each.hits} of {each.trials} struck", markup=False)
