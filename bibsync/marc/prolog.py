"""What an answer is: a page, or one of the things that vendors and proxies send instead of one.

Answers are told apart by their root element alone (vendor-api: an error document has `Error`,
a maintenance page `html`), never by status or Content-Type: the vendor sends all with 200.
"""

import html
import re
from dataclasses import dataclass

from bibsync.fault import Fault
from bibsync.marc.markup import NAME

START_TAG = re.compile(
    rb"<((?:" + NAME + rb":)?(" + NAME + rb"))((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+)>"
)
LONGEST_START_TAG = 65_536
BINDING = re.compile(rb"""\s(xmlns(?::[\w.-]+)?)\s*=\s*("[^"]*"|'[^']*')""")
HTML = frozenset({b"html", b"head", b"body", b"title", b"h1", b"center"})
NAMESPACES = frozenset(
    {
        b"",
        b"http://www.loc.gov/MARC21/slim",
        b"info:lc/xmlns/marcxchange-v1",
        b"info:lc/xmlns/marcxchange-v2",
    }
)


class NotAPage(Exception):
    """The answer isn't a page of MARC records, so it says nothing about what the vendor holds.

    `outcome` is one word for counters.
    """

    def __init__(self, outcome: Fault, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


@dataclass(frozen=True, slots=True)
class Root:
    """The start tag of a MARC collection.

    `name` is as written, with its prefix. `end` is the place behind the tag. `closed` tells that
    the tag closes itself: a collection without records.
    """

    name: bytes
    end: int
    bindings: bytes
    closed: bool

    @property
    def familiar(self) -> bool:
        """Tell whether the root is in a namespace that is known for MARC, or in none."""
        prefix = self.name.rpartition(b":")[0]
        wanted = b"xmlns:" + prefix if prefix else b"xmlns"
        uris = {name: uri[1:-1] for name, uri in BINDING.findall(self.bindings)}
        return uris.get(wanted, b"").strip() in NAMESPACES


def find_root(view: bytes, start: int) -> Root | None:
    """Return the collection that begins at or after `start`; None where no element does.

    `view` is the page without its comments, CDATA and instructions. Text before the root
    is passed over, and so is an end tag that belongs to nothing.

    Raises:
        NotAPage: what begins there is something else, or breaks off.
    """
    at = view.find(b"<", start)
    while at >= 0 and view.startswith(b"</", at):
        at = view.find(b"<", at + 1)
    if at < 0:
        return None
    if view[at + 1 : at + 2] in (b"!", b"?"):
        raise _declared(view[at : at + 200])
    tag = START_TAG.match(view, at, at + LONGEST_START_TAG)
    if tag is None:
        raise _broken(view, at)
    name, local, rest = tag[1], tag[2], tag[3]
    if local != b"collection":
        raise _foreign(view, at, local)
    bindings = b"".join(b" " + name + b"=" + uri for name, uri in BINDING.findall(rest))
    return Root(name, tag.end(), bindings, closed=rest.endswith(b"/"))


def _declared(beginning: bytes) -> NotAPage:
    word = beginning.lower()
    if re.match(rb"<!doctype\s+html\b", word):
        return NotAPage(Fault.HTML, "the answer is an HTML page")
    if word.startswith((b"<!doctype", b"<!entity")):
        return NotAPage(Fault.DOCTYPE, "the answer declares a document type, which no page needs")
    return NotAPage(Fault.CUT_SHORT, "the answer breaks off before its root element")


def _broken(view: bytes, at: int) -> NotAPage:
    if view.find(b">", at) < 0 and re.match(rb"<(?:\w|$)", view[at : at + 2]):
        return NotAPage(
            Fault.CUT_SHORT, "the answer breaks off within its root element's start tag"
        )
    return NotAPage(Fault.NOT_XML, "the answer is neither XML nor HTML")


def _foreign(view: bytes, at: int, local: bytes) -> NotAPage:
    word = local.lower()
    if word in HTML:
        return NotAPage(Fault.HTML, "the answer is an HTML page")
    if word == b"error":
        said = [_element(view, at, name) for name in (b"Code", b"Message")]
        told = ": ".join(filter(None, said)) or "it says no more"
        return NotAPage(Fault.ERROR_DOCUMENT, f"the vendor answered with an error document: {told}")
    shown = local[:40].decode("ascii", "replace")
    return NotAPage(
        Fault.FOREIGN_XML, f"the answer's root element is {shown}, not a MARC collection"
    )


def _element(view: bytes, start: int, name: bytes) -> str:
    pattern = rb"<(?:" + NAME + rb":)?" + name + rb"(?:\s[^<>]*)?>([^<]{0,400})"
    found = re.compile(pattern, re.IGNORECASE).search(view, start)
    return " ".join(html.unescape(found[1].decode("utf-8", "replace")).split()) if found else ""
