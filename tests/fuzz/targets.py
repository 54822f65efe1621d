"""What is fuzzed: for each reader, what must be true whatever bytes it is given.

A target takes bytes and raises AssertionError where a promise is broken; any other exception is a
finding as well. What each of them starts from is in `seeds`.
"""

import asyncio
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from xml import sax

from pydantic import SecretStr

from bibsync import config, fault, marc
from bibsync.collection import Collection, Sync
from bibsync.errors import ConfigInvalid, SourceBusy, SourceError, SourceMisled, SourceRefused
from bibsync.marc import NotAPage, encoding, iso2709, markup
from bibsync.marc.page import MOST_RECORDS
from bibsync.record import RawRecord, Record
from bibsync.reject import Reject
from bibsync.sources import bibliotheca_items as items, body, clock, http
from bibsync.sources.bibliotheca import Bibliotheca
from bibsync.window import day

ASKED: Final = ("d5rf89", "a b/c", "\u00e9", "a")
KEY: Final = "canary-key/of=it"
ACCOUNT: Final = "canary-account"
WINDOW: Final = day(datetime(2024, 11, 10, tzinfo=UTC))
LONGEST_MESSAGE: Final = 2_000
OPENING: Final = re.compile(rb"<(?:[^\s<>/!?='\"&:]+:)?record(?=[\s/>])")
END_OF_HEAD: Final = b"\n\n"


def page(data: bytes) -> None:
    """Cut and read a page: records and rejects for all that begins like one, or NotAPage."""
    try:
        raws = marc.cut(data)
    except NotAPage as reason:
        _is_short(reason.message)
        return
    text, _ = encoding.as_utf8(data)
    assert len(raws) <= MOST_RECORDS
    assert [raw.position for raw in raws] == list(range(len(raws)))
    assert all(raw.data in text for raw in raws)
    assert sum(len(raw.data) for raw in raws) <= len(text)
    if not raws:
        assert is_empty(text), "this says that there are no records"
    view = markup.visible(text, markup.declaration(text))
    begun = len(OPENING.findall(view))
    kept = sum(len(OPENING.findall(markup.visible(raw.data))) for raw in raws)
    assert kept >= begun, "a record is not accounted for"
    for raw in raws:
        _read(raw)


def _read(raw: RawRecord) -> None:
    told = marc.read(raw)
    if isinstance(told, Reject):
        assert told.raw == raw.data
        assert 0 < len(told.message) < LONGEST_MESSAGE
        return
    assert isinstance(told, Record)
    assert told.control_number.strip() == told.control_number != ""
    assert raw.key in {None, told.control_number}
    assert "\0" not in told.marc.decode()
    again = marc.read(*marc.cut(_page_of(told)))
    assert isinstance(again, Record)
    assert (told.control_number, told.fingerprint) == (again.control_number, again.fingerprint)


def _page_of(record: Record) -> bytes:
    return b"<collection>%b</collection>" % marc.to_xml(record.marc)


