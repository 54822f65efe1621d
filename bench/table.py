"""Figures as a table in Markdown, and as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HEAD = ("measured", "bibsync", "ordinary way", "ratio", "target")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `figures` are its numbers for programs."""

    name: str
    value: str
    ordinary: str = ""
    ratio: str = ""
    target: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def document(rows: Iterable[Row], machine: Mapping[str, object]) -> dict[str, object]:
    """Return the figures for programs: a target missed or met is for them to say."""
    figures = [{"measured": row.name, "target": row.target, **row.figures} for row in rows]
    return {"machine": machine, "figures": figures}


def markdown(rows: Iterable[Row]) -> str:
    """Return the table."""
    cells = [HEAD, *((r.name, r.value, r.ordinary, r.ratio, r.target) for r in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(ruler) + " |")
    return "\n".join(lines)
