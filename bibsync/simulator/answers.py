"""Answers of the vendor: what goes back over the wire, and the ways in which it can go wrong.

An answer is plain data until `wire` sends it. Each fault is a function that makes a wrong answer
out of the right one; vendor-api.md, "Answers", tells which were seen in life.
"""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import Enum
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

from bibsync.simulator import marcxml
from bibsync.simulator.chance import Chance

XML: Final = "application/xml; charset=utf-8"


class Carriage(Enum):
    """How an answer travels."""

    WHOLE = "whole"
    CUT = "cut"
    """Without a length; the connection closes after the body, wherever that ends."""
    SHORT = "short"
    """The length is told, and the connection closes before it is reached."""
    RESET = "reset"
    """The length is told, and the connection is reset in the middle of the body."""
    DRIP = "drip"
    """A byte now and then, until the client gives up."""
    NEVER = "never"
    """Nothing at all, until the client gives up; a 504 where it has very much patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; `kind` is the word it is counted under, `records` how many it carries.

    `faults` are the kinds of `Faults` that made a difference to it.
    """

    kind: str = ""
    status: int = 200
    body: bytes = b""
    content_type: str = XML
    headers: Mapping[str, str] = field(default_factory=dict)
    carriage: Carriage = Carriage.WHOLE
    records: int = 0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a fault may look at: chance, the vendor's clock, the client's wishes, switches."""

    chance: Chance
    clock: datetime
    takes_gzip: bool
    retry_after_s: int
    redirect_to: str


Fault = Callable[[Answer, Circumstances], Answer]


def error(message: str, *, kind: str = "", status: int = 200, code: str = "Gen-001") -> Answer:
    """Return an error document."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Error xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"<Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )
    return Answer(kind=kind, status=status, body=body.encode())


def status(number: int, reason: str) -> Fault:
    """Return the fault that a gateway answers with this status and a page of its own."""

    def answer(_right: Answer, _at: Circumstances) -> Answer:
        return Answer(status=number, body=_gateway(f"{number} {reason}"), content_type="text/html")

    return answer


def unauthorized() -> Answer:
    """Return the answer to wrong credentials: 401 without a body."""
    return Answer(kind="refused", status=401)


def not_found(kind: str = "") -> Answer:
    """Return a 404 with a web server's own page."""
    return Answer(kind=kind, status=404, body=_gateway("404 Not Found"), content_type="text/html")


def compressed(right: Answer) -> Answer:
    """Return the answer gzipped."""
    headers = {**right.headers, "Content-Encoding": "gzip"}
    return replace(right, body=gzip.compress(right.body, 6, mtime=0), headers=headers)


def _gateway(text: str) -> bytes:
    return f"<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>".encode()


def _retry_after(at: Circumstances) -> str:
    if at.chance.happens(0.5):
        return str(at.retry_after_s)
    return format_datetime(at.clock + timedelta(seconds=at.retry_after_s), usegmt=True)


def _http_503(_right: Answer, at: Circumstances) -> Answer:
    headers = {"Retry-After": _retry_after(at)}
    body = _gateway("503 Service Unavailable")
    return Answer(status=503, body=body, content_type="text/html", headers=headers)


def _http_429(_right: Answer, at: Circumstances) -> Answer:
    return Answer(status=429, headers={"Retry-After": _retry_after(at)})


def _never(right: Answer, _at: Circumstances) -> Answer:
    return replace(right, carriage=Carriage.NEVER)


def _drip(right: Answer, _at: Circumstances) -> Answer:
    return replace(right, carriage=Carriage.DRIP)


def _reset(right: Answer, _at: Circumstances) -> Answer:
    return replace(right, carriage=Carriage.RESET)


