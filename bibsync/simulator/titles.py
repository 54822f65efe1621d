"""Made-up titles: any number of works, each made from its number when it is asked for.

Work n has the same control number and the same title at every library, as at a real vendor;
its MARC record carries the library's account. The texts hold the characters that damaged
records are damaged in (quotes, dashes, accents, ampersands), all of them in code page 1252.
"""

from dataclasses import dataclass
from typing import Final

from bibsync.simulator import marcxml
from bibsync.simulator.chance import Chance
from bibsync.simulator.defects import LONG_FIELD

AGENCY: Final = "MnSpTMCL"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SIZE: Final = len(_LETTERS) ** 7
_STRIDE: Final = 2_654_435_761  # odd, no multiple of 3: coprime to _SIZE, so every id comes once
_FIRST: Final = 20_260_719
_BACK: Final = pow(_STRIDE, -1, _SIZE)

_ADJECTIVES: Final = (
    "Silent", "Last", "Hidden", "Golden", "Broken", "Distant", "Winter", "Crimson", "Borrowed",
    "Patient", "Salt", "Paper", "Seventh", "Northern", "Forgotten", "Little",
)  # fmt: skip
_NOUNS: Final = (
    "Harbour", "Cartographer", "Orchard", "Lighthouse", "Archive", "River", "Clockmaker", "Garden",
    "Letter", "Café", "Border", "Apprentice", "Mountain", "Señora", "Fjörd", "Library",
)  # fmt: skip
_FIRST_NAMES: Final = ("Ada", "Björn", "Chloé", "Dmitri", "Esi", "François", "Grace", "Hiro")
_LAST_NAMES: Final = ("Okafor", "Lindqvist", "O'Brien", "Müller", "García", "Novak", "Tan", "Weiß")
_PUBLISHERS: Final = ("Smith & Daughters", "Harbour Press", "Éditions du Pont", "Red Kite Audio")
_GENRES: Final = (
    ("FIC000000", "FICTION", "General"),
    ("FIC022000", "FICTION", "Mystery & Detective"),
    ("YAF017000", "YOUNG ADULT FICTION", "Fairy Tales & Folklore"),
    ("HIS010000", "HISTORY", "Europe"),
    ("CKB000000", "COOKING", "General"),
    ("SCI004000", "SCIENCE", "Astronomy"),
)
_FORMATS: Final = ("EPUB", "EPUB", "EPUB3", "PDF", "MP3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the vendor knows of a title, apart from any library."""

    control_number: str
    title: str
    authors: tuple[str, ...]
    isbn: str
    print_isbn: str
    publisher: str
    year: int
    format: str
    genres: tuple[tuple[str, str, str], ...]
    pages: int


def control_number(number: int) -> str:
    """Return the vendor's item id of the work `number`: seven letters and digits."""
    rest, text = (number * _STRIDE + _FIRST) % _SIZE, ""
    for _ in range(7):
        rest, place = divmod(rest, len(_LETTERS))
        text = _LETTERS[place] + text
    return text


def number_of(item_id: str) -> int | None:
    """Return the number of the work with this item id, None where no work can have it."""
    if len(item_id) != len(control_number(0)) or not set(item_id) <= set(_LETTERS):
        return None
    value = 0
    for letter in item_id:
        value = value * len(_LETTERS) + _LETTERS.index(letter)
    return (value - _FIRST) * _BACK % _SIZE


def work(number: int, version: int) -> Work:
    """Return the work `number`; its second version has another title."""
    chance = Chance("work", number)
    title = f"The {chance.pick(_ADJECTIVES)} {chance.pick(_NOUNS)}"
    place = f"{chance.pick(_ADJECTIVES)} {chance.pick(_NOUNS)}"
    authors = {f"{chance.pick(_LAST_NAMES)}, {chance.pick(_FIRST_NAMES)}": None for _ in range(2)}
    return Work(
        control_number=control_number(number),
        title=f"{title} of the {place}" + (" Revisited" if version > 1 else ""),
        authors=tuple(authors)[: chance.between(1, 2)],
        isbn=_isbn(number * 2),
        print_isbn=_isbn(number * 2 + 1),
        publisher=chance.pick(_PUBLISHERS),
        year=chance.between(1990, 2024),
        format=chance.pick(_FORMATS),
        genres=tuple({chance.pick(_GENRES): None for _ in range(2)}),
        pages=chance.between(80, 900),
    )


def unknown(control_number: str) -> Work:
    """Return a work of which nothing but its id is known."""
    return Work(
        control_number=control_number,
        title="",
        authors=(),
        isbn="",
        print_isbn="",
        publisher="",
        year=0,
        format="",
        genres=(),
        pages=0,
    )


def element(of: Work, library_id: str, *, long_field: bool = False) -> bytes:
    """Return the undamaged MARC record of a work, as the vendor makes it for this library.

    The shape follows real answers: 003, 037 with the item id again, BISAC in 072 and 650, the
    account in 856 $u and $x.
    """
    by = of.authors[0] + "."
    carrier = "tz" if of.format != "MP3" else "sz"
    kind = "audio" if of.format == "MP3" else "book"
    fields = [
        marcxml.control("001", of.control_number),
        marcxml.control("003", AGENCY),
        marcxml.control("005", "20140101000000.0"),
        marcxml.control("006", "m     o  d |      "),
        marcxml.control("007", carrier),
        marcxml.control("007", "cr unu||||||||"),
        marcxml.control("008", f"140101s{of.year}||||||||||||o|||||||||||eng|d"),
        marcxml.field("020", "  ", a=of.isbn),
        marcxml.field("037", "  ", a=of.control_number, b="cloudLibrary"),
        marcxml.field("040", "  ", a=AGENCY, b="eng", c=AGENCY),
        *_subjects(of),
        marcxml.field("100", "1 ", a=by, _4="aut"),
        marcxml.field("245", "10", a=of.title, h="[electronic resource] :", c=by),
        marcxml.field("260", "  ", a="[S.l.] :", b=f"{of.publisher},", c=f"{of.year}."),
        marcxml.field("300", "  ", a="1 online resource"),
        marcxml.field("300", "  ", a=f"{of.pages} p."),
        marcxml.field("500", "  ", a=f"Electronic {kind}."),
        marcxml.field("520", "  ", a=_summary(of, long_field=long_field)),
        marcxml.field("533", "  ", a="Electronic reproduction.", b="[S.l.]", c=of.publisher),
        marcxml.field("538", "  ", a=f"Format: Adobe {of.format}"),
        marcxml.field("655", " 0", a=f"Electronic {kind}s."),
        *(marcxml.field("700", "1 ", a=f"{name}.", _4="aut") for name in of.authors[1:]),
        marcxml.field("710", "2 ", a="Cloud"),
        marcxml.field("776", "1 ", z=of.print_isbn),
        *_links(of, library_id),
    ]
    leader = "01034nam a22002413a 4500" if kind == "book" else "01034nim a22002413a 4500"
    return marcxml.record(leader, fields)


def _subjects(of: Work) -> list[str]:
    fields = []
    for code, heading, part in of.genres:
        fields.append(marcxml.field("072", " 7", a=f"{code}/", _2="bisacsh"))
        fields.append(marcxml.field("650", " 7", a=f"{heading}|{part}|", _2="bisacsh"))
    return fields


def _summary(of: Work, *, long_field: bool) -> str:
    text = f"“A first-rate début — poignant & wise,” says one reader of {of.title}. "
    return text * (LONG_FIELD // len(text) + 1) if long_field else text


def _links(of: Work, library_id: str) -> list[str]:
    site, item = "yourcloudlibrary.com", of.control_number
    reader = f"https://ebook.{site}/library/{library_id}-document_id-{item}"
    cover = f"https://images.{site}/delivery/img?type=DOCUMENTIMAGE&documentID={item}&token=nobody"
    whole = f"https://partner.{site}/Cirrus/library/{library_id}/item/{item}"
    return [
        marcxml.field("856", "40", _3="cloudLibrary", u=reader, x=library_id),
        marcxml.field("856", "42", _3="Cover Image", u=cover, x=library_id),
        marcxml.field("956", "42", _3="Whole product", u=whole),
    ]


def _isbn(number: int) -> str:
    """Return a well-formed ISBN-13 for each number."""
    digits = f"978{number % 10**9:09d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"
