"""A vendor in memory: what it sells, when it shows it, and what it answers.

It is asked by the real source of cloudLibrary, which signs, classifies and cuts; the wire between
them is made up here. What an answer holds is decided when the request arrives, so an earlier
request never sees later contents than a later one does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from yarl import URL

from bibsync.collection import Collection
from bibsync.errors import SourceBusy, SourceTimedOut
from bibsync.fault import Fault
from bibsync.source import Permit
from bibsync.sources import clock
from bibsync.sources.bibliotheca import Bibliotheca
from bibsync.sources.http import Answer, Sign, Told
from bibsync.window import Window

NEVER = float("inf")
NAMESPACE = "http://www.loc.gov/MARC21/slim"


@dataclass(eq=False)
class Title:
    """A title that was bought, and its history; times are true seconds.

    Attributes:
        moment: what the vendor says when it was bought.
        shown_from: when it can be seen at first.
        settled_from: from when on no fault hides it any more.
        prompt: whether any reading of its window after its purchase must find it.
        withdrawn_at: when it is gone for good.
        edited: when its record changed, in any order.
        amid: what happens to it once so many pages were asked for.
        restless: how many times its record changes as soon as it was shown.
        controls: how many control numbers it has; other than one makes it a reject.
    """

    key: str
    moment: datetime
    shown_from: float
    settled_from: float
    prompt: bool = True
    withdrawn_at: float | None = None
    edited: list[float] = field(default_factory=list)
    amid: dict[str, int] = field(default_factory=dict)
    restless: int = 0
    controls: int = 1

    def shown(self, at: float) -> bool:
        """Tell whether the vendor shows it then."""
        return self.shown_from <= at and (self.withdrawn_at is None or at < self.withdrawn_at)

    def edition(self, at: float) -> int:
        """Return which edition of its record the vendor has then, from 0."""
        return sum(edited <= at for edited in self.edited)

    def disturb(self, at: float) -> None:
        """Note that a fault kept it from a reading until `at`."""
        self.prompt = False
        self.settled_from = max(self.settled_from, at)

    def befall(self, what: str, at: float) -> None:
        """Have happen what is to happen amid a window."""
        match what:
            case "shown":
                self.shown_from = at
                self.disturb(at)
            case "withdrawn":
                self.withdrawn_at = at
            case "edited":
                self.edited.append(at)

    def was_shown(self, at: float) -> bool:
        """Change right behind an answer, if it does; tell whether."""
        if not self.restless:
            return False
        self.restless -= 1
        self.edited.append(at)
        return True

    def marcxml(self, at: float) -> str:
        """Return its record as it is then."""
        controls = f'<marc:controlfield tag="001">{self.key}</marc:controlfield>' * self.controls
        return (
            f"<marc:record><marc:leader>00000nam a2200000   4500</marc:leader>{controls}"
            '<marc:datafield tag="037" ind1=" " ind2=" ">'
            f'<marc:subfield code="a">{self.key}</marc:subfield></marc:datafield>'
            '<marc:datafield tag="245" ind1="1" ind2="0">'
            f'<marc:subfield code="a">Edition {self.edition(at)}</marc:subfield>'
            "</marc:datafield></marc:record>"
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A page that is asked for; `window` as the source was asked for it."""

    replica: str
    window: Window
    offset: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes of a request after `seconds`: an answer over HTTP, or the want of one."""

    body: bytes = b""
    status: int = 200
    seconds: float = 0.2
    retry_after: float | None = None
    failed: Fault | None = None
    clock_off: bool = False


@dataclass
class Vendor:
    """All titles, and the clock that stamps them, wrong by `skew_s`."""

    titles: list[Title]
    page_size: int
    true: Callable[[], datetime]
    skew_s: float = 0.0
    requests: int = 0

    def now(self) -> datetime:
        return self.true() + timedelta(seconds=self.skew_s)

    def step_clock(self, by_s: float) -> None:
        """Set the clock; what is bought from now on is stamped by it."""
        now, step = self.now(), timedelta(seconds=by_s)
        self.skew_s += by_s
        for title in self.titles:
            if title.moment > now:
                title.moment += step

    def count_request(self, at: float) -> list[str]:
        """Count a request; return what befell titles just before it."""
        self.requests += 1
        befallen = []
        for title in self.titles:
            for what, number in list(title.amid.items()):
                if number <= self.requests:
                    del title.amid[what]
                    title.befall(what, at)
                    befallen.append(what)
        return befallen

    def inside(self, window: Window, at: float) -> list[Title]:
        """Return what is shown of a window, which is asked for a second early, in order."""
        since = window.start - timedelta(seconds=1)
        return sorted(
            (e for e in self.titles if since <= e.moment < window.end and e.shown(at)),
            key=lambda each: (each.moment, each.key),
        )


def page(titles: list[Title], at: float) -> bytes:
    """Return the body of an answer."""
    records = "".join(each.marcxml(at) for each in titles)
    return f'<marc:collection xmlns:marc="{NAMESPACE}">{records}</marc:collection>'.encode()


Answering = Callable[[Request], Reply]


class Wire:
    """The vendor's host as one process knows it: `sources.http.Host` without sockets."""

    name = "vendor.example"

    def __init__(self, vendor: Vendor, replica: Any, answering: Answering) -> None:
        self.skew: float | None = None
        self.budget = self
        self._vendor = vendor
        self._replica = replica
        self._answering = answering

    def at(self, _: URL) -> "Wire":
        return self

    def join(self, *_: object) -> None:
        """Let everybody ask as often as they like."""

    def source(self, collection: Collection, permit: Permit) -> Bibliotheca:
        """Return the real source, over this wire."""
        source = Bibliotheca(collection, self, permit)  # type: ignore[arg-type]
        source.page_size = self._vendor.page_size
        return source

    async def get(
        self, url: URL, *, sign: Sign, within: timedelta, vendor: str, permit: Permit, told: Told
    ) -> Answer:
        while not await permit():
            pass
        signed_at = self._replica.now() + timedelta(seconds=self.skew or 0.0)
        sign(signed_at)
        reply = self._answering(_request(self._replica.name, url))
        if reply.failed is Fault.TIMEOUT:
            await asyncio.sleep(within.total_seconds())
            raise SourceTimedOut("The vendor took too long.")
        await asyncio.sleep(reply.seconds)
        if reply.failed is not None:
            raise SourceBusy("There was no answer.", outcome=reply.failed)
        date = self._vendor.now().replace(microsecond=0)
        self.skew = clock.skew(date, self._replica.now())
        told(self.skew)
        return Answer(
            vendor=vendor,
            host=self.name,
            status=reply.status,
            body=reply.body,
            retry_after=reply.retry_after,
            clock_error_s=300.0 if reply.clock_off else (date - signed_at).total_seconds(),
        )


def _request(replica: str, url: URL) -> Request:
    start, end = (
        datetime.fromisoformat(url.query[name]).replace(tzinfo=UTC)
        for name in ("startdate", "enddate")
    )
    window = Window(start + timedelta(seconds=1), end)
    return Request(replica, window, int(url.query["offset"]))
