"""Mnemonic text: the form in which librarians read MARC, a field a line."""

from collections.abc import Mapping
from typing import Any

import orjson


def text(row: Mapping[str, Any]) -> str:
    """Return the record's fields, blanks in control fields and indicators shown as backslashes."""
    marc = orjson.loads(row["marc"])
    lines = [f"=LDR  {marc['leader']}"]
    for field in marc["fields"]:
        ((tag, value),) = field.items()
        if isinstance(value, str):
            lines.append(f"={tag}  {value.replace(' ', chr(92))}")
            continue
        indicators = (value["ind1"] + value["ind2"]).replace(" ", "\\")
        parts = "".join(
            f"${code}{content.replace('$', '{dollar}')}"
            for subfield in value["subfields"]
            for code, content in subfield.items()
        )
        lines.append(f"={tag}  {indicators}{parts}")
    return "\n".join(lines)
