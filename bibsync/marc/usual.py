"""Records spelled as nearly every vendor's program spells them, read by a pattern.

What the pattern takes, it takes to the last byte, and as XML would: expat reads the same from it,
in four times the time. Anything that XML may do and programs hardly ever do (a reference other
than the five predefined ones, CDATA, comments, blanks between elements, attributes in another
order, control characters) is not for here: `parsed` says None and the reader lets expat decide.
"""

import functools
import re
from typing import Final

from bibsync.record import Field, Marc

_REFERENCES: Final = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&apos;", "'"),
    ("&amp;", "&"),
)
"""What they mean, the ampersand last, so that nothing is replaced twice."""

_START: Final = re.compile(rb"<((?:[A-Za-z][A-Za-z0-9_.-]{0,40}:)?)record>")
_OTHER_REFERENCE: Final = re.compile(rb"&(?!(?:lt|gt|quot|apos|amp);)")
"""An ampersand that begins none of them."""
_CONTROLS: Final = bytes(range(0x20))
_HIGH: Final = b"\xef"
"""How U+F000 to U+FFFF begin, the two among them that XML forbids."""


@functools.lru_cache(maxsize=8)
def _patterns(prefix: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return what matches the beginning of a record, a field, and a subfield."""
    p, text, character = re.escape(prefix), "([^<]*+)", '([^"<&])'
    opening = re.compile(f"<{p}record><{p}leader>([^<&]{{24}})</{p}leader>")
    subfield = f'<{p}subfield code="{character}">{text}</{p}subfield>'
    several = re.sub(r"\((?!\?)", "(?:", subfield)
    field = re.compile(
        f'<{p}datafield tag="((?!00[0-9])[0-9A-Za-z]{{3}})" ind1="{character}" ind2="{character}">'
        f"((?:{several})*+)</{p}datafield>"
        f'|<{p}controlfield tag="(00[0-9])">{text}</{p}controlfield>'
    )
    return opening, field, re.compile(subfield)


def parsed(data: bytes) -> Marc | None:
    """Return the record, None where a parser has to look at it."""
    begun = _START.match(data)
    if begun is None or not _is_plain(data):
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    prefix = begun[1].decode()
    opening, field, subfield = _patterns(prefix)
    found = opening.match(text)
    if found is None:
        return None
    leader, at = found[1], found.end()
    fields: list[Field] = []
    while found := field.match(text, at):
        tag, first, second, subfields, control, content = found.groups()
        if control:
            fields.append((control, _meant(content) if "&" in content else content))
        else:
            pairs = subfield.findall(subfields)
            if "&" in subfields:
                pairs = [(code, _meant(value)) for code, value in pairs]
            fields.append((tag, first, second, pairs))
        at = found.end()
    return Marc(leader, fields) if text[at:] == f"</{prefix}record>" else None


def _is_plain(data: bytes) -> bool:
    """Tell whether the record has no character that XML forbids, and only the usual references."""
    return not (
        _HIGH in data
        or b"]]>" in data
        or len(data.translate(None, _CONTROLS)) != len(data)
        or _OTHER_REFERENCE.search(data)
    )


def _meant(text: str) -> str:
    """Return the text with the characters that its references mean."""
    for reference, character in _REFERENCES:
        text = text.replace(reference, character)
    return text
