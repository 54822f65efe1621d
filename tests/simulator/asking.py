"""A plain client for the simulator's tests: signs, asks, and reads pages with a bare regex."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import format_datetime
from xml.sax.saxutils import unescape

from bibsync.simulator import Answer, Library, Vendor
from bibsync.simulator.request import Request
from bibsync.simulator.signature import sign

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
SINCE, UNTIL = date(2024, 1, 1), date(2024, 2, 1)
WINDOW = "startdate=2024-01-01T00:00:00&enddate=2024-02-01T00:00:00"
PAGE = f"data/marc?{WINDOW}&offset=1&limit=50"
_001 = re.compile(rb'<(?:\w+:)?controlfield tag="001">([^<]*)')
_RECORD = re.compile(rb"<(?:\w+:)?record>")
_245 = re.compile(rb'tag="245".*?code="a">([^<]*)')


class Clock:
    """A clock that a test sets."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def library(titles: int = 120, **more: object) -> Library:
    shape = {"since": SINCE, "until": UNTIL, "titles": titles} | more
    return Library.virtual("abcde", **shape)


def target(resource: str, library_id: str = "abcde") -> str:
    return f"/cirrus/library/{library_id}/{resource}"


def headers(path: str, at: datetime = NOW, key: str = "secret", **more: str) -> dict[str, str]:
    date_text = format_datetime(at, usegmt=True)
    return {
        "3mcl-Datetime": date_text,
        "3mcl-Version": "2.0",
        "3mcl-Authorization": f"3MCLAUTH partner:{sign(key, date_text, 'GET', path)}",
        **more,
    }


def ask(vendor: Vendor, resource: str = PAGE, library_id: str = "abcde", **more: str) -> Answer:
    """Ask the vendor without any wire between."""
    path = target(resource, library_id)
    return vendor.answer(Request("GET", path, headers(path, vendor.clock, **more)))


def pages(vendor: Vendor, window: str = WINDOW, limit: int = 50) -> Iterator[Answer]:
    """Ask for a window's pages one after the other, up to the empty one."""
    offset = 1
    while (answer := ask(vendor, f"data/marc?{window}&offset={offset}&limit={limit}")).records:
        yield answer
        offset += answer.records


def keys(answer: Answer) -> list[str]:
    return [key.decode() for key in _001.findall(answer.body)]


def count(answer: Answer) -> int:
    return len(_RECORD.findall(answer.body))


def titles(answer: Answer) -> dict[str, str]:
    """Return title by control number of an undamaged page."""
    found = (unescape(text.decode()) for text in _245.findall(answer.body))
    return dict(zip(keys(answer), found, strict=True))
