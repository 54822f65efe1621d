"""What a record is, before and after it was read.

`RawRecord` is what a page was cut into: bytes with their hash. `Record` is what is stored: the
MARC as received, and beside it the columns that people look for, which `from_marc` takes from it.
Between the two stands `Marc`: what was read, in tuples, since an object for each field and subfield
costs more than the whole of reading a record.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import orjson
import pymarc

ISBD = " /:;,"
"""What of the punctuation that cataloguing rules put between elements may end an element."""

FULL_STOP = re.compile(r"(?<=[^\W\d_]{3})\.$|(?<=[)\]])\.$")
"""A full stop behind a word of three letters or more, or behind a bracket."""

TITLE = frozenset("abnp")
MAIN_ENTRY = {"100": frozenset("abc"), "110": frozenset("ab"), "111": frozenset("a")}
SUBJECTS = ("600", "610", "611", "630", "647", "648", "650", "651", "653")
HEADING, SUBDIVISIONS = frozenset("abcdqt"), frozenset("vxyz")
LABEL = frozenset("3xyz")
GROUPS = (
    dict.fromkeys(MAIN_ENTRY, "main entry")
    | dict.fromkeys(SUBJECTS, "subject")
    | dict.fromkeys(("260", "264"), "publication")
)
"""Fields that are looked at together, in the order of the record; others by their tag."""
ISBN = re.compile(
    r"\s*(?:ISBN[\s:]*)?([0-9][0-9 \-\u2010-\u2013]{8,}[0-9Xx]|[0-9]{9,}[0-9Xx])", re.IGNORECASE
)
ISBN_LENGTHS = (10, 13)
YEAR = re.compile(r"[12][0-9]{3}")
LANGUAGE = re.compile(r"[a-z]{3}")
FILE_FORMAT = re.compile(
    r"(?:\b|_)(epub3|epub|pdf|mp3|mpeg|mobi|kindle|azw3|m4b|aac|wma|mp4)\b", re.IGNORECASE
)
FORMAT_NAMES = {"mpeg": "MP3", "kindle": "Kindle"}
COVER = re.compile(r"\b(?:cover|jacket)", re.IGNORECASE)
IMAGE = re.compile(r"\b(?:image|thumbnail|picture)", re.IGNORECASE)
IMAGE_FILE = re.compile(r"\.(?:jpe?g|png|gif|webp)(?:$|[?#])", re.IGNORECASE)
DECORATION = re.compile(r"icon|logo|banner|button", re.IGNORECASE)
MATERIAL = {
    "a": "book",
    "t": "book",
    "c": "score",
    "d": "score",
    "e": "map",
    "f": "map",
    "g": "video",
    "i": "audiobook",
    "j": "music",
    "k": "picture",
    "m": "software",
    "o": "kit",
    "p": "archive",
    "r": "object",
}
"""Words for leader/06, type of record, as MARC 21 Bibliographic defines it."""


Subfield = tuple[str, str]
"""Code and value."""
ControlField = tuple[str, str]
"""Tag and text."""
DataField = tuple[str, str, str, Sequence[Subfield]]
"""Tag, first and second indicator, subfields."""
Field = ControlField | DataField


class Marc(NamedTuple):
    """A MARC record as it was read: the leader, 24 characters long, and the fields in order."""

    leader: str
    fields: Sequence[Field]

    def as_json(self) -> bytes:
        """Return MARC-in-JSON, UTF-8 encoded."""
        fields = [
            {field[0]: field[1]}
            if len(field) == 2  # noqa: PLR2004 - a control field
            else {
                field[0]: {
                    "ind1": field[1],
                    "ind2": field[2],
                    "subfields": [{code: value} for code, value in field[3]],
                }
            }
            for field in self.fields
        ]
        return orjson.dumps({"leader": self.leader, "fields": fields})


class RawRecord(NamedTuple):
    """The bytes of one record of a page, not parsed yet.

    Attributes:
        data: from the record's start tag to its end tag, in UTF-8 where `repairs` doesn't say
            otherwise.
        masked: the bytes without what the vendor makes at request time: 005 and 008/00-05.
        raw_hash: tells the reader's version, the page's encoding and prefix bindings, and the
            masked bytes. Equal hashes need no second parse.
        key: the control number that a scan of the bytes found, where it found exactly one, else
            None. Only a hint for the look-up: a parse decides.
        position: place in the page, from 0.
        bindings: the namespace declarations that the page's root makes, ready to be put into a
            start tag.
        repairs: names of what was mended on the whole page before cutting.
    """

    data: bytes
    masked: bytes
    raw_hash: bytes
    key: str | None
    position: int
    bindings: bytes = b""
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A readable record with exactly one control number.

    `control_number` is 001 without leading and trailing blanks. `marc` is MARC-in-JSON, UTF-8
    encoded, the record as received. `fingerprint` is the sha256 of the canonical form without
    005, 008/00-05 and the leader's lengths. `repairs` names what had to be mended to read it.
    `published` is the year, `language` the MARC code, `material_type` the word that leader, 006
    and 007 give; empty text where the record doesn't say.
    """

    control_number: str
    title: str
    author: str
    isbns: tuple[str, ...]
    publisher: str
    published: str
    language: str
    subjects: tuple[str, ...]
    format: str
    cover_url: str
    material_type: str
    marc: bytes
    raw_hash: bytes
    fingerprint: bytes
    repairs: tuple[str, ...] = ()


