"""What goes wrong in a seed, and how often; each fault that fires is counted.

Every kind is on in some seeds and off in others, so that rare meetings of two happen too. What no
program could find, no fault may hide for good:

- a title that is hidden from an answer, moved in its order, or in a window that was answered as
  blank three times in a row, is `disturbed`: only a later reading of its day must find it;
- no title is hidden, and none is shown, later than 64 days after it was bought;
- a page isn't cut short right behind its first record: an answer that holds the record asked for
  once more and nothing behind it is how the vendor says that a window ends;
- of days that were older than 64 days when they were read at first, none is read again: there no
  title is hidden, late or moved;
- of one window at most four answers hide or move a title: a window that never holds still is
  accepted once two readings agree, and both may have missed the same undisturbed title.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import cycle
from random import Random

from bibsync.fault import Fault
from bibsync.window import Window
from tests.simulation.vendor import Reply, Request, Title, Vendor, page

NETWORK = (
    Fault.DNS,
    Fault.CONNECT,
    Fault.TLS,
    Fault.RESET,
    Fault.CUT_SHORT,
    Fault.BAD_HTTP,
    Fault.BAD_ENCODING,
    Fault.BAD_GZIP,
    Fault.CUT_GZIP,
    Fault.OVERSIZE,
    Fault.POSTPONED,
)
STATUSES = (401, 404, 429, 500, 502, 503, 504)
FOREIGN = {
    "html": b"<!DOCTYPE html><html><body><p>Back in an hour.</p></body></html>",
    "xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><body>Back soon.</body></html>',
    "error document": b"<Error><Code>Gen-001</Code><Message>Try again</Message></Error>",
    "plain text": b"upstream connect error or disconnect before headers",
    "foreign XML": b'<?xml version="1.0"?><feed><entry>news</entry></feed>',
    "document type": b'<!DOCTYPE collection [<!ENTITY a "b">]><collection></collection>',
}
PLAIN = {
    "timeout": Reply(failed=Fault.TIMEOUT),
    "refused": Reply(status=401),
    "clock refused": Reply(status=401, clock_off=True),
    "long pause": Reply(b"rest", status=503, retry_after=600.0),
    **{f"http_{each}": Reply(b"busy", status=each) for each in STATUSES},
    **{f"network {each}": Reply(failed=each) for each in NETWORK},
    **{each: Reply(body) for each, body in FOREIGN.items()},
}
PAUSES_S = (None, 1.0, 7.0)
"""What Retry-After asks for."""
NOTHING = (b"", b"\r\n", b"\xef\xbb\xbf ")
DRIFT = ("hidden", "hidden all", "moved")
WEIGHTS = {
    "plain": 40,
    "timeout": 4,
    "slow": 4,
    "blank": 20,
    "short": 12,
    "broken off": 3,
    "hidden": 16,
    "hidden all": 3,
    "moved": 9,
}
RATES = (0.08, 0.2, 0.35, 0.5)
DRIFTS_AT_MOST = 4
BLANKS_BELIEVED = 3
SHORTEST = 2
LOSSES = (0.0, 0.0, 0.002, 0.01)
"""How many connections are lost a statement; ten times as many a COMMIT."""


def deal(seed: int) -> list[str]:
    """Return the plain faults, begun elsewhere by each seed, so that a few seeds have them all."""
    first = seed * 5 % len(PLAIN)
    kinds = list(PLAIN)
    return kinds[first:] + kinds[:first]


@dataclass
class Faults:
    """The faults of one seed; none fires any more once it `healed`.

    Windows that begin before `drifts_from` hold still.
    """

    seed: int
    vendor: Vendor
    seconds: Callable[[], float]
    drifts_from: datetime
    fired: Counter[str] = field(default_factory=Counter)
    healed: bool = False

    def __post_init__(self) -> None:
        draw = self.random = Random(f"{self.seed} faults")
        self._kinds = [kind for kind in WEIGHTS if kind == "plain" or draw.random() < 0.6]
        self._weights = [WEIGHTS[kind] for kind in self._kinds]
        self._rate = draw.choice(RATES)
        self._loss = draw.choice(LOSSES)
        self._plain = cycle(deal(self.seed))
        self._drifts: Counter[Window] = Counter()
        self._blanks: Counter[tuple[str, Window]] = Counter()
        self._blank_on: Counter[tuple[str, Window]] = Counter()

    def heal(self) -> None:
        """Let nothing go wrong any more; what was to be shown amid a window is shown now."""
        self.healed = True
        for title in self.vendor.titles:
            if title.amid.pop("shown", None):
                title.befall("shown", self.seconds())
            title.amid.clear()
            title.restless = 0

    def lost(self, kind: str) -> str | None:
        """Tell whether the connection is lost with this statement: `before` it, or `after`."""
        rate = self._loss * (1 if kind == "other" else 10)
        if self.healed or self.random.random() >= rate:
            return None
        when = self.random.choice(("before", "after"))
        self.fired[f"connection lost {when} {kind}"] += 1
        return when

    def answer(self, request: Request) -> Reply:
        """Answer a request, rightly or not."""
        befallen = self.vendor.count_request(self.seconds())
        self.fired.update(f"{each} while paging" for each in befallen)
        titles = self.vendor.inside(request.window, self.seconds())
        kind = self._kind(request, titles)
        if kind is None:
            return self._page(request, titles)
        self.fired[kind] += 1
        if kind == "blank":
            return self._blank(request, titles)
        if kind in PLAIN:
            pause = self.random.choice(PAUSES_S) if kind.startswith("http_") else None
            plain = PLAIN[kind]
            return replace(plain, retry_after=plain.retry_after or pause)
        return self._odd(kind, request, titles)

    def _kind(self, request: Request, titles: list[Title]) -> str | None:
        """Draw what is wrong with the answer; None: nothing."""
        if self.healed:
            return None
        if self._blank_on[request.replica, request.window]:
            return "blank"
        if self.random.random() >= self._rate:
            return None
        kind = self.random.choices(self._kinds, self._weights)[0]
        if kind == "plain":
            return next(self._plain)
        if kind == "short" and len(self._shown(request, titles)) <= SHORTEST:
            return None
        return None if kind in DRIFT and self._holds_still(request.window) else kind

    def _holds_still(self, window: Window) -> bool:
        """Tell whether no answer about the window may be out of order, or lack a title."""
        return window.start < self.drifts_from or self._drifts[window] >= DRIFTS_AT_MOST

    def _odd(self, kind: str, request: Request, titles: list[Title]) -> Reply:
        """Answer with a page, but not with the right one, or not in time."""
        if kind in DRIFT:
            self._drifts[request.window] += 1
            titles = self._drifted(kind, titles)
        most = len(self._shown(request, titles)) - 1
        size = self.random.randint(SHORTEST, most) if kind == "short" else None
        whole = self._page(request, titles, size=size)
        if kind == "slow":
            return replace(whole, seconds=self.random.uniform(5.0, 55.0))
        if kind == "broken off":
            return replace(whole, body=whole.body[: self.random.randrange(60, len(whole.body))])
        return whole

    def _page(self, request: Request, titles: list[Title], *, size: int | None = None) -> Reply:
        self._blanks[request.replica, request.window] = 0
        shown = self._shown(request, titles)[:size]
        reply = Reply(page(shown, self.seconds()), seconds=self.random.uniform(0.05, 0.8))
        self.fired["edited behind an answer"] += sum(e.was_shown(self.seconds()) for e in shown)
        return reply

    def _shown(self, request: Request, titles: list[Title]) -> list[Title]:
        first = request.offset - 1
        return titles[first : first + self.vendor.page_size]

    def _blank(self, request: Request, titles: list[Title]) -> Reply:
        """Answer without a body, often several times in a row."""
        asked = request.replica, request.window
        if self._blank_on[asked]:
            self._blank_on[asked] -= 1
        elif self.random.random() < 0.4:
            self._blank_on[asked] = BLANKS_BELIEVED - 1
        self._blanks[asked] += 1
        if self._blanks[asked] >= BLANKS_BELIEVED:
            self.fired["blank and believed"] += 1
            self._disturb(titles)
        return Reply(self.random.choice(NOTHING))

    def _drifted(self, kind: str, titles: list[Title]) -> list[Title]:
        """Return the titles as this answer has them: some left out, or two that changed places."""
        if kind == "hidden all":
            self._disturb(titles)
            return []
        if kind == "hidden" or len(titles) < 2:
            hidden = self.random.sample(titles, min(1, len(titles)))
            self._disturb(hidden)
            return [each for each in titles if each not in hidden]
        one, other = self.random.sample(range(len(titles)), 2)
        self._disturb([titles[one], titles[other]])
        titles = list(titles)
        titles[one], titles[other] = titles[other], titles[one]
        return titles

    def _disturb(self, titles: list[Title]) -> None:
        for each in titles:
            each.disturb(self.seconds())
