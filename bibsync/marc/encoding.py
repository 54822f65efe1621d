"""The encoding of a page: whatever was declared, records are cut from and hashed as UTF-8.

Bytes decide before declarations do: a byte order mark first, then whether the bytes are UTF-8,
then what Content-Type and the XML declaration say. A page of UTF-8 or Latin-1 is left as it is;
a byte that isn't UTF-8 is mended in the record that holds it (repair.py).
"""

import codecs
import re

DECLARED_WRONGLY = "declared_encoding_wrong"
UNDECODABLE = "undecodable_characters"

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
WIDTH = {"utf-16": 2, "utf-32": 4}

MENDED_BY_RECORD = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
"""Encodings in which a record's bytes are either UTF-8 or, byte by byte, Windows-1252."""

DECLARATION = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")


def as_utf8(body: bytes, charset: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Return the page in UTF-8 as far as it can be, and the names of what had to be mended.

    `charset` is what Content-Type declared, None where it declared nothing.
    """
    for mark, name in MARKS:
        if body.startswith(mark):
            bare = body if mark.strip(b"\0") == b"<" else body[len(mark) :]
            return (bare, ()) if name == "utf-8" else _wide(bare, name)
    declared = [name for name in map(_codec, (charset, _declaration(body))) if name]
    foreign = [name for name in declared if name != "utf-8"]
    if not foreign or body.isascii():
        return body, ()
    if _is_utf8(body):
        return body, (DECLARED_WRONGLY,)
    for name in foreign:
        if name in MENDED_BY_RECORD:
            break
        try:
            return body.decode(name).encode(), ()
        except UnicodeError:
            continue
    return body, ()


def _wide(body: bytes, name: str) -> tuple[bytes, tuple[str, ...]]:
    """Decode UTF-16 or UTF-32; a lone surrogate stays, for the record that holds it to be mended.

    A body that ends within a character is cut back to the last whole one.
    """
    width = WIDTH[name[:6]]
    whole = body[: len(body) // width * width]
    try:
        return whole.decode(name, "surrogatepass").encode("utf-8", "surrogatepass"), ()
    except UnicodeDecodeError:
        return whole.decode(name, "replace").encode(), (UNDECODABLE,)


def _declaration(body: bytes) -> str | None:
    found = DECLARATION.match(body, 0, 400)
    return found[1].decode("ascii", "replace") if found else None


def _codec(name: str | None) -> str | None:
    """Return Python's name of a text encoding, None where there is none of that name."""
    try:
        codec = codecs.lookup(name.strip("\"' ")) if name else None
        return codec.name if codec and codec.encode("<")[0] == b"<" else None
    except (LookupError, ValueError, TypeError):
        return None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