def is_control(tag: str) -> bool:
    """Tell whether a field of this tag holds text and no subfields."""
    return tag < "010" and tag.isdigit()


def plain(marc: pymarc.Record) -> Marc:
    """Return pymarc's record as tuples."""
    fields: list[Field] = [
        (field.tag, field.data or "")
        if field.control_field
        else (
            field.tag,
            field.indicator1,
            field.indicator2,
            [(code, value) for code, value in field.subfields],
        )
        for field in marc.fields
    ]
    return Marc(str(marc.leader), fields)


def from_marc(marc: Marc | pymarc.Record, *, raw_hash: bytes, repairs: tuple[str, ...]) -> Record:
    """Take from a MARC record what is stored of it. It has a 001 that isn't blank."""
    marc = marc if isinstance(marc, Marc) else plain(marc)
    controls, fields = _sorted_out(marc.fields)
    described = next(iter(controls["008"]), "")
    return Record(
        control_number=next(filter(None, map(str.strip, controls["001"]))),
        title=_title(fields),
        author=_author(fields),
        isbns=_isbns(fields),
        publisher=_publisher(fields),
        published=_published(fields, described),
        language=_language(fields, described),
        subjects=_subjects(fields),
        format=_format(fields),
        cover_url=_cover_url(fields),
        material_type=_material_type(marc.leader, controls, described),
        marc=marc.as_json(),
        raw_hash=raw_hash,
        fingerprint=fingerprint(marc),
        repairs=repairs,
    )


def fingerprint(marc: Marc | pymarc.Record) -> bytes:
    """Return the sha256 of what counts as the record's content.

    Left out: 005 and 008/00-05, which the vendor makes at request time, and the leader's lengths,
    which writers compute. Fields are sorted by tag, and those of one tag keep their order: it is
    what readers see.
    """
    marc = marc if isinstance(marc, Marc) else plain(marc)
    fields = sorted(marc.fields, key=itemgetter(0))
    content = [
        _lasting(field) if field[0] == "008" else field for field in fields if field[0] != "005"
    ]
    leader = marc.leader[5:10] + marc.leader[17:20]
    return hashlib.sha256(orjson.dumps([leader, content])).digest()


def _lasting(field: Field) -> Field:
    """Return 008 without the date on which the record was made."""
    if len(field) != 2:  # noqa: PLR2004 - no control field
        return field
    tag, text = field
    return tag, " " * len(text[:6]) + text[6:]


Controls = Mapping[str, Sequence[str]]
Fields = Mapping[str, Sequence[DataField]]


def _sorted_out(fields: Iterable[Field]) -> tuple[Controls, Fields]:
    """Return the texts of control fields by tag, and the data fields by GROUPS."""
    controls: defaultdict[str, list[str]] = defaultdict(list)
    others: defaultdict[str, list[DataField]] = defaultdict(list)
    for field in fields:
        if len(field) == 2:  # noqa: PLR2004 - a control field
            controls[field[0]].append(field[1])
        else:
            others[GROUPS.get(field[0], field[0])].append(field)
    return controls, others


def _joined(field: DataField, codes: frozenset[str], between: str = " ") -> str:
    """Join the subfields of these codes in the order they stand in the field."""
    values = [value.strip() for code, value in field[3] if code in codes]
    return between.join([value for value in values if value])


def _values(fields: Iterable[DataField], wanted: str) -> list[str]:
    """Return the subfields of this code in all the fields."""
    return [value for field in fields for code, value in field[3] if code == wanted]


