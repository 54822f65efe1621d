"""Defects of single records, as the vendor's data has them, and what must become of each.

A defect damages one record's element and nothing beside it. Where `fate` is None the record can
be mended and must be stored equal to its undamaged form; else it must become a reject of that
reason.
"""

from enum import StrEnum

from bibsync.reject import Reason

LONG_FIELD = 12_000
OVERSIZE = 2 * 1024 * 1024 + 1
_SUMMARY = b'<marc:datafield tag="520" ind1=" " ind2=" "><marc:subfield code="a">'


class Defect(StrEnum):
    """A kind of damage to a record."""

    NO_001 = "no_001"
    BLANK_001 = "blank_001"
    TWO_001 = "two_001"
    BROKEN_XML = "broken_xml"
    DOUBLED_ATTRIBUTE = "doubled_attribute"
    BARE_LESS_THAN = "bare_less_than"
    FIELD_WITHOUT_TAG = "field_without_tag"
    OVERSIZE = "oversize"
    CONTROL_CHARACTER = "control_character"
    NUL = "nul"
    CHARACTER_REFERENCE = "character_reference"
    HTML_ENTITY = "html_entity"
    BARE_AMPERSAND = "bare_ampersand"
    LATIN_1 = "latin_1"
    SHORT_LEADER = "short_leader"
    LONG_FIELD = "long_field"

    @property
    def fate(self) -> Reason | None:
        """Why such a record must be set aside, None where it must be stored."""
        return _FATES.get(self)


_FATES = {
    Defect.NO_001: Reason.MISSING_CONTROL_NUMBER,
    Defect.BLANK_001: Reason.MISSING_CONTROL_NUMBER,
    Defect.TWO_001: Reason.MULTIPLE_CONTROL_NUMBERS,
    Defect.BROKEN_XML: Reason.UNREADABLE_RECORD,
    Defect.DOUBLED_ATTRIBUTE: Reason.UNREADABLE_RECORD,
    Defect.BARE_LESS_THAN: Reason.UNREADABLE_RECORD,
    Defect.FIELD_WITHOUT_TAG: Reason.UNREADABLE_RECORD,
    Defect.OVERSIZE: Reason.OVERSIZE_RECORD,
}

USUAL = tuple(defect for defect in Defect if defect is not Defect.OVERSIZE)
"""All but the oversize record: a few of those make a page that is too large as a whole."""


def damaged(element: bytes, defect: Defect | None) -> bytes:
    """Return the record's element as the vendor would send it."""
    if defect is None or defect is Defect.LONG_FIELD:  # its length is true content: titles.py
        return element
    if defect is Defect.LATIN_1:
        return element.decode().encode("cp1252", "xmlcharrefreplace")
    if defect is Defect.TWO_001:
        return element.replace(
            b'<marc:controlfield tag="003">',
            b'<marc:controlfield tag="001">zzsecond</marc:controlfield>'
            b'<marc:controlfield tag="003">',
            1,
        )
    if defect in (Defect.NO_001, Defect.BLANK_001):
        return _without_001(element, blank=defect is Defect.BLANK_001)
    if defect is Defect.HTML_ENTITY:
        for character, entity in (("“", "&ldquo;"), ("”", "&rdquo;"), ("—", "&mdash;")):
            element = element.replace(character.encode(), entity.encode())
        return element
    return element.replace(*_REPLACED[defect], 1)


def _without_001(element: bytes, *, blank: bool) -> bytes:
    start = element.find(b'<marc:controlfield tag="001">')
    end = element.find(b'<marc:controlfield tag="003">')
    kept = b'<marc:controlfield tag="001">  </marc:controlfield>' if blank else b""
    return element[:start] + kept + element[end:]


_REPLACED: dict[Defect, tuple[bytes, bytes]] = {
    Defect.BROKEN_XML: (b"</marc:subfield>", b"</marc:subfeld>"),
    Defect.DOUBLED_ATTRIBUTE: (b'tag="245"', b'tag="245" tag="245"'),
    Defect.BARE_LESS_THAN: (_SUMMARY, _SUMMARY + b"a < b, "),
    Defect.FIELD_WITHOUT_TAG: (b'datafield tag="520"', b"datafield"),
    Defect.OVERSIZE: (_SUMMARY, _SUMMARY + b"x" * OVERSIZE),
    Defect.CONTROL_CHARACTER: (_SUMMARY, _SUMMARY + b"\x1f"),
    Defect.NUL: (_SUMMARY, _SUMMARY + b"\x00"),
    Defect.CHARACTER_REFERENCE: (_SUMMARY, _SUMMARY + b"&#x1F;"),
    Defect.BARE_AMPERSAND: (b" &amp; ", b" & "),
    Defect.SHORT_LEADER: (b" 4500</marc:leader>", b"</marc:leader>"),
}
