"""Reading a raw record: bytes become a Record, or a Reject that says why not.

Each record is parsed by itself and strictly, so that a bad one costs only itself. What is
unusual but unambiguous is kept and named in the record's repairs; what can't be told apart
becomes a reject. Elements are known by their local names, whatever their prefix.
"""

import functools
from xml.parsers import expat

from bibsync.marc import repair, usual
from bibsync.marc.sameness import identity
from bibsync.record import Field, Marc, RawRecord, Record, Subfield, from_marc, is_control
from bibsync.reject import Reason, Reject, sentence

RECORD_LIMIT = 2 * 2**20
DEPTH_LIMIT = 32
LEADER_LENGTH = 24
TAG_LENGTH = 3

LEADER_ABSENT = "leader_absent"
LEADER_LENGTH_WRONG = "leader_length"
LEADER_REPEATED = "leader_repeated"
TAG_LENGTH_WRONG = "tag_length"
INDICATOR_WRONG = "indicator"
CODE_LENGTH_WRONG = "subfield_code"
CONTROL_TAG_IN_DATAFIELD = "datafield_with_control_tag"
DATA_TAG_IN_CONTROLFIELD = "controlfield_with_data_tag"
NESTED_ELEMENT = "nested_element"
UNKNOWN_ELEMENT = "unknown_element"
STRAY_TEXT = "stray_text"

PARENTS = {
    "record": "",
    "leader": "record",
    "controlfield": "record",
    "datafield": "record",
    "subfield": "datafield",
}
HOLDING_TEXT = frozenset({"leader", "controlfield", "subfield"})


def read(raw: RawRecord) -> Record | Reject:
    """Read a record that a page was cut into. Nothing is raised for what a vendor may send.

    A reject's position is that of the raw record; the caller knows the window's.
    """
    if len(raw.data) > RECORD_LIMIT:
        return rejected(raw, Reason.OVERSIZE_RECORD, f"{len(raw.data)} bytes")
    try:
        marc, mends = _understood(raw.data)
    except (expat.ExpatError, NotMarc) as error:
        return rejected(raw, Reason.UNREADABLE_RECORD, str(error))
    return identified(marc, raw, (*raw.repairs, *mends))


def legible(data: bytes) -> bytes | None:
    """Return a record as MARC-in-JSON whatever its control numbers, None if it can't be read."""
    if len(data) > RECORD_LIMIT:
        return None
    try:
        return _understood(data)[0].as_json()
    except (expat.ExpatError, NotMarc):
        return None


def identified(marc: Marc, raw: RawRecord, repairs: tuple[str, ...] = ()) -> Record | Reject:
    """Return the record if it has exactly one control number that isn't blank."""
    numbers = [f[1].strip() for f in marc.fields if f[0] == "001"]
    named = [number for number in numbers if number]
    if not named:
        return rejected(raw, Reason.MISSING_CONTROL_NUMBER)
    if len(named) > 1:
        return rejected(raw, Reason.MULTIPLE_CONTROL_NUMBERS, ", ".join(named)[:200])
    return from_marc(marc, raw_hash=raw.raw_hash, repairs=repairs)


def rejected(raw: RawRecord, reason: Reason, detail: str = "") -> Reject:
    """Set the record aside."""
    return Reject(reason, sentence(reason, detail), raw.data, identity(raw), raw.position)


class NotMarc(Exception):
    """The elements don't make a MARC record; the message says which and why."""


@functools.lru_cache(maxsize=256)
def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _understood(data: bytes) -> tuple[Marc, tuple[str, ...]]:
    """Parse the record, mended where it has to be, and name what was mended or odd."""
    marc = usual.parsed(data)
    if marc is not None:
        return marc, ()
    mends: tuple[str, ...] = ()
    try:
        assembly = _parsed(data)
    except expat.ExpatError:
        data, mends = repair.mended(data)
        if not mends:
            raise
        assembly = _parsed(data)
    return assembly.finished(), (*mends, *assembly.oddities)


def _parsed(data: bytes) -> "_Assembly":
    assembly = _Assembly()
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler = assembly.start
    parser.EndElementHandler = assembly.end
    parser.CharacterDataHandler = assembly.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.Parse(data, True)  # noqa: FBT003 - expat's own signature takes no keyword
    return assembly


def _refuse_doctype(*_: object) -> None:
    raise NotMarc("it declares a document type")


