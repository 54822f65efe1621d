"""One reading of a window: where to ask next, and what each answer proves.

The vendor pages by offset over a result set that may change between two answers, may answer
short, and may repeat itself. A reading therefore asks for the last identified record once more
with every page, and what came behind it. It believes that a window has ended only when an answer
begins with the last record received and holds nothing behind it. Everything here is pure: the
caller asks, stores and waits.

States: guarded (each page must begin with the record the last one ended with; after three shifts
the caller halves the window or goes on loosely) and loose (offsets only; the window is accepted
once two passes in a row saw the same records).

`received` is the highest position received; first or later is told by it, never by the offset:
after a single record the second request has offset 1 again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

MOST_SHIFTS = 3
MOST_PASSES = 4


class Verdict(Enum):
    """What an answer proved."""

    MORE = auto()
    """The answer holds new records, or was too short to reach them: store them and ask on."""
    ENDED = auto()
    """The window ends here: it may be covered."""
    SHIFTED = auto()
    """The result set moved: store what came, then read the window again from its start."""
    AGAIN = auto()
    """A loose pass ended without agreeing with the one before: read once more."""
    UNSTABLE = auto()
    """Too many loose passes disagreed: the window has failed for this run."""


Name = str
"""A received record as a reading sees it: its control number, or `#` and a hash without one."""


def identified(name: Name) -> bool:
    """Whether the record has exactly one control number."""
    return not name.startswith("#")


@dataclass(slots=True)
class Reading:
    """The state of one window's reading; `page_size` is the most that an answer can hold."""

    page_size: int
    received: int = 0
    last_key: str | None = None
    last_pos: int = 0
    shifts: int = 0
    passes: int = 0
    loose: bool = False
    whole: bool = True
    """False while pages before the resumption aren't known."""
    gave: bool = False
    """Whether the window ever gave a record: from then on a blank answer isn't its end."""
    gave_now: bool = False
    """Whether it gave this reading one: then an empty collection isn't its end either.

    What an earlier run received may have been withdrawn since."""
    _overlap: tuple[str, ...] = ()
    _seen: set[str] = field(default_factory=set)
    _repeats: set[str] = field(default_factory=set)
    _pass_before: set[str] | None = None

    @classmethod
    def resumed(cls, page_size: int, *, last_key: str | None, last_pos: int) -> "Reading":
        """Go on after `last_key` at `last_pos`; what came behind it is received once more."""
        if last_key is None:
            return cls(page_size)
        return cls(
            page_size, last_pos, last_key, last_pos, whole=False, gave=True, _overlap=(last_key,)
        )

    @property
    def offset(self) -> int:
        """The offset to ask for next, counted from 1."""
        if self.received == 0:
            return 1
        return self.received if self.loose else self.last_pos

    def names(self) -> tuple[int, bytes] | None:
        """Return count and digest of the distinct names that this reading saw, in any order.

        None where the reading was resumed and doesn't know them all.
        """
        if not self.whole:
            return None
        told = "\n".join(sorted(self._seen)).encode("utf-8", "surrogatepass")
        return len(self._seen), hashlib.sha256(told).digest()

    def take(self, page: Sequence[Name]) -> tuple[Verdict, int]:
        """Judge an answer that isn't blank.

        Returns the verdict and how many of the page's first records were received before.
        """
        return self._take_loosely(page) if self.loose else self._take_guarded(page)

    def take_blank(self) -> Verdict:
        """Judge an answer without a body or records: the end only of a window that never gave any.

        A loose pass that ends so proves nothing, and agrees with no other.
        """
        return self._take_nothing(gave=self.gave)

    def loosen(self) -> None:
        """Give up asking for the last record again; begin the first loose pass."""
        self.loose = True
        self._begin()

    def _take_nothing(self, *, gave: bool) -> Verdict:
        if self.loose:
            return self._end_pass(proven=not gave)
        return self._shift() if gave else Verdict.ENDED

    def _take_guarded(self, page: Sequence[Name]) -> tuple[Verdict, int]:
        if self.received == 0 and not page:
            return self._take_nothing(gave=self.gave_now), 0
        known = min(len(self._overlap), len(page))
        if tuple(page[:known]) != self._overlap[: max(known, 1)]:
            return self._shift(), 0
        fresh = page[known:]
        if not fresh:
            return self._without_new(known), known
        self.gave = self.gave_now = True
        repeats = {name for name in self._seen.intersection(fresh) if identified(name)}
        if repeats - self._repeats:
            self._repeats |= repeats
            return self._shift(), known
        self._remember(page, first=max(self.last_pos, 1))
        return Verdict.MORE, known

    def _without_new(self, known: int) -> Verdict:
        """Believe the end only behind the last record received: the answer may have been short."""
        if len(self._overlap) == 1:
            return Verdict.ENDED
        if known == 1:
            return self._shift()
        self.last_key, self.last_pos = self._overlap[known - 1], self.last_pos + known - 1
        self._overlap = self._overlap[known - 1 :]
        return Verdict.MORE

    def _remember(self, page: Sequence[Name], *, first: int) -> None:
        """Note a page that began at position `first`."""
        self._see(page)
        self.received = first + len(page) - 1
        mark = self._mark(page)
        self.last_key, self.last_pos = page[mark], first + mark
        self._overlap = tuple(page[mark:])

    def _see(self, page: Iterable[Name]) -> None:
        self.gave = self.gave_now = True
        self._seen.update(page)

    def _mark(self, page: Sequence[Name]) -> int:
        """Choose the record to ask for again: the last identified one that leaves room for more."""
        last = len(page) - 1
        for index in range(last, max(last - self.page_size // 2, -1), -1):
            if identified(page[index]):
                return index
        return last

    def _shift(self) -> Verdict:
        self.shifts += 1
        self._begin()
        return Verdict.SHIFTED

    def _begin(self) -> None:
        self.received, self.last_key, self.last_pos = 0, None, 0
        self._overlap, self._seen, self.whole = (), set(), True

    def _take_loosely(self, page: Sequence[Name]) -> tuple[Verdict, int]:
        if not page:
            return self._take_nothing(gave=self.gave_now), 0
        first = self.offset
        known = 1 if self.received and page and page[0] in self._seen else 0
        if self._seen.issuperset(page):
            return self._end_pass(proven=True), known
        self._see(page)
        self.received = first + len(page) - 1
        return Verdict.MORE, known

    def _end_pass(self, *, proven: bool) -> Verdict:
        self.passes += 1
        before, self._pass_before = self._pass_before, self._seen if proven else None
        if proven and before == self._seen:
            return Verdict.ENDED
        if self.passes >= MOST_PASSES:
            return Verdict.UNSTABLE
        self._begin()
        return Verdict.AGAIN
