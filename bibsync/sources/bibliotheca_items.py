"""cloudLibrary's answers to look-ups: what the vendor tells of a title, and of its copies.

An answer counts only where it is a well-formed list of items. A title that such a list leaves
out is no longer in the collection; nothing else says so.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Final
from xml.parsers import expat

from bibsync.errors import SourceBusy
from bibsync.fault import Fault
from bibsync.item import Author, Item, Items

DEPTH_LIMIT: Final = 32
MOST_BYTES: Final = 2 * 2**20
"""No look-up's answer is larger; one of 25 titles is about 0.1 MB."""

_LIST: Final = re.compile(r"(?:ArrayOf\w*Items?|Items?)", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{2,31});")
_AMPERSAND: Final = re.compile(r"&(?:#?\w{1,31};)?")
_XML_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|apos);")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WHOLE: Final = True
_NAMED: Final = frozenset({
    "ItemId", "Title", "SubTitle", "Authors", "Genre", "Publisher", "PubDate", "PubYear", "ISBN13",
    "ISBN", "Language", "BookFormat", "Description", "CoverLinkURL",
})  # fmt: skip
"""Elements that an Item has a name for."""
_COPIES: Final = re.compile(r".*Copies|OnHoldCount|Is\w*Available\w*|Checkouts|Holds|Reserves")
"""Elements that tell of circulation."""
_ROLE: Final = re.compile(r"^(?P<name>.*?)\s*\((?P<role>[^()]*)\)\s*$")


def read(body: bytes, asked: Sequence[str], *, vendor: str) -> Items:
    """Read the answer to a look-up of the titles `asked`; others that it holds are ignored.

    Raises:
        SourceBusy: it is no list of items, so it says nothing about any title.
    """
    if len(body) > MOST_BYTES:
        raise SourceBusy(
            f"{vendor} sent an answer of more than {MOST_BYTES // 2**20} MiB to a look-up.",
            outcome=Fault.OVERSIZE,
        )
    listed = _Listed()
    try:
        listed.parse(body)
    except (expat.ExpatError, ValueError):
        listed.root = ""
    found = {item.control_number: item for item in map(_item, listed.elements)}
    if not _LIST.fullmatch(listed.root) or "" in found:
        raise SourceBusy(f"{vendor} sent no list of items to a look-up.", outcome=Fault.NOT_ITEMS)
    described = {number: found[number.strip()] for number in asked if number.strip() in found}
    return Items(described, tuple(number for number in asked if number not in described))


class _Listed:
    """The items of a document as names and texts, and the name of its root."""

    def __init__(self) -> None:
        self.root = ""
        self.elements: list[dict[str, str]] = []
        self._path: list[str] = []
        self._text = ""

    def parse(self, body: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._say
        parser.StartDoctypeDeclHandler = _refuse
        parser.Parse(_mended(body), _WHOLE)

    def _start(self, name: str, _: object) -> None:
        local = name.rpartition(":")[2]
        self.root = self.root or local
        self._path.append(local)
        if len(self._path) > DEPTH_LIMIT:
            raise ValueError(f"elements are nested deeper than {DEPTH_LIMIT}")
        self._text = ""
        if local == "Item" and self._path.count("Item") == 1:
            self.elements.append({})

    def _say(self, text: str) -> None:
        self._text += text

    def _end(self, _: str) -> None:
        local = self._path.pop()
        if self._path and self._path[-1] == "Item" and self.elements:
            self.elements[-1].setdefault(local, self._text.strip())
        self._text = ""


def _refuse(*_: object) -> None:
    raise ValueError("a list of items declares no document type")


def _mended(body: bytes) -> str:
    """Return `body` as text, HTML's entities and bare ampersands made readable for XML."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    return _AMPERSAND.sub(_as_xml, _CONTROLS.sub(" ", text))


def _as_xml(found: re.Match[str]) -> str:
    if _XML_ENTITY.fullmatch(found[0]):
        return found[0]
    return html.escape(html.unescape(found[0]), quote=False)


def _item(fields: Mapping[str, str]) -> Item:
    def text(name: str) -> str:
        return _plain(fields.get(name, ""))

    return Item(
        control_number=fields.get("ItemId", "").strip(),
        title=text("Title"),
        subtitle=text("SubTitle"),
        authors=tuple(_author(name) for name in _parts(text("Authors"), ";")),
        genres=tuple(_parts(text("Genre"), ",")),
        publisher=text("Publisher"),
        published=text("PubDate") or text("PubYear"),
        isbn=text("ISBN13") or text("ISBN"),
        language=text("Language"),
        format=text("BookFormat"),
        description=text("Description"),
        cover_url=text("CoverLinkURL"),
        copies=_count(fields.get("TotalCopies")),
        available=_count(fields.get("AvailableCopies")),
        holds=_count(fields.get("OnHoldCount")),
        other={
            name: value
            for name, value in fields.items()
            if value and name not in _NAMED and not _COPIES.fullmatch(name)
        },
    )


def _plain(text: str) -> str:
    """Undo the escaping that the vendor applies once too often."""
    return " ".join(_ENTITY.sub(lambda entity: html.unescape(entity[0]), text).split())


def _parts(text: str, separator: str) -> list[str]:
    return [part for each in text.split(separator) if (part := each.strip())]


def _author(text: str) -> Author:
    found = _ROLE.match(text)
    return Author(found["name"], found["role"].strip()) if found else Author(text)


def _count(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else None
