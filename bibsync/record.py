"""What a record is, before and after it was read.

`RawRecord` is what a page was cut into: bytes with their hash. `Record` is what is stored: the
MARC as received, and beside it the columns that people look for, which `from_marc` takes from it.
"""

import hashlib
import re
from dataclasses import dataclass

import orjson
import pymarc

ISBD = " /:;,"
"""What of the punctuation that cataloguing rules put between elements may end an element."""

FULL_STOP = re.compile(r"(?<=[^\W\d_]{3})\.$|(?<=[)\]])\.$")
"""A full stop behind a word of three letters or more, or behind a bracket."""

MAIN_ENTRY = {"100": "abc", "110": "ab", "111": "a"}
SUBJECTS = ("600", "610", "611", "630", "647", "648", "650", "651", "653")
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


@dataclass(frozen=True, slots=True)
class RawRecord:
    """The bytes of one record of a page, not parsed yet.

    Attributes:
        data: from the record's start tag to its end tag, in UTF-8 where `repairs` doesn't say
            otherwise.
        raw_hash: sha256 over the reader's version, the page's encoding and prefix bindings and
            the bytes, 005 and 008/00-05 masked out. Equal hashes need no second parse.
        identity: sha256 over the masked bytes alone: what a reject is known again by.
        key: the control number that a scan of the bytes found, where it found exactly one, else
            None. Only a hint for the look-up: a parse decides.
        position: place in the page, from 0.
        bindings: the namespace declarations that the page's root makes, ready to be put into a
            start tag.
        repairs: names of what was mended on the whole page before cutting.
    """

    data: bytes
    raw_hash: bytes
    identity: bytes
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


def from_marc(marc: pymarc.Record, *, raw_hash: bytes, repairs: tuple[str, ...]) -> Record:
    """Take from a MARC record what is stored of it. It has a 001 that isn't blank."""
    return Record(
        control_number=next(filter(None, map(_number, marc.get_fields("001")))),
        title=_title(marc),
        author=_author(marc),
        isbns=_isbns(marc),
        publisher=_publisher(marc),
        published=_published(marc),
        language=_language(marc),
        subjects=_subjects(marc),
        format=_format(marc),
        cover_url=_cover_url(marc),
        material_type=_material_type(marc),
        marc=orjson.dumps(marc.as_dict()),
        raw_hash=raw_hash,
        fingerprint=fingerprint(marc),
        repairs=repairs,
    )


def fingerprint(marc: pymarc.Record) -> bytes:
    """Return the sha256 of what counts as the record's content.

    Left out: 005 and 008/00-05, which the vendor makes at request time, and the leader's lengths,
    which writers compute. Fields are sorted by tag, and those of one tag keep their order: it is
    what readers see.
    """
    leader = str(marc.leader)
    fields = sorted((f for f in marc.fields if f.tag != "005"), key=lambda field: field.tag)
    content = [leader[5:10] + leader[17:20], [_content(field) for field in fields]]
    return hashlib.sha256(orjson.dumps(content)).digest()


def _number(field: pymarc.Field) -> str:
    return (field.data or "").strip()


def _content(field: pymarc.Field) -> list[object]:
    if not field.control_field:
        pairs = [(code, value) for code, value in field.subfields]
        return [field.tag, field.indicator1, field.indicator2, pairs]
    data = field.data or ""
    return [field.tag, " " * len(data[:6]) + data[6:] if field.tag == "008" else data]


def _control(marc: pymarc.Record, tag: str) -> str:
    """Return the first control field of that tag, empty where there is none."""
    return next((f.data or "" for f in marc.get_fields(tag) if f.control_field), "")


def _joined(field: pymarc.Field, codes: str, between: str = " ") -> str:
    """Join the subfields of these codes in the order they stand in the field."""
    values = (value.strip() for value in field.get_subfields(*codes))
    return between.join(value for value in values if value)


def _without_full_stop(text: str) -> str:
    """Trim the punctuation that ends a heading, but no full stop of an initial or abbreviation."""
    return FULL_STOP.sub("", text.rstrip(ISBD))


def _title(marc: pymarc.Record) -> str:
    """245 $a $b $n $p, without the medium ($h) and the statement of responsibility ($c)."""
    return next((_joined(f, "abnp").rstrip(ISBD) for f in marc.get_fields("245")), "")


def _author(marc: pymarc.Record) -> str:
    """The main entry: a person (100), a body (110) or a meeting (111)."""
    headings = (_joined(f, MAIN_ENTRY[f.tag]) for f in marc.get_fields(*MAIN_ENTRY))
    return next((_without_full_stop(heading) for heading in headings if heading), "")


