"""Two versions of a record, field by field.

What the fingerprint leaves out is no difference: 005 and 008/00-05, which the vendor makes at
request time, the leader's lengths, and how fields of different tags are interleaved. The order of
fields of one tag is one, being what users see.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher

import orjson

from bibsync.exports import mnemonic
from bibsync.exports.mnemonic import Content

MADE_AT_REQUEST = "005"
DATED = "008"
DATE = 6
"""Length of the date on which 008 says the record was entered."""


@dataclass(frozen=True, slots=True)
class Change:
    """The fields of one tag that only the older or only the newer version has, in their order."""

    tag: str
    removed: tuple[Content, ...]
    added: tuple[Content, ...]

    @property
    def fields(self) -> int:
        """How many fields differ: one that was replaced counts once."""
        return max(len(self.removed), len(self.added))


def between(old: str, new: str) -> list[Change]:
    """Return what changed from one MARC-in-JSON to the other, the leader first, then by tag."""
    before, after = _by_tag(old), _by_tag(new)
    tags = sorted(before.keys() | after.keys(), key=lambda tag: (tag != mnemonic.LEADER, tag))
    changes = (_change(tag, before.get(tag, []), after.get(tag, [])) for tag in tags)
    return [change for change in changes if change.fields]


def lines(tag: str, contents: tuple[Content, ...]) -> list[str]:
    """Return fields of one tag in mnemonic form."""
    return [mnemonic.line(tag, content) for content in contents]


def _change(tag: str, old: list[Content], new: list[Content]) -> Change:
    was, is_ = ([_key(tag, content) for content in side] for side in (old, new))
    removed: list[Content] = []
    added: list[Content] = []
    for kind, i, j, k, m in SequenceMatcher(None, was, is_, autojunk=False).get_opcodes():
        if kind != "equal":
            removed += old[i:j]
            added += new[k:m]
    return Change(tag, tuple(removed), tuple(added))


def _by_tag(marc: str) -> dict[str, list[Content]]:
    found: dict[str, list[Content]] = {}
    for tag, content in mnemonic.fields(marc):
        if tag != MADE_AT_REQUEST:
            found.setdefault(tag, []).append(content)
    return found


def _key(tag: str, content: Content) -> bytes:
    if isinstance(content, str):
        if tag == mnemonic.LEADER:
            content = content[5:10] + content[17:20]
        elif tag == DATED:
            content = " " * len(content[:DATE]) + content[DATE:]
    return orjson.dumps(content)
