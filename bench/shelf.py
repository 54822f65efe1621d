"""The vendor's pages, out of memory: real bodies, and a source that answers with them at once.

A record is made by the simulator's writer and filled up to the size of the records that
cloudLibrary is known to send for purchases: about 5.1 kB of MARCXML in 32 fields with 48
subfields. As at the vendor, 005 and 008/00-05 are made anew for each answer.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bibsync import marc
from bibsync.simulator import marcxml, titles
from bibsync.source import Page
from bibsync.window import DAY, Window

LIBRARY = "springfield"
START = datetime(2024, 1, 1, tzinfo=UTC)
PAGE_SIZE = 50
A_DAY = 500
"""Titles bought on each day; windows are a day wide then."""
LAST_ASKED = START + 3000 * DAY
END_TAG = b"</marc:record>"


class Shelf:
    """`count` titles, bought `A_DAY` a day from START on.

    The vendor is asked for them for the `asking`th time, which shows in the dates that it makes.
    By then `retitled`, a share of the titles, are called otherwise.
    """

    host = "shelf.example"
    page_size = PAGE_SIZE

    def __init__(self, count: int, *, asking: int = 0, retitled: float = 0.0) -> None:
        self.count = count
        self._elements = self._made(LAST_ASKED + timedelta(days=asking), retitled)
        self._laid_out: dict[tuple[int, int], bytes] = {}

    @property
    def now(self) -> datetime:
        """A moment that has all titles behind it, the last 24 hours being empty."""
        return START + (-(-self.count // A_DAY) + 1) * DAY

    def skew(self) -> float | None:
        """Return no difference: there is one clock."""
        return 0.0

    async def page(self, window: Window, *, offset: int) -> Page:
        """Answer as the vendor would, without a wire."""
        first = (window.start - START) // DAY * A_DAY + offset - 1
        past = min(first + PAGE_SIZE, -(-(window.end - START) // DAY) * A_DAY, self.count)
        body = self._laid_out.get((first, past)) or marcxml.page(self.elements(first, past))
        return Page(marc.cut(body))

    def lay_out(self) -> None:
        """Make the bodies of all pages in advance: making them is the vendor's work, not ours.

        Of a page but a day's first, the first record is the last one of the page before.
        """
        for day in range(0, self.count, A_DAY):
            end = min(day + A_DAY, self.count)
            for first in range(day, end, PAGE_SIZE - 1):
                past = min(first + PAGE_SIZE, end)
                self._laid_out[first, past] = marcxml.page(self.elements(first, past))
            self._laid_out[end - 1, end] = marcxml.page(self.elements(end - 1, end))

    def bodies(self) -> Iterator[bytes]:
        """Yield every page of all days, no record twice."""
        for first in range(0, self.count, PAGE_SIZE):
            yield marcxml.page(self.elements(first, first + PAGE_SIZE))

    def elements(self, first: int, past: int) -> Sequence[bytes]:
        """Return the records of these places."""
        return self._elements[first : max(first, past)]

    def _made(self, at: datetime, retitled: float) -> list[bytes]:
        every = round(1 / retitled) if retitled else self.count + 1
        versions = ((n, 1 if (n + 1) % every else 2) for n in range(self.count))
        return [marcxml.stamped(element(n, version), at) for n, version in versions]


class LongShelf(Shelf):
    """A shelf of which nothing is kept: each record is the same but for its control number."""

    def elements(self, first: int, past: int) -> Sequence[bytes]:
        """Return the records of these places."""
        [form] = self._elements
        number = titles.control_number(0).encode()
        return [form.replace(number, b"%07d" % n) for n in range(first, past)]

    def _made(self, at: datetime, retitled: float) -> list[bytes]:
        del retitled
        return [marcxml.stamped(element(0, 1), at)]


def element(number: int, version: int) -> bytes:
    """Return a record as large and as divided as the ones that the vendor sends."""
    work = titles.work(number, version)
    size = f"{work.pages / 100:.1f} MB"
    icon = "https://download.yourcloudlibrary.com/apps/icons/Cloud_Library_App_Icon_50x50.png"
    more = (
        marcxml.field("490", "0 ", a=f"{work.publisher} classics"),
        marcxml.field("538", "  ", a=f"Requires: cloudLibrary (file size: {size})"),
        marcxml.field("655", " 7", a="Electronic books.", d=f"{work.year}", _2="lcgft"),
        marcxml.field("856", "42", _3="cloudLibrary Icon", u=icon),
    )
    bare = titles.element(work, LIBRARY).removesuffix(END_TAG)
    return bare + "".join(more).encode() + END_TAG
