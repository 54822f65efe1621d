"""What goes wrong in a seed, and how often; each fault that fires is counted.

Every kind is on in some seeds and off in others, so that rare meetings of two happen too. What no
program could find, no fault may hide for good:

- a title that is hidden from an answer, moved in its order, or in a window that was answered as
  blank three times in a row, is `disturbed`: only a later reading of its day must find it;
- no title is hidden, and none is shown, later than 64 days after it was bought;
- a page isn't cut short right behind its first record: an answer that holds the record asked for
  once more and nothing behind it is how the vendor says that a window ends;
- of one window at most four answers hide or move a title: a window that never holds still is
  accepted once two readings agree, and both may have missed the same undisturbed title.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
STATUSES = (404, 429, 500, 502, 503, 504)
FOREIGN = {
    "html": b"<!DOCTYPE html><html><body><p>Back in an hour.</p></body></html>",
    "xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><body>Back soon.</body></html>',
    "error document": b"<Error><Code>Gen-001</Code><Message>Try again</Message></Error>",
    "plain text": b"upstream connect error or disconnect before headers",
    "foreign XML": b'<?xml version="1.0"?><feed><entry>news</entry></feed>',
    "document type": b'<!DOCTYPE collection [<!ENTITY a "b">]><collection></collection>',
}
PLAIN = {
    "timeout": Reply(failed=Fault.TIMEOUT, seconds=60.0),
    "refused": Reply(status=401),
    "clock refused": Reply(status=401, clock_off=True),
    "long pause": Reply(b"rest", status=503, retry_after=600.0),
}
DRIFT = ("hidden", "hidden all", "moved")
WEIGHTS = {
    "timeout": 4,
    "blank": 8,
    "short": 8,
    "hidden": 6,
    "hidden all": 1,
    "moved": 5,
    "broken off": 3,
    "refused": 1,
    "clock refused": 1,
    "http_401": 1,
    "long pause": 1,
    "slow": 4,
    **dict.fromkeys((f"network {each}" for each in NETWORK), 1),
    **dict.fromkeys((f"http_{each}" for each in STATUSES), 1),
    **dict.fromkeys(FOREIGN, 1),
}
RATES = (0.02, 0.1, 0.2, 0.4)
DRIFTS_AT_MOST = 4
BLANKS_BELIEVED = 3
LOSSES = (0.0, 0.0, 0.002, 0.01)
"""How many connections are lost a statement; ten times as many a COMMIT."""


@dataclass
class Faults:
    """The faults of one seed; none fires any more once it `healed`."""

    random: Random
    vendor: Vendor
    seconds: Callable[[], float]
    fired: Counter[str] = field(default_factory=Counter)
    healed: bool = False

    def __post_init__(self) -> None:
        draw = self.random
        on = [kind for kind in WEIGHTS if draw.random() < 0.6]
        self._kinds = on or ["blank"]
        self._weights = [WEIGHTS[kind] for kind in self._kinds]
        self._rate = draw.choice(RATES)
        self._loss = draw.choice(LOSSES)
        self._drifts: Counter[Window] = Counter()
        self._blanks: defaultdict[tuple[str, Window], int] = defaultdict(int)

    def heal(self) -> None:
        """Let nothing go wrong any more; what was to be shown amid a window is shown now."""
        self.healed = True
        for title in self.vendor.titles:
            if title.amid.pop("shown", None):
                title.befall("shown", self.seconds())
            title.amid.clear()

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
        quick = self.random.uniform(0.05, 1.0)
        if self.healed or self.random.random() >= self._rate:
            return self._page(request, titles, seconds=quick)
        kind = self.random.choices(self._kinds, self._weights)[0]
        if kind in DRIFT and self._drifts[request.window] >= DRIFTS_AT_MOST:
            return self._page(request, titles, seconds=quick)
        self.fired[kind] += 1
        if kind in FOREIGN:
            return Reply(FOREIGN[kind], seconds=quick)
        if kind.startswith("network "):
            return Reply(failed=Fault(kind.removeprefix("network ")), seconds=quick)
        if kind.startswith("http_"):
            pause = self.random.choice((None, 1.0, 7.0))
            return Reply(b"busy", status=int(kind[5:]), retry_after=pause, seconds=quick)
        return self._odd(kind, request, titles, quick)

    def _odd(self, kind: str, request: Request, titles: list[Title], quick: float) -> Reply:
        if kind in PLAIN:
            return replace(PLAIN[kind], seconds=max(quick, PLAIN[kind].seconds))
        if kind == "blank":
            return self._blank(request, titles, quick)
        if kind in DRIFT:
            self._drifts[request.window] += 1
            titles = self._drifted(kind, titles)
        size = self.random.randint(2, self.vendor.page_size) if kind == "short" else None
        seconds = self.random.uniform(5.0, 55.0) if kind == "slow" else quick
        whole = self._page(request, titles, seconds=seconds, size=size)
        if kind == "broken off":
            return replace(whole, body=whole.body[: self.random.randrange(60, len(whole.body))])
        return whole

    def _page(
        self, request: Request, titles: list[Title], *, seconds: float, size: int | None = None
    ) -> Reply:
        self._blanks[request.replica, request.window] = 0
        first = request.offset - 1
        shown = titles[first : first + (size or self.vendor.page_size)]
        return Reply(page(shown, self.seconds()), seconds=seconds)

    def _blank(self, request: Request, titles: list[Title], quick: float) -> Reply:
        self._blanks[request.replica, request.window] += 1
        if self._blanks[request.replica, request.window] >= BLANKS_BELIEVED:
            self._disturb(titles)
        return Reply(self.random.choice((b"", b"\r\n", b"\xef\xbb\xbf ")), seconds=quick)

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
