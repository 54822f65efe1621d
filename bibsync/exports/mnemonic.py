"""Mnemonic text: the form in which librarians read MARC, a field a line."""

from typing import Any

import orjson

from bibsync.exports.format import Row

LEADER = "LDR"
IN_CONTROL_FIELDS = str.maketrans({" ": "\\", "\n": "{0A}", "\r": "{0D}"})
IN_SUBFIELDS = str.maketrans({"$": "{dollar}", "\n": "{0A}", "\r": "{0D}"})
"""A line break in a value must not begin a line that looks like a field."""

Content = str | dict[str, Any]


def text(row: Row) -> str:
    """Return the record's fields, blanks in control fields and indicators shown as backslashes."""
    return "\n".join(line(tag, content) for tag, content in fields(row["marc"]))


def fields(marc: str) -> list[tuple[str, Content]]:
    """Return the fields of MARC-in-JSON in their order, the leader first, as LDR."""
    document = orjson.loads(marc)
    pairs: list[tuple[str, Content]] = [(LEADER, document["leader"])]
    for field in document["fields"]:
        pairs += field.items()
    return pairs


def line(tag: str, content: Content) -> str:
    """Return one field."""
    if isinstance(content, str):
        shown = content if tag == LEADER else content.translate(IN_CONTROL_FIELDS)
        return f"={tag}  {shown}"
    indicators = (content["ind1"] + content["ind2"]).replace(" ", "\\")
    parts = "".join(
        f"${code}{value.translate(IN_SUBFIELDS)}"
        for subfield in content["subfields"]
        for code, value in subfield.items()
    )
    return f"={tag}  {indicators}{parts}"