class _Assembly:
    """The record as far as it has been read; `oddities` names what was unusual about it.

    `_inside` is the MARC element that text belongs to, `_around` those that hold it, once for
    each open element, so that an element of another kind changes nothing.
    """

    def __init__(self) -> None:
        self._around: list[str] = []
        self._inside = ""
        self._text: list[str] = []
        self._name = ""
        self._leader: str | None = None
        self._fields: list[Field] = []
        self._subfields: list[Subfield] = []
        self._odd: dict[str, None] = {}

    @property
    def oddities(self) -> tuple[str, ...]:
        return tuple(self._odd)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        kind, around = _local(name), self._inside
        self._around.append(around)
        if len(self._around) > DEPTH_LIMIT:
            raise NotMarc(f"its elements are nested deeper than {DEPTH_LIMIT}")
        if kind not in PARENTS:
            if not around:
                raise NotMarc(f"it begins with {kind}, not with record")
            self._odd[NESTED_ELEMENT if around in HOLDING_TEXT else UNKNOWN_ELEMENT] = None
            return
        if PARENTS[kind] != around:
            raise NotMarc(f"a {kind} stands where none can be")
        self._inside = kind
        if kind == "subfield":
            self._name = self._code(attributes)
        elif kind == "controlfield":
            self._name = self._tag(kind, attributes)
        elif kind == "datafield":
            self._begin_datafield(attributes)

    def text(self, text: str) -> None:
        if self._inside in HOLDING_TEXT:
            self._text.append(text)
        elif not text.isspace():
            self._odd[STRAY_TEXT] = None

    def end(self, _: str) -> None:
        kind, self._inside = self._inside, self._around.pop()
        if kind == self._inside:
            return
        text = "".join(self._text)
        self._text.clear()
        if kind == "subfield":
            self._subfields.append((self._name, text))
        elif kind == "controlfield":
            self._add_controlfield(text)
        elif kind == "datafield":
            self._end_datafield()
        elif kind == "leader":
            self._add_leader(text)

    def finished(self) -> Marc:
        """Return the record with its leader as received, made 24 characters long."""
        if self._leader is None:
            if not self._fields:
                raise NotMarc("it has neither a leader nor a field")
            self._odd[LEADER_ABSENT] = None
        leader = self._leader or ""
        if self._leader is not None and len(leader) != LEADER_LENGTH:
            self._odd[LEADER_LENGTH_WRONG] = None
        return Marc(leader.ljust(LEADER_LENGTH)[:LEADER_LENGTH], self._fields)

    def _begin_datafield(self, attributes: dict[str, str]) -> None:
        first, second = attributes.get("ind1", " "), attributes.get("ind2", " ")
        if len(first) != 1 or len(second) != 1 or not {"ind1", "ind2"} <= attributes.keys():
            self._odd[INDICATOR_WRONG] = None
        self._subfields = []
        self._fields.append((self._tag("datafield", attributes), first, second, self._subfields))

    def _end_datafield(self) -> None:
        """Finish the field; one with a control tag becomes a control field, as MARC has it."""
        tag = self._fields[-1][0]
        if is_control(tag):
            self._fields[-1] = tag, " ".join(value for _, value in self._subfields)
            self._odd[CONTROL_TAG_IN_DATAFIELD] = None

    def _add_controlfield(self, text: str) -> None:
        """Add the field; one with another tag (Aleph's FMT) keeps its text as it is."""
        self._fields.append((self._name, text))
        if not is_control(self._name):
            self._odd[DATA_TAG_IN_CONTROLFIELD] = None

    def _add_leader(self, text: str) -> None:
        if self._leader is None:
            self._leader = text
        else:
            self._odd[LEADER_REPEATED] = None

    def _tag(self, kind: str, attributes: dict[str, str]) -> str:
        tag = attributes.get("tag", "")
        if not tag or not tag.isascii():
            raise NotMarc(f"a {kind} has no tag" if not tag else f"a {kind} has the tag {tag!r}")
        if len(tag) == TAG_LENGTH:
            return tag
        self._odd[TAG_LENGTH_WRONG] = None
        return tag.lstrip("0").zfill(TAG_LENGTH) if tag.isdigit() else tag

    def _code(self, attributes: dict[str, str]) -> str:
        code = attributes.get("code", "")
        if not code:
            raise NotMarc("a subfield has no code")
        if len(code) != 1:
            self._odd[CODE_LENGTH_WRONG] = None
        return code
