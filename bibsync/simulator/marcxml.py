"""MARCXML as the vendor writes it: fields, records, pages.

A record is one `<marc:record>` element in UTF-8 without a declaration; a page is the
`<marc:collection>` around such elements.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from xml.sax.saxutils import escape

SLIM = "http://www.loc.gov/MARC21/slim"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8" ?>'
_SCHEMA = (
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="'
    f'{SLIM} http://www.loc.gov/standards/marcxml/schema/MARC21slim.xsd"'
).encode()
_WORDS = rb"(record|leader|controlfield|datafield|subfield)\b"
_TAG = re.compile(rb"<(/?)(?:[\w.-]+:)?" + _WORDS)


class Prefix(Enum):
    """How a page names MARC's namespace."""

    MARC = b"marc:"
    OTHER = b"mx:"
    NONE = b""


def control(tag: str, text: str) -> str:
    """Return a control field."""
    return f'<marc:controlfield tag="{tag}">{escape(text)}</marc:controlfield>'


def field(tag: str, indicators: str, **subfields: str) -> str:
    """Return a data field; a subfield's keyword is its code, with `_` before a digit."""
    inner = "".join(
        f'<marc:subfield code="{code.lstrip("_")}">{escape(text)}</marc:subfield>'
        for code, text in subfields.items()
    )
    marks = f'ind1="{indicators[0]}" ind2="{indicators[1]}"'
    return f'<marc:datafield tag="{tag}" {marks}>{inner}</marc:datafield>'


def record(leader: str, fields: Iterable[str]) -> bytes:
    """Return a record's element."""
    inner = "".join(fields)
    return f"<marc:record><marc:leader>{leader}</marc:leader>{inner}</marc:record>".encode()


def stamped(element: bytes, at: datetime) -> bytes:
    """Return the record with 005 and 008/00-05 as of `at`; the vendor makes them when asked."""
    element = _written(element, b'tag="005">', at.strftime("%Y%m%d%H%M%S.0").encode())
    return _written(element, b'tag="008">', at.strftime("%y%m%d").encode())


def page(elements: Iterable[bytes], prefix: Prefix = Prefix.MARC, *, tail: bytes = b"") -> bytes:
    """Return a collection of `elements`; `tail` stands between the last one and the end tag."""
    name = prefix.value.rstrip(b":")
    binding = b"xmlns" + (b":" + name if name else b"") + b'="' + SLIM.encode() + b'"'
    inner = b"".join(elements)
    if prefix is not Prefix.MARC:
        inner = _TAG.sub(rb"<\1" + prefix.value + rb"\2", inner)
    root = prefix.value + b"collection"
    return b"".join(
        (_DECLARATION, b"<", root, b" ", binding, _SCHEMA, b">", inner, tail, b"</", root, b">")
    )


def prefixed(raw: bytes) -> bytes:
    """Return a record's raw bytes with the vendor's prefix, whatever prefix or none they had."""
    return _TAG.sub(rb"<\1marc:\2", raw)


def _written(element: bytes, mark: bytes, text: bytes) -> bytes:
    """Write `text` over the beginning of the field after `mark`, where a date stands there now."""
    start = element.find(mark) + len(mark)
    end = start + len(text)
    is_date = element.find(mark) >= 0 and element[start:end].replace(b".", b"").isdigit()
    return element[:start] + text + element[end:] if is_date else element
