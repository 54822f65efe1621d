"""Mending a record that XML refuses, each mend with a name.

The order is fixed: bytes that aren't UTF-8 are Windows-1252; characters that XML 1.0 forbids are
dropped, whether raw or as references; `&` that begins nothing is itself; an entity that only
HTML 5 knows becomes its character, any other stays as its text. Tags are never touched: a record
whose tags don't fit stays unreadable, since nobody knows what belongs where.
"""

import codecs
import html.entities
import re

CP1252 = "cp1252"
ILLEGAL_CHARACTERS = "illegal_characters"
AMPERSAND = "ampersand"
HTML_ENTITY = "html_entity"
UNKNOWN_ENTITY = "unknown_entity"

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is no character of XML 1.0: most controls, surrogates, U+FFFE and U+FFFF."""

AMPERSANDS = re.compile(
    r"<!\[CDATA\[(?:.*?\]\]>|.*)|<!--(?:.*?-->|.*)|<\?(?:.*?\?>|.*)"
    r"|&(?:#(?P<decimal>[0-9]+);|#x(?P<hex>[0-9a-fA-F]+);|(?P<name>[A-Za-z][A-Za-z0-9]*);)?",
    re.DOTALL,
)
"""Each ampersand, and what holds none; where that never closes, it goes to the record's end."""
PREDEFINED = frozenset({"amp", "lt", "gt", "quot", "apos"})
LAST = 0x10FFFF
"""The last code point of Unicode."""


def mended(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the record's bytes as mended, and the names of the mends in the order made."""
    text, names = decoded(data)
    legal = ILLEGAL.sub("", text)
    if legal != text and ILLEGAL_CHARACTERS not in names:
        names.append(ILLEGAL_CHARACTERS)
    text = AMPERSANDS.sub(lambda found: _reference(found, names), legal)
    return text.encode(), tuple(names)


def decoded(data: bytes) -> tuple[str, list[str]]:
    """Return a record's text, and the name of the mend where its bytes aren't UTF-8."""
    try:
        return data.decode("utf-8", "surrogatepass"), []
    except UnicodeDecodeError:
        return data.decode("utf-8", "bibsync.cp1252"), [CP1252]


def _reference(found: re.Match[str], names: list[str]) -> str:
    """Return what stands for an ampersand and what follows it; note in `names` what was mended."""
    whole, name = found[0], found["name"]
    if not whole.startswith("&") or name in PREDEFINED:
        return whole
    if name is not None:
        characters = html.entities.html5.get(name + ";")
        _note(names, HTML_ENTITY if characters else UNKNOWN_ENTITY)
        if characters:
            return "".join(f"&#{ord(c)};" for c in characters)
        return f"&amp;{name};"
    if whole == "&":
        _note(names, AMPERSAND)
        return "&amp;"
    if _is_character(found["decimal"], 10) or _is_character(found["hex"], 16):
        return whole
    _note(names, ILLEGAL_CHARACTERS)
    return ""


def _note(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _is_character(digits: str | None, base: int) -> bool:
    if digits is None or len(digits.lstrip("0")) > len(str(LAST)):
        return False
    number = int(digits, base)
    return number <= LAST and not ILLEGAL.match(chr(number))


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    """Decode the bytes that aren't UTF-8, those that Windows-1252 leaves open as Latin-1."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    text = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in wrong)
    return text, error.end


codecs.register_error("bibsync.cp1252", _as_cp1252)
