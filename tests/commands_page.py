"""docs/commands.md as a test reads it: its sections, and the fields that their tables name."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()
SECTIONS = {
    text.partition("\n")[0]: text for text in re.split(r"^##+ ", TEXT, flags=re.MULTILINE)[1:]
}


def fields_of(section: str) -> set[str]:
    """Return the fields that a section's table names; options are no fields."""
    own = re.sub(r"<!-- bibsync.*<!-- end -->", "", SECTIONS[section], flags=re.DOTALL)
    rows = re.findall(r"^\| (`[^|]+) \|", own, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def documented(section: str) -> set[str]:
    """Return the fields of a section and of those that it refers to."""
    by_anchor = {name.lower().replace(" ", "-"): name for name in SECTIONS}
    fields = fields_of(section)
    for anchor in re.findall(r"\]\(#([\w-]+)\)", SECTIONS[section]):
        fields |= documented(by_anchor[anchor])
    return fields
