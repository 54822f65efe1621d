"""What can be wrong with a vendor's answer, or why there was none: a word each, and what it means.

The word stands in the log and in a problem's `detail`; cause and remedy are for a systems
librarian and stand in docs/problems.md, the remedy also behind the error itself. None of these
loses anything: the window that was asked for stays uncovered, and is asked for again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

Status = NewType("Status", str)
"""The word of an HTTP status: http_503."""


class Fault(StrEnum):
    """Why there is no usable answer, other than by its HTTP status."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    CUT_SHORT = "cut_short"
    BAD_HTTP = "bad_http"
    BAD_ENCODING = "bad_encoding"
    BAD_GZIP = "bad_gzip"
    CUT_GZIP = "cut_gzip"
    OVERSIZE = "oversize"
    BLANK = "blank"
    HTML = "html"
    ERROR_DOCUMENT = "error_document"
    NOT_XML = "not_xml"
    FOREIGN_XML = "foreign_xml"
    DOCTYPE = "doctype"
    NOT_ITEMS = "not_items"
    UNSTABLE = "unstable"
    CLOCK = "clock"
    POSTPONED = "postponed"


@dataclass(frozen=True, slots=True)
class Plain:
    """What a word means, and what to do, in whole sentences."""

    cause: str
    remedy: str


LATER: Final = "Nothing is lost; run again later, it goes on where it was."
_REACH: Final = (
    "Check this machine's network, and base_url of this collection if it never worked; then run "
    "again, it goes on where it was."
)
_ON_THE_WAY: Final = (
    "Run again later, it goes on where it was. If it comes each time, look for a proxy, a firewall "
    "or a filter between this machine and the vendor."
)
_ASK_VENDOR: Final = (
    "Run again later, it goes on where it was. If it lasts for days, ask the vendor, naming the "
    "window and the time."
)
_WEB_PAGE: Final = (
    "See whether a proxy answers in the vendor's place, or the vendor is under maintenance; "
    "nothing is lost, run again later."
)