def _without_full_stop(text: str) -> str:
    """Trim the punctuation that ends a heading, but no full stop of an initial or abbreviation."""
    trimmed = text.rstrip(ISBD)
    return FULL_STOP.sub("", trimmed) if trimmed.endswith(".") else trimmed


def _title(fields: Fields) -> str:
    """245 $a $b $n $p, without the medium ($h) and the statement of responsibility ($c)."""
    return next((_joined(f, TITLE).rstrip(ISBD) for f in fields["245"]), "")


def _author(fields: Fields) -> str:
    """The main entry: a person (100), a body (110) or a meeting (111)."""
    headings = (_joined(f, MAIN_ENTRY[f[0]]) for f in fields["main entry"])
    return next((_without_full_stop(heading) for heading in headings if heading), "")


def _isbns(fields: Fields) -> tuple[str, ...]:
    """020 $a without hyphens and qualifiers; a value of another length is no ISBN."""
    found = map(ISBN.match, _values(fields["020"], "a"))
    bare = (re.sub(r"[^0-9X]", "", match[1].upper()) for match in found if match)
    return tuple(dict.fromkeys(isbn for isbn in bare if len(isbn) in ISBN_LENGTHS))


def _publications(fields: Fields, wanted: str) -> list[str]:
    """Subfields of the statements of publication: 264 with second indicator 1, and 260."""
    return _values((f for f in fields["publication"] if f[0] == "260" or f[2] == "1"), wanted)


def _publisher(fields: Fields) -> str:
    names = (name.strip() for name in _publications(fields, "b"))
    return next((name.rstrip(ISBD) for name in names if name), "")


def _published(fields: Fields, described: str) -> str:
    """The year of 008/07-10, else the first year of the statement of publication."""
    coded = described[7:11]
    if YEAR.fullmatch(coded):
        return coded
    dates = map(YEAR.search, _publications(fields, "c"))
    return next((year[0] for year in dates if year), "")


def _language(fields: Fields, described: str) -> str:
    """The MARC code of 008/35-37, else the first of 041 $a (old records pack several in one)."""
    coded = [described[35:38].lower()]
    coded += [value.strip()[:3].lower() for value in _values(fields["041"], "a")]
    return next((code for code in coded if LANGUAGE.fullmatch(code)), "")


def _subjects(fields: Fields) -> tuple[str, ...]:
    headings = map(_subject, fields["subject"])
    return tuple(dict.fromkeys(heading for heading in headings if heading))


def _subject(field: DataField) -> str:
    """The heading and its subdivisions, as catalogues show them: Cats -- Fiction."""
    parts = [_joined(field, HEADING), _joined(field, SUBDIVISIONS, " -- ")]
    return _without_full_stop(" -- ".join([part for part in parts if part]))


def _format(fields: Fields) -> str:
    """The file format, from the fields that may name one, the most exact first.

    347 $b is RDA's encoding format, 856 $q the media type; cloudLibrary says it in 538 $a
    ("Format: Adobe EPUB").
    """
    for tag, code in (("347", "b"), ("856", "q"), ("538", "a"), ("300", "a"), ("533", "n")):
        for value in _values(fields[tag], code):
            found = FILE_FORMAT.search(value)
            if found:
                return FORMAT_NAMES.get(found[1].lower(), found[1].upper())
    return ""


def _cover_url(fields: Fields) -> str:
    """The address (856 $u) that is labelled a cover, else an image that is no icon or logo."""
    images = []
    for field in fields["856"]:
        address = next(iter(_values([field], "u")), "").strip()
        label = _joined(field, LABEL)
        if address and COVER.search(label):
            return address
        if IMAGE.search(label) or IMAGE_FILE.search(address):
            images.append((address, label))
    return next((a for a, label in images if a and not DECORATION.search(f"{label} {a}")), "")


def _material_type(leader: str, controls: Controls, described: str) -> str:
    """Return one word for what the record describes.

    The rule is MARC 21's: leader/06 (type of record) and leader/07 (bibliographic level); online
    is what says so in 007/00-01 (cr), in the form of item of 006 (/06, where 006/00 is m) or of
    008 (/23).
    """
    kind, level = leader[6], leader[7]
    physical = [text[:2] for text in controls["007"]]
    if kind in "at" and level in "bis":
        return "serial"
    word = MATERIAL.get(kind, "")
    if word != "book":
        return word
    online = (
        "cr" in physical
        or described[23:24] in {"o", "s"}
        or any(text[:1] == "m" and text[6:7] == "o" for text in controls["006"])
    )
    if not online:
        return word
    return "audiobook" if any(p[:1] == "s" for p in physical) else "ebook"
