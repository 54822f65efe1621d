"""ISO 2709, the binary form of MARC: files are cut by a reader of our own, then read by pymarc.

pymarc's own file reader ends at the first wrong length. Here a length is believed only where a
record ends there and none before; else the record terminator decides, and each mend is
named. A record whose directory doesn't fit its fields would give wrong values, so the directory
is made anew from the field terminators, or the record is a reject.
"""

import contextlib
import hashlib
import io
import itertools
import logging
import mmap
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymarc

from bibsync.marc import reader, sameness
from bibsync.marc.reader import CODE_LENGTH_WRONG as CODE_WRONG, NotMarc
from bibsync.marc.repair import ILLEGAL, ILLEGAL_CHARACTERS
from bibsync.record import RawRecord, Record, plain
from bibsync.reject import Reason, Reject

LENGTH_WRONG = "record_length"
TERMINATOR_ABSENT = "record_terminator"
JUNK_BEFORE = "junk_before_record"
DIRECTORY_WRONG = "directory"
UTF8_UNDECLARED = "utf8_undeclared"
MARC8_UNMAPPED = "marc8_unmapped"

RECORD_END, FIELD_END, SUBFIELD, ESCAPE = b"\x1d", b"\x1e", b"\x1f", b"\x1b"
HEAD, LENGTH, ENTRY = 24, 5, 12
LONGEST_FIELD, LARGEST_RECORD = 9_999, 99_999

BLANKS = re.compile(rb"[\r\n \x00]*")
LIKE_LEADER = rb"[a-z ][a-z][a-z0-9 ][\x20-\x7e]{2}[0-9 ]{2}[0-9]{5}[\x20-\x7e]{3}4"
"""A leader behind its length: status and type, indicator count, base address, entry map."""

LEADER = re.compile(rb"[0-9]{5}" + LIKE_LEADER)
DAMAGED_LEADER = re.compile(rb"[\x20-\x7e]{5}" + LIKE_LEADER)
BLANK_LEADER = re.compile(b" " * LENGTH + LIKE_LEADER)
ANOTHER_WITHIN = re.compile(rb"\x1d[\r\n \x00]*[0-9]{5}" + LIKE_LEADER)
END = re.compile(
    rb"\x1e\x1d"
    rb"|\x1d(?=[\r\n \x00]*(?:[0-9]{5}|\Z))"
    rb"|\x1e(?=[\r\n \x00]*(?:\Z|[0-9]{5}" + LIKE_LEADER + rb"))"
)
"""Where a record of unknown length ends; the last two lack the record terminator."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of one record of a file, and what was mended in cutting it."""

    data: bytes
    repairs: tuple[str, ...] = ()


def read_file(path: Path) -> Iterator[Record | Reject]:
    """Read each record of a file, in order; memory doesn't grow with the file."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for position, chunk in enumerate(chunks(data)):
            yield read_chunk(chunk, position=position)


def chunks(data: bytes | mmap.mmap) -> Iterator[Chunk]:
    """Cut a file into its records; whatever can't belong to a whole one comes out as it is."""
    at = _next(data, 0)
    while at < len(data):
        stop = _believed(data, at)
        if stop:
            yield Chunk(data[at:stop])
        else:
            found = END.search(data, at)
            stop = found.end() if found else len(data)
            yield _mended(data[at : min(stop, at + reader.RECORD_LIMIT + 1)])
        at = _next(data, stop)


def read_chunk(chunk: Chunk, *, position: int = 0) -> Record | Reject:
    """Read the record of a chunk. Nothing is raised for what a file may hold."""
    salt = str(sameness.READER_VERSION).encode()
    raw = RawRecord(
        data=chunk.data,
        masked=chunk.data,
        raw_hash=hashlib.sha256(salt + b"\0" + chunk.data).digest(),
        key=None,
        position=position,
        repairs=chunk.repairs,
    )
    if len(raw.data) > reader.RECORD_LIMIT:
        return reader.rejected(raw, Reason.OVERSIZE_RECORD)
    try:
        data, misfits = _fitting(raw.data)
        marc, guessed = _decoded(data)
        cleaned = _cleaned(marc)
    except (NotMarc, pymarc.PymarcException, ValueError, LookupError, TypeError) as error:
        told = str(error) or type(error).__name__
        return reader.rejected(raw, Reason.UNREADABLE_RECORD, told)
    repairs = (*raw.repairs, *misfits, *guessed, *cleaned)
    return reader.identified(plain(marc), raw, repairs)


def _next(data: bytes | mmap.mmap, start: int) -> int:
    """Return where something begins from `start` on, behind blanks, line ends and padding.

    A leader whose length is left blank begins with those five blanks.
    """
    found = BLANKS.match(data, start)
    at = found.end() if found else start
    head = at - LENGTH
    blank = head >= start and data[head:at] == b" " * LENGTH
    return head if blank and BLANK_LEADER.match(data, head) else at


def _believed(data: bytes | mmap.mmap, at: int) -> int:
    """Return the end of the record at `at` if its length leads to one and to no later, else 0."""
    length = data[at : at + LENGTH]
    stop = at + int(length) if length.isdigit() else 0
    if stop < at + HEAD or data[stop - 2 : stop] != FIELD_END + RECORD_END:
        return 0
    return 0 if ANOTHER_WITHIN.search(data, at, stop) else stop


