"""What tells that a record is the same as before, found in its bytes without parsing them.

The vendor makes 005 and 008/00-05 anew for each answer, so both are masked out. A mask is
taken only where it is plainly a control field with plain text; anything else stays in the hash,
which costs a parse and never a change.

The hash is XXH3 of 128 bits, a thirtieth of sha256's cost. Nobody can be deceived by it who isn't
by the vendor itself: it compares the vendor's word with the vendor's word of yesterday.
"""

import functools
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

import xxhash

from bibsync.marc import repair
from bibsync.record import RawRecord

READER_VERSION: Final = 3
"""Raised whenever reading or extraction changes, so that every record is looked at anew."""

PLAIN = re.compile(rb"[ -%'-;=?-~]*")
"""Printable ASCII without the characters that mean something to XML."""

REFERENCES = (
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
    (b"&quot;", b'"'),
    (b"&apos;", b"'"),
    (b"&amp;", b"&"),
)
CONTROL = re.compile(rb"<(?:[^\s<>/:]+:)?controlfield(\s[^<>]*+)(?<!/)>")
TAG = re.compile(rb"\stag\s*=\s*(?:\"(00[158])\"|'(00[158])')")
"""Searched for in the start tag alone: together with it, each would be tried to the tag's end."""
MARKED = (b'001">', b'005">', b'008">')
"""What follows `tag="` of the control fields that count here."""
VALUE = 5
"""Where the value begins behind it."""
READING = 16
"""How many bytes of a raw hash tell how the record was read; the others tell its masked bytes."""
ASCII = 127
"""The last character of ASCII."""
PREFIX = re.compile(r"(</?)[^\s<>/:]+:")
"""The beginning of a tag whose name has a prefix."""
REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
"""A character that is named by its number."""
Value = tuple[bytes, int, int]
Pieces = list[bytes | memoryview]


def alike(
    records: Iterable[bytes], name: bytes, *, bindings: bytes, repairs: tuple[str, ...]
) -> Iterator[RawRecord]:
    """Yield the raw records of a page whose records all begin with the start tag `name`.

    Where the control fields stand as vendors put them (one 001 in letters and digits, one 005, one
    008, all before the first datafield), one match finds what is masked. What follows a datafield
    isn't searched: a second 001 there makes a reject of the record when it is read, and bytes
    that were read to a record before had none.
    """
    head = _head(name)
    reading = _reading(bindings, repairs)
    for position, data in enumerate(records):
        found = head.match(data)
        if found is None:
            yield identified(data, data, position=position, bindings=bindings, repairs=repairs)
            continue
        stamp, after_stamp = found.span(2)
        date, after_date = found.span(3)
        masked = data[:stamp] + data[after_stamp:date] + b"      " + data[after_date:]
        yield RawRecord(
            data,
            masked,
            reading + xxhash.xxh3_128_digest(masked),
            found[1].decode("ascii"),
            position,
            bindings,
            repairs,
        )


@functools.lru_cache(maxsize=8)
def _head(name: bytes) -> re.Pattern[bytes]:
    """Return what matches a record up to its first datafield: key, time of 005, date of 008."""
    p = re.escape(name.removesuffix(b"record"))

    def control(tag: bytes, value: bytes) -> bytes:
        return rb'<%scontrolfield tag="%s">%s</%scontrolfield>' % (p, tag, value, p)

    others = rb"(?:%s)*+" % control(b"00[234679]", b"[^<]*+")
    return re.compile(
        rb"<%srecord><%sleader>[^<]*+</%sleader>" % (p, p, p)
        + others
        + control(b"001", b"([0-9A-Za-z]++)")
        + others
        + control(b"005", b"([ -%'-;=?-~]*+)")
        + others
        + control(b"008", b"([ -%'-;=?-~]{6})[^<]*+")
        + others
        + rb"<%sdatafield " % p
    )


def mark(
    page: bytes,
    view: bytes,
    stretch: tuple[int, int],
    *,
    position: int,
    bindings: bytes = b"",
    repairs: tuple[str, ...] = (),
) -> RawRecord:
    """Make the raw record of a stretch of the page, with what it is known again by.

    `view` is the page without comments and CDATA; it is the page itself where it has neither.
    """
    data = page[slice(*stretch)]
    seen = data if view is page else view[slice(*stretch)]
    return identified(data, seen, position=position, bindings=bindings, repairs=repairs)


