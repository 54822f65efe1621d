"""Writing MARCXML: the MARC-in-JSON that is stored becomes one record element."""

import re
from typing import Any

import orjson

from bibsync.marc.repair import ILLEGAL

SPECIAL = re.compile('[&<>"\t\n\r]')


def to_xml(marc: bytes, *, prefix: str = "marc") -> bytes:
    """Return the record as one element, without a declaration and without namespace bindings.

    Order, repeats and blanks stay as they are. Characters that XML 1.0 forbids are left out;
    a record that was read never holds any.

    Args:
        marc: MARC-in-JSON, UTF-8 encoded, as in `Record.marc`.
        prefix: what element names begin with; empty for none.
    """
    record = orjson.loads(marc)
    p = f"{prefix}:" if prefix else ""
    parts = [f"<{p}record><{p}leader>{_escaped(record['leader'])}</{p}leader>"]
    for field in record["fields"]:
        for tag, content in field.items():
            parts.append(_field(p, _escaped(tag), content))
    parts.append(f"</{p}record>")
    return "".join(parts).encode()


def _field(p: str, tag: str, content: str | dict[str, Any]) -> str:
    if isinstance(content, str):
        return f'<{p}controlfield tag="{tag}">{_escaped(content)}</{p}controlfield>'
    first, second = _escaped(content["ind1"]), _escaped(content["ind2"])
    subfields = "".join(
        f'<{p}subfield code="{_escaped(code)}">{_escaped(value)}</{p}subfield>'
        for subfield in content["subfields"]
        for code, value in subfield.items()
    )
    return f'<{p}datafield tag="{tag}" ind1="{first}" ind2="{second}">{subfields}</{p}datafield>'


def _escaped(text: str) -> str:
    """Escape for text and attributes alike; white space that a parser would change, too."""
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", ILLEGAL.sub("", text))