def _mended(data: bytes) -> Chunk:
    """Make a chunk of a record whose length or terminator is wrong."""
    repairs: tuple[str, ...] = ()
    leader = None if DAMAGED_LEADER.match(data) else LEADER.search(data)
    if leader:
        data, repairs = data[leader.start() :], (JUNK_BEFORE,)
    if data.endswith(FIELD_END):
        data, repairs = data + RECORD_END, (*repairs, TERMINATOR_ABSENT)
    length = b"%05d" % min(len(data), LARGEST_RECORD)
    if DAMAGED_LEADER.match(data) and data[:LENGTH] != length:
        data, repairs = length + data[LENGTH:], (*repairs, LENGTH_WRONG)
    return Chunk(data, repairs)


def _fitting(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the record with a directory that fits its fields, and what was unusual about them.

    Raises:
        NotMarc: it can't be told which field has which tag.
    """
    base = int(data[12:17])
    directory, body = data[HEAD : base - 1], data[base:-1]
    if data[base - 1 : base] != FIELD_END or len(directory) % ENTRY or not directory:
        raise NotMarc("its directory doesn't end where the leader says")
    if not data.endswith(FIELD_END + RECORD_END):
        raise NotMarc("it has no end")
    entries = [directory[i : i + ENTRY] for i in range(0, len(directory), ENTRY)]
    fields = [field + FIELD_END for field in body[:-1].split(FIELD_END)]
    starts = list(itertools.accumulate((len(field) for field in fields[:-1]), initial=0))
    by_place = sorted(entries, key=lambda entry: entry[7:])
    odd = _indicators(by_place, fields)
    said = [(int(entry[3:7]), int(entry[7:])) for entry in by_place]
    if said == list(zip(map(len, fields), starts, strict=True)):
        return data, odd
    if len(fields) != len(entries):
        raise NotMarc("its directory doesn't fit its fields")
    if _tiles(said) or [start for _, start in said] == starts:
        tags = [entry[:3] for entry in by_place]
    elif [int(entry[3:7]) for entry in entries] == [len(field) for field in fields]:
        tags = [entry[:3] for entry in entries]
    else:
        raise NotMarc("its directory doesn't fit its fields")
    return _rebuilt(data[:HEAD], tags, fields), (DIRECTORY_WRONG, *odd)


def _tiles(said: list[tuple[int, int]]) -> bool:
    """Tell whether a directory is of one piece, as where lengths are counted in characters."""
    lengths = (length for length, _ in said[:-1])
    return [start for _, start in said] == list(itertools.accumulate(lengths, initial=0))


def _rebuilt(leader: bytes, tags: list[bytes], fields: list[bytes]) -> bytes:
    directory, start = b"", 0
    for tag, field in zip(tags, fields, strict=True):
        if len(field) > LONGEST_FIELD or start > LARGEST_RECORD:
            raise NotMarc("its directory doesn't fit its fields, which are too long for any")
        directory += b"%b%04d%05d" % (tag, len(field), start)
        start += len(field)
    rest = leader[LENGTH:] + directory + FIELD_END + b"".join(fields) + RECORD_END
    return b"%05d" % min(len(rest) + LENGTH, LARGEST_RECORD) + rest


def _indicators(entries: list[bytes], fields: list[bytes]) -> tuple[str, ...]:
    """Tell whether a data field has another number of indicators than two: pymarc makes it two."""
    held = zip(entries, fields, strict=False)
    data = (field for entry, field in held if not entry[:3].isdigit() or entry[:3] >= b"010")
    wrong = any(len(field[:-1].split(SUBFIELD, 1)[0]) != len("##") for field in data)
    return (reader.INDICATOR_WRONG,) if wrong else ()


def _decoded(data: bytes) -> tuple[pymarc.Record, tuple[str, ...]]:
    """Let pymarc read a record; what it says of MARC-8 on stderr, and as warnings, becomes names.

    Leader/09 blank means MARC-8, but is often left blank over UTF-8; bytes decide.
    """
    declared = data[9:10] == b"a"
    utf8 = not declared and not data.isascii() and ESCAPE not in data and _is_utf8(data)
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stderr(said):
        warnings.simplefilter("always")
        marc = pymarc.Record(data, force_utf8=utf8)
    odd = {UTF8_UNDECLARED: utf8, MARC8_UNMAPPED: said.getvalue(), CODE_WRONG: warned}
    return marc, tuple(name for name, found in odd.items() if found)


def _cleaned(marc: pymarc.Record) -> tuple[str, ...]:
    """Drop characters that no MARCXML could hold, so that every stored record can be written."""
    leader = ILLEGAL.sub(" ", str(marc.leader))
    found = leader != str(marc.leader)
    marc.leader = pymarc.Leader(leader)
    for field in marc.fields:
        heads = (field.tag, field.indicator1, field.indicator2, *(s.code for s in field.subfields))
        if ILLEGAL.search("".join(heads)):
            raise NotMarc("a control character stands for a tag, an indicator or a code")
        if field.data and ILLEGAL.search(field.data):
            field.data, found = ILLEGAL.sub("", field.data), True
        for place, (code, value) in enumerate(field.subfields):
            if ILLEGAL.search(value):
                field.subfields[place] = pymarc.Subfield(code, ILLEGAL.sub("", value))
                found = True
    return (ILLEGAL_CHARACTERS,) if found else ()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


logging.getLogger("pymarc").setLevel(logging.ERROR)
"""pymarc warns of indicators and the like on stderr; the records' repairs tell it instead."""