def identified(
    data: bytes,
    seen: bytes,
    *,
    position: int,
    bindings: bytes = b"",
    repairs: tuple[str, ...] = (),
) -> RawRecord:
    """Make the raw record of these bytes, of which `seen` is what `markup.visible` leaves."""
    pieces, keys = _usual(data) if seen == data else ([], None)
    if keys is None:
        pieces, keys = _unusual(data, seen)
    masked = b"".join(pieces)
    return RawRecord(
        data=data,
        masked=masked,
        raw_hash=_reading(bindings, repairs) + xxhash.xxh3_128_digest(masked),
        key=_key(keys[0]) if len(keys) == 1 else None,
        position=position,
        bindings=bindings,
        repairs=repairs,
    )


def identity(raw: RawRecord) -> bytes:
    """Return the sha256 that a reject is known again by.

    What the vendor makes at request time doesn't count, nor how a page is dressed: the prefix of
    its elements, UTF-8 or Latin-1, characters beyond ASCII as themselves or as references.
    """
    text, _ = repair.decoded(raw.masked)
    bare = REFERENCE.sub(_character, PREFIX.sub(r"\1", text))
    return hashlib.sha256(bare.encode("utf-8", "surrogatepass")).digest()


def _character(reference: re.Match[str]) -> str:
    """Return the character beyond ASCII that a reference means; others stay as they are."""
    number = int(reference[1], 16) if reference[1] else int(reference[2])
    is_beyond = ASCII < number <= sys.maxunicode
    return chr(number) if is_beyond else reference[0]


@functools.lru_cache(maxsize=64)
def _reading(bindings: bytes, repairs: tuple[str, ...]) -> bytes:
    """Return what tells that a record is read as it was before: the first bytes of its raw hash."""
    told = b"\0".join([str(READER_VERSION).encode(), bindings, *map(str.encode, repairs), b""])
    return hashlib.sha256(told).digest()[:READING]


def _usual(data: bytes) -> tuple[Pieces, list[bytes] | None]:
    """Mask a record whose control fields are spelled as all vendors' programs spell them.

    Returns the masked bytes, in pieces, and the values of 001; None where nothing is spelled so.
    """
    prefix = data[: data.find(b"record")]
    start = prefix + b'controlfield tag="'
    head = data.find(prefix + b"datafield")  # control fields come first: the rest is only searched
    if head < 0 or data.find(start, head) >= 0:
        head = len(data)
    parts = data[:head].split(start)
    if len(parts) == 1:
        return [], None
    keys: list[bytes] = []
    for place in range(1, len(parts)):
        part = parts[place]
        if not part.startswith(MARKED):
            continue
        stop = part.find(b"<", VALUE)
        if stop < 0:
            continue
        if part.startswith(b"001"):
            keys.append(part[VALUE:stop] if part.startswith(b"</", stop) else b"\0")
        else:
            parts[place] = part[:VALUE] + _mask(part[:3], part[VALUE:stop]) + part[stop:]
    return [start.join(parts), memoryview(data)[head:]], keys


def _unusual(data: bytes, seen: bytes) -> tuple[Pieces, list[bytes]]:
    """Mask a record whatever the spelling of its control fields, or with comments in it."""
    pieces: Pieces = []
    keys: list[bytes] = []
    done = 0
    for tag, start, stop in _values(seen):
        value = data[start:stop]
        if tag == b"001":
            keys.append(value if seen.startswith(b"</", stop) else b"\0")
        else:
            pieces += data[done:start], _mask(tag, value)
            done = stop
    return [*pieces, data[done:]], keys


def _values(seen: bytes) -> Iterator[Value]:
    for found in CONTROL.finditer(seen):
        tags = TAG.findall(found[1])
        stop = seen.find(b"<", found.end())
        if tags and stop >= 0:
            yield tags[-1][0] or tags[-1][1], found.end(), stop


def _mask(tag: bytes, value: bytes) -> bytes:
    """Return the value of 005 or 008 without what the vendor makes at request time."""
    if tag == b"005":
        return b"" if PLAIN.fullmatch(value) else value
    date = value[:6]
    return b" " * len(date) + value[6:] if PLAIN.fullmatch(date) else value


def _key(value: bytes) -> str | None:
    """Return the control number that a reader will find in `value`, None where that is in doubt."""
    if value.isalnum():  # in ASCII, as bytes understand it
        return value.decode("ascii")
    if PLAIN.fullmatch(value.strip()) is None:
        bare = value
        for reference, _ in REFERENCES:
            bare = bare.replace(reference, b"")
        if PLAIN.fullmatch(bare.strip()) is None:
            return None
        for reference, character in REFERENCES:
            value = value.replace(reference, character)
    return value.decode("ascii").strip() or None
