"""The vendor: its libraries, its clock, its faults; what it answers to a request, and the truth.

Everything but the carriage of an answer over the wire is decided here, without waiting and
without a clock but `now`: the same seed, the same requests and the same times give the same
answers, in whatever order different requests arrive.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bibsync.errors import NotFound
from bibsync.simulator import answers, circulation, items, page, signature, truth as ledger
from bibsync.simulator.answers import Answer, Circumstances
from bibsync.simulator.chance import Chance
from bibsync.simulator.faults import KINDS, Faults
from bibsync.simulator.flights import Flights
from bibsync.simulator.library import Library
from bibsync.simulator.log import Log, entry
from bibsync.simulator.request import Request, Stretch, Unanswerable

_SECOND: Final = timedelta(seconds=1)
Scripted = str | Answer | Callable[[Answer], Answer]
"""An answer of a script: `ok`, the name of a fault, an answer, or what to make of the right one."""


def _our_clock() -> datetime:
    return datetime.now(UTC)


class Vendor:
    """A made-up vendor.

    Args:
        libraries: the accounts it serves; an unknown one is 404.
        faults: how it errs, where a library has no faults of its own.
        seed: decides every fault.
        now: the time, aware and in UTC.
        clock_skew_s: how far the vendor's clock is ahead of `now`, in seconds.
        latency_s: how long every answer takes.
        hang_s: how long a `timeout` or `drip` lasts where the client doesn't give up.
        retry_after_s: the pause that 429 and 503 ask for.
        redirect_to: where `redirect` points.
        end_inclusive: whether a purchase at `enddate` itself belongs to the window.
    """

    def __init__(
        self,
        libraries: Iterable[Library],
        *,
        faults: Faults | None = None,
        seed: int = 0,
        now: Callable[[], datetime] = _our_clock,
        clock_skew_s: float = 0.0,
        latency_s: float = 0.0,
        hang_s: float = 90.0,
        retry_after_s: int = 1,
        redirect_to: str = "http://elsewhere.invalid/",
        end_inclusive: bool = False,
    ) -> None:
        self.libraries = {each.library_id: each for each in libraries}
        self.faults = faults or Faults.none()
        self.seed = seed
        self.now = now
        self.clock_skew_s = clock_skew_s
        self.latency_s = latency_s
        self.hang_s = hang_s
        self.retry_after_s = retry_after_s
        self.redirect_to = redirect_to
        self.end_inclusive = end_inclusive
        self.log = Log()
        self.flights = Flights()
        self._scripts: defaultdict[str, deque[tuple[str, Scripted]]] = defaultdict(deque)
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def clock(self) -> datetime:
        """What the vendor takes for the present, as its Date header tells."""
        return self.now() + timedelta(seconds=self.clock_skew_s)

    @property
    def known_at(self) -> datetime:
        """The earlier of both clocks: no client can ask for purchases beyond it."""
        return min(self.now(), self.clock)

    def truth(self, library_id: str) -> dict[str, object]:
        """Return what a client must have of this library by now: see truth.py.

        Raises:
            NotFound: there is no such library here.
        """
        return ledger.truth(self._library(library_id), self.known_at)

    def next_answers(
        self, library_id: str, script: Iterable[Scripted], *, resource: str = ""
    ) -> None:
        """Let the next answers to a library be these, in order, before chance has its turn again.

        Only requests whose resource begins with `resource` use them up: `data/marc`, `items`.

        Raises:
            ValueError: the script holds a word that is no fault and not `ok`.
        """
        wanted = tuple(script)
        unknown = {each for each in wanted if isinstance(each, str)} - {"ok", *KINDS}
        if unknown:
            raise ValueError(f"a script knows ok and the names of faults, not {sorted(unknown)}")
        self._scripts[library_id].extend((resource, each) for each in wanted)

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request, and note it in the log."""
        stretch, answer = self._answered(request)
        noted = entry(self.known_at, request.resource, stretch, answer)
        self.log.note(request.library_id, noted)
        return answer

    def _library(self, library_id: str) -> Library:
        try:
            return self.libraries[library_id]
        except KeyError:
            known = ", ".join(self.libraries) or "none"
            raise NotFound(f"There is no library {library_id!r} here; there are {known}.") from None

    def _answered(self, request: Request) -> tuple[Stretch | None, Answer]:
        library = self.libraries.get(request.library_id)
        if library is None:
            return None, answers.not_found("unknown_library")
        refusal = self._refusal(library, request)
        if refusal is not None:
            return None, refusal
        try:
            stretch = self._stretch(request)
            return stretch, self._answer(library, request, stretch)
        except Unanswerable as error:
            refused = answers.error(str(error), kind="bad_request", status=400, code="Gen-002")
            return None, refused

    def _refusal(self, library: Library, request: Request) -> Answer | None:
        verdict = signature.verify(
            request.headers,
            request.method,
            request.target,
            account_id=library.account_id,
            account_key=library.account_key,
            clock=self.clock,
        )
        if verdict is signature.Verdict.CLOCK:
            return answers.error("Authentication failed", kind="clock", status=401)
        if verdict is signature.Verdict.UNVERSIONED:
            return answers.error("Version is missing", kind="unversioned", status=400)
        if verdict is signature.Verdict.WRONG or library.refused:
            return answers.unauthorized()
        return None

    def _stretch(self, request: Request) -> Stretch | None:
        if request.resource not in ("data/marc", "data/cloudevents"):
            return None
        stretch = Stretch.of(request.query)
        return replace(stretch, end=stretch.end + _SECOND) if self.end_inclusive else stretch

    def _answer(self, library: Library, request: Request, stretch: Stretch | None) -> Answer:
        """Return the right answer, or what a script or chance makes of it."""
        words = (library.library_id, request.target)
        self._asked[words] += 1
        chance = Chance(self.seed, *words, self._asked[words])
        scripted = self._scripted(library.library_id, request.resource)
        faults = library.faults or self.faults
        if scripted is not None:
            faults = Faults(**{scripted: 1.0}) if scripted in KINDS else Faults.none()
        struck = faults.strike(chance)
        right = self._right(library, request, stretch, chance=chance, faults=faults)
        if callable(scripted):
            return scripted(right)
        if isinstance(scripted, Answer):
            return scripted
        if struck is not None:
            right = answers.wrong(struck, right, self._circumstances(request, chance))
        zipped = chance.happens(faults.gzip) and request.takes_gzip and bool(right.body)
        if zipped and "Content-Encoding" not in right.headers:
            right = replace(answers.compressed(right), faults=(*right.faults, "gzip"))
        return right

    def _scripted(self, library_id: str, resource: str) -> Scripted | None:
        script = self._scripts[library_id]
        if not script or not resource.startswith(script[0][0]):
            return None
        return script.popleft()[1]

    def _circumstances(self, request: Request, chance: Chance) -> Circumstances:
        return Circumstances(
            chance=chance,
            clock=self.clock,
            takes_gzip=request.takes_gzip,
            retry_after_s=self.retry_after_s,
            redirect_to=self.redirect_to,
        )

    def _right(
        self,
        library: Library,
        request: Request,
        stretch: Stretch | None,
        *,
        chance: Chance,
        faults: Faults,
    ) -> Answer:
        """Return what the vendor answers when nothing befalls the answer as a whole."""
        at, resource = self.known_at, request.resource
        if stretch is not None and resource == "data/cloudevents":
            return circulation.events(library, stretch, at)
        if stretch is not None:
            right = page.answer(library, stretch, at=at, chance=chance, faults=faults)
            return page.blank(right) if self._is_blank(library, stretch, faults, right) else right
        return _about_items(library, resource, at)

    def _is_blank(self, library: Library, stretch: Stretch, faults: Faults, right: Answer) -> bool:
        if right.records or stretch.offset > 1:
            return False
        day = (stretch.start + _SECOND).date()  # clients begin a second before the window
        return Chance(self.seed, library.library_id, "quiet", day).happens(faults.blank_quiet)


def _about_items(library: Library, resource: str, at: datetime) -> Answer:
    """Return the answer to any resource that names no time."""
    kind, _, ids = resource.rpartition("/")
    if kind in _LOOK_UPS:
        return _LOOK_UPS[kind](library, ids, at)
    if resource:
        return answers.not_found("unknown_resource")
    return Answer(kind="library", body=b'<?xml version="1.0"?><Library/>')


def _record(library: Library, item_id: str, at: datetime) -> Answer:
    """Return one title's record; nothing at all tells that the library doesn't have it."""
    purchase = library.bought.find(item_id)
    if purchase is None or not purchase.visible(at):
        return Answer(kind="no_record")
    return page.single(library, purchase, at)


_LOOK_UPS: Final[dict[str, Callable[[Library, str, datetime], Answer]]] = {
    "items": items.items,
    "item/summary": items.summary,
    "circulation/item": items.circulation,
    "data/marc": _record,
}
