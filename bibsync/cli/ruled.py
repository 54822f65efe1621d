"""A table on a terminal, laid out so that nothing in it breaks in two.

Words, numbers and times never break: only text of several words may fold, at its blanks. Where
even that is too wide for the terminal, each row becomes a block of its own, a line for each column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

NARROWEST_NAME, LONGEST_NAME, NARROWEST_SENTENCE = 12, 40, 24
"""Text folds into no narrower a column than these; what is longer than a name is a sentence."""
BETWEEN = 2
"""Columns of the terminal between two of the table."""
INDENT = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its cells, and whether they are names and sentences, or numbers."""

    heading: str
    cells: Sequence[str]
    kind: Literal["text", "number", "fixed"]

    @property
    def full(self) -> int:
        """The width in which nothing folds."""
        return max(map(cell_len, (self.heading, *self.cells)))

    @property
    def least(self) -> int:
        """The width that it needs: that of its longest word, of its longest cell if not text."""
        words = [*self.heading.split(), *(w for cell in self.cells for w in self._unbroken(cell))]
        return max(map(cell_len, words), default=0)

    def _unbroken(self, cell: str) -> list[str]:
        if self.kind != "text":
            return [cell]
        length = cell_len(cell)
        narrowest = NARROWEST_NAME if length <= LONGEST_NAME else NARROWEST_SENTENCE
        return [*cell.split(), " " * min(length, narrowest)]


def show(columns: Sequence[Column], console: Console) -> None:
    """Print the table, or a block for each row where the terminal is too narrow for it."""
    spare = console.width - BETWEEN * (len(columns) - 1) - sum(each.least for each in columns)
    if spare >= 0:
        console.print(_table(columns, _widths(columns, spare)))
    else:
        _show_blocks(columns, console)


def _widths(columns: Sequence[Column], spare: int) -> list[int]:
    """Return how wide each column is; what is spare goes to those that lack least first."""
    widths = [each.least for each in columns]
    lacking = sorted(range(len(columns)), key=lambda n: columns[n].full - widths[n])
    for done, n in enumerate(lacking):
        more = min(columns[n].full - widths[n], spare // (len(lacking) - done))
        widths[n] += more
        spare -= more
    return widths


def _table(columns: Sequence[Column], widths: Sequence[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.heading,
            justify="right" if column.kind == "number" else "left",
            width=width,
            overflow="fold",
        )
    for row in zip(*(each.cells for each in columns), strict=True):
        table.add_row(*row)
    return table


def _show_blocks(columns: Sequence[Column], console: Console) -> None:
    first, *others = columns
    for number, title in enumerate(first.cells):
        if number:
            console.print()
        console.print(title if first.kind == "text" else f"{first.heading} {title}", style="bold")
        block = Table.grid(padding=(0, BETWEEN, 0, 0), pad_edge=False)
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for each in others:
            words, zone, behind = each.heading.partition(" (")
            block.add_row(words.lower() + zone + behind, each.cells[number])
        console.print(Padding(block, (0, 0, 0, INDENT), expand=False))