def _isbns(marc: pymarc.Record) -> tuple[str, ...]:
    """020 $a without hyphens and qualifiers; a value of another length is no ISBN."""
    found = (ISBN.match(value) for f in marc.get_fields("020") for value in f.get_subfields("a"))
    bare = (re.sub(r"[^0-9X]", "", match[1].upper()) for match in found if match)
    return tuple(dict.fromkeys(isbn for isbn in bare if len(isbn) in ISBN_LENGTHS))


def _publications(marc: pymarc.Record) -> list[pymarc.Field]:
    """The statements of publication: 264 with second indicator 1, and 260."""
    return [f for f in marc.get_fields("260", "264") if f.tag == "260" or f.indicator2 == "1"]


def _publisher(marc: pymarc.Record) -> str:
    names = (name for f in _publications(marc) for name in f.get_subfields("b"))
    return next((name.strip().rstrip(ISBD) for name in names if name.strip()), "")


def _published(marc: pymarc.Record) -> str:
    """The year of 008/07-10, else the first year of the statement of publication."""
    coded = _control(marc, "008")[7:11]
    if YEAR.fullmatch(coded):
        return coded
    dates = (YEAR.search(date) for f in _publications(marc) for date in f.get_subfields("c"))
    return next((year[0] for year in dates if year), "")


def _language(marc: pymarc.Record) -> str:
    """The MARC code of 008/35-37, else the first of 041 $a (old records pack several in one)."""
    coded = [_control(marc, "008")[35:38].lower()]
    coded += [v.strip()[:3].lower() for f in marc.get_fields("041") for v in f.get_subfields("a")]
    return next((code for code in coded if LANGUAGE.fullmatch(code)), "")


def _subjects(marc: pymarc.Record) -> tuple[str, ...]:
    headings = (_subject(field) for field in marc.get_fields(*SUBJECTS))
    return tuple(dict.fromkeys(heading for heading in headings if heading))


def _subject(field: pymarc.Field) -> str:
    """The heading and its subdivisions, as catalogues show them: Cats -- Fiction."""
    parts = [_joined(field, "abcdqt"), _joined(field, "vxyz", " -- ")]
    return _without_full_stop(" -- ".join(part for part in parts if part))


def _format(marc: pymarc.Record) -> str:
    """The file format, from the fields that may name one, the most exact first.

    347 $b is RDA's encoding format, 856 $q the media type; cloudLibrary says it in 538 $a
    ("Format: Adobe EPUB").
    """
    for tag, code in (("347", "b"), ("856", "q"), ("538", "a"), ("300", "a"), ("533", "n")):
        for value in (v for f in marc.get_fields(tag) for v in f.get_subfields(code)):
            found = FILE_FORMAT.search(value)
            if found:
                return FORMAT_NAMES.get(found[1].lower(), found[1].upper())
    return ""


def _cover_url(marc: pymarc.Record) -> str:
    """The address (856 $u) that is labelled a cover, else an image that is no icon or logo."""
    images = []
    for field in marc.get_fields("856"):
        address = (field.get("u") or "").strip()
        label = _joined(field, "3xyz")
        if address and COVER.search(label):
            return address
        if IMAGE.search(label) or IMAGE_FILE.search(address):
            images.append((address, label))
    return next((a for a, label in images if a and not DECORATION.search(f"{label} {a}")), "")


def _material_type(marc: pymarc.Record) -> str:
    """Return one word for what the record describes.

    The rule is MARC 21's: leader/06 (type of record) and leader/07 (bibliographic level); online
    is what says so in 007/00-01 (cr), in the form of item of 006 (/06, where 006/00 is m) or of
    008 (/23, for maps and films /29).
    """
    kind, level = marc.leader[6], marc.leader[7]
    physical = [(f.data or "")[:2] for f in marc.get_fields("007")]
    if kind in "at" and level in "bis":
        return "serial"
    word = MATERIAL.get(kind, "")
    if word == "book" and any(p[:1] == "s" for p in physical) and _online(marc, physical):
        return "audiobook"
    if word == "book" and _online(marc, physical):
        return "ebook"
    return word


def _online(marc: pymarc.Record, physical: list[str]) -> bool:
    described = _control(marc, "008")
    form = described[29:30] if marc.leader[6] in "efgkor" else described[23:24]
    computer = [f.data or "" for f in marc.get_fields("006")]
    return (
        "cr" in physical
        or form in {"o", "s"}
        or any(d[:1] == "m" and d[6:7] == "o" for d in computer)
    )