PLAIN: Final[Mapping[Fault, Plain]] = {
    Fault.DNS: Plain(
        "The vendor's host name can't be found: base_url is misspelt, or this machine's name "
        "service doesn't work.",
        _REACH,
    ),
    Fault.CONNECT: Plain(
        "Nobody takes the connection at the vendor's address, or not in time: the network is down, "
        "a firewall is in between, or the vendor's server is switched off.",
        _REACH,
    ),
    Fault.TLS: Plain(
        "No secure connection can be made: the vendor's certificate has run out or is for another "
        "name, this machine doesn't know who issued it, or a proxy opens secure connections.",
        "Check this machine's clock and its certificates of authorities, and whether a proxy is in "
        "between; if the vendor's certificate has run out, tell the vendor.",
    ),
    Fault.TIMEOUT: Plain(
        "The vendor gave no whole answer within `timeout`. It usually means that too much was "
        "asked for at once, so the window is halved and asked for again where it can be.",
        LATER,
    ),
    Fault.RESET: Plain(
        "The vendor, or something on the way, broke the connection off.", _ON_THE_WAY
    ),
    Fault.CUT_SHORT: Plain(
        "The answer ends before its end. Nothing in it counts: what is missing can't be seen.",
        _ON_THE_WAY,
    ),
    Fault.BAD_HTTP: Plain("The answer isn't proper HTTP.", _ON_THE_WAY),
    Fault.BAD_ENCODING: Plain(
        "The answer is packed in a way that bibsync did not ask for and can't unpack.", _ON_THE_WAY
    ),
    Fault.BAD_GZIP: Plain("The answer is packed, and damaged: it can't be unpacked.", _ON_THE_WAY),
    Fault.CUT_GZIP: Plain(
        "The answer is packed, and ends before its end. Nothing in it counts.", _ON_THE_WAY
    ),
    Fault.OVERSIZE: Plain(
        "The answer is larger than any can honestly be (a page 16 MiB or 10,000 records, a "
        "look-up 2 MiB), so it isn't read to its end.",
        _ASK_VENDOR,
    ),
    Fault.BLANK: Plain(
        "The answer is empty where an empty one can't mean 'nothing there': a look-up always has "
        "something to say.",
        LATER,
    ),
    Fault.HTML: Plain(
        "The answer is a web page, not records: a maintenance notice, a login page, or the word of "
        "a proxy in between.",
        _WEB_PAGE,
    ),
    Fault.ERROR_DOCUMENT: Plain(
        "The vendor answered with an error of its own, whose words the message repeats. One that "
        "says 'Authentication failed' passes by itself too: wrong credentials are refused in "
        "another way (`credentials_refused`).",
        _ASK_VENDOR,
    ),
    Fault.NOT_XML: Plain(
        "The answer is neither records nor a web page: plain text, or something unreadable.",
        _WEB_PAGE,
    ),
    Fault.FOREIGN_XML: Plain(
        "The answer is XML, but no collection of MARC records.",
        "See whether base_url is that of this vendor's interface; nothing is lost, run again.",
    ),
    Fault.DOCTYPE: Plain(
        "The answer declares a document type. No page of records needs one, and it could make this "
        "machine read what it should not, so it isn't opened.",
        _WEB_PAGE,
    ),
    Fault.NOT_ITEMS: Plain(
        "The answer to a look-up is no list of items, so it tells nothing of any title.",
        _ASK_VENDOR,
    ),
    Fault.UNSTABLE: Plain(
        "The vendor gives other records each time the same days are asked for, so nobody can tell "
        "when all have been seen. What came is stored; the days don't count as read.",
        _ASK_VENDOR,
    ),
    Fault.CLOCK: Plain(
        "This machine's clock and the vendor's are minutes apart, so the vendor refuses our "
        "signatures. The next request is signed by the vendor's clock.",
        "Set this machine's clock.",
    ),
    Fault.POSTPONED: Plain(
        "The vendor asked for a pause that isn't over, so it was not asked at all.", LATER
    ),
}

STATUSES: Final[Mapping[Status, Plain]] = {
    Status("http_401"): Plain(
        "The vendor says 'not allowed', but not as it does to wrong credentials; it says so at "
        "times when it is overloaded, and it passes.",
        _ASK_VENDOR,
    ),
    Status("http_404"): Plain(
        "The vendor finds nothing under this address. On a library that has answered before it "
        "passes; where nothing else ever came it becomes `source_misconfigured`.",
        "Check base_url and library_id if it never worked; else run again later.",
    ),
    Status("http_429"): Plain(
        "The vendor was asked more often than it likes. The pause it names is kept.",
        "Lower `requests_per_second`; nothing is lost, run again later.",
    ),
    Status("http_500"): Plain("The vendor's server met an error of its own.", _ASK_VENDOR),
    Status("http_502"): Plain("The vendor's front server got no answer from within.", LATER),
    Status("http_503"): Plain(
        "The vendor's server is overloaded or under maintenance. The pause it names is kept.",
        LATER,
    ),
    Status("http_504"): Plain("The vendor's front server waited too long for an answer.", LATER),
}
OF_NETWORK: Final = frozenset({Fault.DNS, Fault.CONNECT, Fault.TLS, Fault.RESET})
"""What went wrong between this machine and the vendor: nobody there has said a word."""
OTHER_STATUS: Final = Plain(
    "The vendor, or a proxy in its place, answered with another HTTP status than 200 (OK); the "
    "message names it.",
    _WEB_PAGE,
)


def of_status(status: int) -> Status:
    """Return the word of an HTTP status that is no success."""
    return Status(f"http_{status}")


def plain(word: Fault | Status) -> Plain:
    """Return what a word means."""
    return PLAIN[word] if isinstance(word, Fault) else STATUSES.get(word, OTHER_STATUS)
