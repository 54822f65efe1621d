"""ISO 2709, the binary form of MARC, in UTF-8.

A directory entry has four digits for a field's length, a leader five for the record's. A writer
that doesn't mind them shifts every later byte of the directory or of the file, and readers lose the
record, or all that follow it. So a record is written if every part of it has its place, and is
Unfit otherwise; nothing is cut or replaced to make it fit.

Of the leader only the lengths, the character set (09 is `a`, for UTF-8) and the counts that never
differ are made anew.
"""

import re
from typing import Any

import orjson

from bibsync.exports.format import Format, Row, Unfit, marc_of
from bibsync.marc.iso2709 import (
    FIELD_END,
    HEAD,
    LARGEST_RECORD,
    LONGEST_FIELD,
    RECORD_END,
    SUBFIELD,
)

TAG = re.compile(r"[\x20-\x7e]{3}")
CONTROL_TAG = re.compile(r"00[0-9]")
ONE_CHARACTER = re.compile(r"[\x20-\x7e]")
LEADER = re.compile(r".{5}[\x20-\x7e]{4}.{8}[\x20-\x7e]{3}.{4}", re.DOTALL)
SHOWN = 24
"""How much of what the vendor sent is said of it."""
DELIMITERS = re.compile("[\x1d\x1e\x1f]")


def record(row: Row) -> bytes:
    """Return the record from its leader to its record terminator.

    Raises:
        Unfit: ISO 2709 can't hold it.
    """
    marc = orjson.loads(marc_of(row))
    directory, body = bytearray(), bytearray()
    for field in marc["fields"]:
        for tag, content in field.items():
            written = _field(tag, content)
            directory += b"%b%04d%05d" % (tag.encode(), len(written), len(body))
            body += written
    base = HEAD + len(directory) + len(FIELD_END)
    size = base + len(body) + len(RECORD_END)
    if size > LARGEST_RECORD:
        raise Unfit(f"it has {size:,} bytes, of at most {LARGEST_RECORD:,}")
    leader = _leader(marc["leader"], size=size, base=base)
    return b"".join((leader, directory, FIELD_END, body, RECORD_END))


def _leader(leader: str, *, size: int, base: int) -> bytes:
    if not LEADER.fullmatch(leader):
        raise Unfit(f"its leader is {_shown(leader)}")
    return f"{size:05}{leader[5:9]}a22{base:05}{leader[17:20]}4500".encode()


def _field(tag: str, content: str | dict[str, Any]) -> bytes:
    if not TAG.fullmatch(tag):
        raise Unfit(f"a tag is {_shown(tag)}")
    if isinstance(content, str) != bool(CONTROL_TAG.fullmatch(tag)):
        kind = "a control field" if isinstance(content, str) else "a data field"
        raise Unfit(f"field {tag} is {kind}, which its tag doesn't allow")
    written = _text(tag, content) if isinstance(content, str) else _parts(tag, content)
    written += FIELD_END
    if len(written) > LONGEST_FIELD:
        raise Unfit(f"field {tag} has {len(written):,} bytes, of at most {LONGEST_FIELD:,}")
    return written


def _parts(tag: str, content: dict[str, Any]) -> bytes:
    indicators = content["ind1"], content["ind2"]
    if not all(map(ONE_CHARACTER.fullmatch, indicators)):
        raise Unfit(f"field {tag} has the indicators {_shown(''.join(indicators))}")
    written = bytearray("".join(indicators), "ascii")
    for subfield in content["subfields"]:
        for code, value in subfield.items():
            if not ONE_CHARACTER.fullmatch(code):
                raise Unfit(f"field {tag} has a subfield with the code {_shown(code)}")
            written += SUBFIELD + code.encode() + _text(tag, value)
    return bytes(written)


def _text(tag: str, value: str) -> bytes:
    if DELIMITERS.search(value):
        raise Unfit(f"field {tag} holds a control character that ends fields or records")
    return value.encode()


def _shown(text: str) -> str:
    return ascii(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


FORMAT = Format(one=record, suffix=".mrc", binary=True)