class _Structure(sax.ContentHandler):
    """The names of a document's elements, in order, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""

    def startElement(self, name: str, _: object) -> None:  # noqa: N802 - sax has named it
        self.names.append(name)

    def characters(self, content: str) -> None:
        self.text += content


def is_empty(text: bytes) -> bool:
    """Tell, by another parser, whether this is a well-formed collection that holds nothing.

    A lone `>` counts as nothing: a vendor sends it.
    """
    bare = text[markup.declaration(text) :].strip(b" \t\r\n\0")
    structure = _Structure()
    try:
        sax.parseString(bare.decode(), structure)  # noqa: S317 - it opens nothing by default
    except (sax.SAXParseException, UnicodeDecodeError):
        return False
    locals_ = [name.rpartition(":")[2] for name in structure.names]
    return locals_ == ["collection"] and structure.text.strip() in {"", ">"}


class _Told:
    """A host that has answered already."""

    name = "vendor.example"

    def __init__(self, answer: http.Answer) -> None:
        self.budget = SimpleNamespace(join=lambda *_: None)
        self._answer = answer

    def at(self, _: object) -> "_Told":
        return self

    async def get(self, _: object, *, sign: http.Sign, **_others: object) -> http.Answer:
        sign(WINDOW.end)
        return self._answer


def answer(data: bytes) -> None:
    """Classify an answer: its first line is the status, then headers, a blank line, the body."""
    head, _, content = data.partition(END_OF_HEAD)
    first, *lines = head.decode("latin-1").split("\n")
    headers = dict(line.partition(": ")[::2] for line in lines)
    status = int(first) if re.fullmatch("[1-9][0-9]{2}", first) else 200
    told = http.Answer(
        vendor="The vendor",
        host="vendor.example",
        status=status,
        body=content,
        charset=headers.get("charset"),
        retry_after=clock.pause(headers.get("Retry-After"), now=WINDOW.end),
        redirect=http._host_of(headers.get("Location"), "vendor.example"),
        clock_error_s=_clock_error(headers.get("Date")),
    )
    collection = Collection(
        name="Springfield",
        source="bibliotheca",
        library_id="lib",
        account_id=ACCOUNT,
        account_key=SecretStr(KEY),
        sync=Sync(timeout=timedelta(seconds=5)),
    )
    source = Bibliotheca(collection, _Told(told))  # type: ignore[arg-type]
    try:
        read = asyncio.run(source.page(WINDOW, offset=1))
    except (SourceBusy, SourceRefused, SourceMisled) as error:
        _is_plain(error)
        return
    assert status == http.HTTPStatus.OK
    if read.blank:
        assert not content.strip(b" \t\r\n\0\xef\xbb\xbf")
    elif not read.records:
        text, _ = encoding.as_utf8(content, told.charset)
        assert is_empty(text), "this says that there are no records"


def _clock_error(date: str | None) -> float:
    moment = clock.moment(date)
    return clock.skew(moment, WINDOW.end) if moment else 0.0


def _is_short(message: str) -> None:
    assert 0 < len(message) < LONGEST_MESSAGE


def _is_plain(error: SourceError) -> None:
    if isinstance(error, SourceBusy):
        assert fault.plain(error.outcome).remedy
        assert error.retry_after is None or 1 <= error.retry_after <= clock.LONGEST_PAUSE_S
    _is_short(error.message)
    assert KEY not in error.message
    assert ACCOUNT not in error.message


def look_up(data: bytes) -> None:
    """Read a look-up's answer: each title is in one place, or SourceBusy."""
    try:
        read = items.read(data, ASKED, vendor="The vendor")
    except SourceBusy as error:
        _is_plain(error)
        return
    assert set(read.described) | set(read.absent) == set(ASKED)
    assert not set(read.described) & set(read.absent)
    for item in read.described.values():
        assert b"\0" not in item.described().document


def packed(data: bytes) -> None:
    """Unpack a body, in pieces: no more than is allowed, or SourceBusy."""

    async def unpack() -> bytes:
        async def pieces() -> object:
            for at in range(0, len(data), 1 + len(data) // 7):
                yield data[at : at + 1 + len(data) // 7]

        return await body.read(pieces(), encoding="gzip", vendor="The vendor")  # type: ignore[arg-type]

    try:
        assert len(asyncio.run(unpack())) <= body.MOST_BYTES
    except SourceBusy as error:
        _is_plain(error)


def binary(data: bytes) -> None:
    """Read an ISO 2709 file: records and rejects in their order, every byte of them the file's."""
    held = 0
    for position, chunk in enumerate(iso2709.chunks(data)):
        told = iso2709.read_chunk(chunk, position=position)
        assert isinstance(told, Record | Reject)
        assert len(chunk.data) > 0
        held += len(chunk.data) - (1 if iso2709.TERMINATOR_ABSENT in chunk.repairs else 0)
        if isinstance(told, Record):
            assert told.control_number.strip() == told.control_number != ""
            assert isinstance(marc.read(*marc.cut(_page_of(told))), Record)
    assert held <= len(data)


def file_of_xml(data: bytes) -> None:
    """Read a MARCXML file of any shape: records and rejects, or NotAPage for a document type."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        file.write(data)
        file.flush()
        try:
            for told in marc.xml_file(Path(file.name)):
                assert isinstance(told, Record | Reject)
        except NotAPage as refusal:
            _is_short(refusal.message)


def configuration(data: bytes) -> None:
    """Read a configuration file: a Config, or every problem in plain words."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bibsync.toml"
        file.write_bytes(data)
        try:
            read = config.load(file, {"HOME": folder})
        except ConfigInvalid as error:
            for problem in error.problems or ("",):
                _is_short(problem)
            return
        assert read.shown


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "page": page,
    "answer": answer,
    "look_up": look_up,
    "packed": packed,
    "binary": binary,
    "file_of_xml": file_of_xml,
    "configuration": configuration,
}