def _cut_body(right: Answer, at: Circumstances) -> Answer:
    kept = at.chance.between(len(right.body) // 4, max(len(right.body) - 2, 0))
    return replace(right, body=right.body[:kept], carriage=Carriage.CUT)


def _cut_gzip(right: Answer, _at: Circumstances) -> Answer:
    whole = compressed(right)
    return replace(whole, body=whole.body[: len(whole.body) * 3 // 4], carriage=Carriage.CUT)


def _content_length_wrong(right: Answer, _at: Circumstances) -> Answer:
    return replace(right, carriage=Carriage.SHORT)


def _blank(_right: Answer, at: Circumstances) -> Answer:
    return Answer(body=at.chance.pick((b"", b"", b" \r\n")))


def _error_document(_right: Answer, at: Circumstances) -> Answer:
    return error(at.chance.pick(("Authentication failed", "Unknown error")))


def _error_document_500(right: Answer, at: Circumstances) -> Answer:
    return replace(_error_document(right, at), status=at.chance.pick((400, 401, 500)))


def _html(_right: Answer, at: Circumstances) -> Answer:
    well_formed = b"<html><body><p>Down for maintenance.</p></body></html>"
    usual = b"<!DOCTYPE html>\n<html><head><meta charset=utf-8><body><p>Please log in.<br></html>"
    body = at.chance.pick((well_formed, usual))
    return Answer(body=body, content_type="text/html; charset=utf-8")


def _foreign_xml(_right: Answer, at: Circumstances) -> Answer:
    feed = b'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>x</title></feed>'
    dublin_core = b"<records><record><title>Not MARC</title></record></records>"
    return Answer(body=at.chance.pick((feed, dublin_core)))


def _doctype(right: Answer, _at: Circumstances) -> Answer:
    bomb = b'<!DOCTYPE collection [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    at = right.body.find(b"?>") + 2 if right.body.startswith(b"<?xml") else 0
    return replace(right, body=right.body[:at] + bomb + right.body[at:])


def _redirect(_right: Answer, at: Circumstances) -> Answer:
    number = at.chance.pick((301, 302, 307, 308))
    return Answer(status=number, headers={"Location": at.redirect_to})


def _no_content(_right: Answer, _at: Circumstances) -> Answer:
    return Answer(status=204)


def _gzip_bomb(_right: Answer, _at: Circumstances) -> Answer:
    return Answer(body=_bomb(), headers={"Content-Encoding": "gzip"})


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return 64 MiB of blanks inside a collection, in some 64 KiB of gzip."""
    start, end = marcxml.page([]).split(b"</", 1)
    press = zlib.compressobj(9, wbits=31)
    parts = [press.compress(start)]
    parts += [press.compress(b" " * 2**20) for _ in range(64)]
    parts += [press.compress(b"</" + end), press.flush()]
    return b"".join(parts)


INSTEAD: Final[Mapping[str, Fault]] = {
    "http_500": status(500, "Internal Server Error"),
    "http_502": status(502, "Bad Gateway"),
    "http_504": status(504, "Gateway Time-out"),
    "http_503_retry_after": _http_503,
    "http_429": _http_429,
    "timeout": _never,
    "drip": _drip,
    "reset": _reset,
    "cut_body": _cut_body,
    "cut_gzip": _cut_gzip,
    "content_length_wrong": _content_length_wrong,
    "blank": _blank,
    "error_document": _error_document,
    "error_document_500": _error_document_500,
    "html": _html,
    "foreign_xml": _foreign_xml,
    "doctype": _doctype,
    "not_found": lambda _right, _at: not_found(),
    "redirect": _redirect,
    "no_content": _no_content,
    "gzip_bomb": _gzip_bomb,
}
"""Faults that replace or spoil a whole answer, by name; one answer has at most one of them."""

_WITHOUT_GZIP: Final[Mapping[str, str]] = {"cut_gzip": "cut_body", "gzip_bomb": "html"}


def wrong(name: str, right: Answer, at: Circumstances) -> Answer:
    """Return what the fault `name` makes of the right answer.

    A client that takes no gzip gets another fault where gzip is needed for this one.
    """
    if not at.takes_gzip:
        name = _WITHOUT_GZIP.get(name, name)
    return replace(INSTEAD[name](right, at), kind=name, faults=(name,), records=0)
