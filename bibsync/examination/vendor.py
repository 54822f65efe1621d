"""The checks of one collection's vendor: a single page is asked for, and judged from all sides.

The page goes through the collection's real source, so that what passes here passes in a run. It
covers nothing and nothing of it is stored. One busy answer is forgiven, as vendors give them often.

Each failure is told under the check that it speaks of; a check about which the answer says nothing
(the login, where nobody listens) is only named in the failure.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bibsync import marc
from bibsync.collection import Collection
from bibsync.errors import SourceBusy, SourceError, SourceMisled, SourceRefused
from bibsync.examination.finding import Finding, State, failed, passed, warning, without
from bibsync.reject import SHORT, Reason, Reject
from bibsync.source import Page, Permit, Source, always, present
from bibsync.window import Window

Sources = Callable[[Collection, Permit], Source]
"""How a collection's source is opened, with what is awaited before each request."""

STRETCH: Final = timedelta(days=31)
LONGEST_ANSWER: Final = timedelta(seconds=40)
LONGEST_PAUSE_S: Final = 15.0
PAUSE_S: Final = 1.0
SLICE: Final = 10
"""Records read before other checks get their turn."""

ADDRESS, CLOCK, LOGIN, PAGE = "vendor.address", "vendor.clock", "vendor.login", "vendor.page"

CLOCK_WARNS_S: Final = 60.0
CLOCK_FAILS_S: Final = 300.0

UNREACHED: Final = frozenset({"dns", "connect", "tls"})
SILENT: Final = frozenset({"timeout", "reset", "bad_http", "postponed"})
"""What may end an exchange before a word of the vendor came."""
REFUSING: Final = frozenset({"http_401", "clock"})

UNKNOWN_LIBRARY: Final = (
    "Check library_id and base_url of this collection: so answers a vendor that knows no such "
    "library."
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking: a page or an error.

    `skew_s` is the vendor's clock minus ours, None where it told no time. `rejects` counts the
    records of the page that would be set aside.
    """

    host: str
    skew_s: float | None = None
    page: Page | None = None
    error: SourceError | None = None
    rejects: Counter[Reason] = field(default_factory=Counter)

    @property
    def blame(self) -> str:
        """The check that the error belongs to; empty where there is none."""
        if self.error is None:
            return ""
        outcome = self.error.outcome if isinstance(self.error, SourceBusy) else ""
        silent = outcome in SILENT and self.skew_s is None
        if silent or outcome in UNREACHED or isinstance(self.error, SourceMisled):
            return ADDRESS
        refused = outcome in REFUSING or isinstance(self.error, SourceRefused)
        return LOGIN if refused or outcome == "http_404" else PAGE


async def examine(collection: Collection, source: Sources) -> list[Finding]:
    """Ask for one page and judge what came."""
    try:
        heard = await _ask(collection, source)
    except SourceError as error:  # the address is none: nobody could be asked
        return _told([failed(ADDRESS, error)])
    findings = [judge(heard) for judge in JUDGEMENTS]
    return _told([finding for finding in findings if finding is not None])


def _told(findings: list[Finding]) -> list[Finding]:
    """Name in the failure what the answer says nothing about."""
    judged = {finding.check for finding in findings}
    unchecked = [check for check in (ADDRESS, CLOCK, LOGIN, PAGE) if check not in judged]
    return [
        without(each, unchecked) if each.code and each.state is State.FAILED else each
        for each in findings
    ]


async def _ask(collection: Collection, opened: Sources) -> Heard:
    timeout = min(collection.sync.timeout, LONGEST_ANSWER)
    source = opened(replace(collection, sync=replace(collection.sync, timeout=timeout)), always)
    try:
        page = await _page(source)
    except SourceError as error:
        return Heard(source.host, source.skew(), error=error)
    rejects: Counter[Reason] = Counter()
    for number, raw in enumerate(page.records, start=1):
        what = marc.read(raw)
        if isinstance(what, Reject):
            rejects[what.reason] += 1
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return Heard(source.host, source.skew(), page, rejects=rejects)


async def _page(source: Source) -> Page:
    """Ask at most twice; the second request is signed by the vendor's clock."""
    try:
        return await source.page(_stretch(source), offset=1)
    except SourceBusy as busy:
        pause_s = busy.retry_after or PAUSE_S
        if pause_s > LONGEST_PAUSE_S:
            raise
        await asyncio.sleep(pause_s)
    return await source.page(_stretch(source), offset=1)


def _stretch(source: Source) -> Window:
    end = present(datetime.now(UTC), source.skew())
    return Window(end - STRETCH, end)


def address(heard: Heard) -> Finding | None:
    """Judge whether the vendor's address is one, and somebody there answers."""
    if heard.error and heard.blame == ADDRESS:
        return failed(ADDRESS, heard.error)
    return passed(ADDRESS, f"{heard.host} answers.")


def clock(heard: Heard) -> Finding | None:
    """Judge this machine's clock by the vendor's."""
    if heard.skew_s is None:
        return None
    apart_s = abs(heard.skew_s)
    if apart_s <= CLOCK_WARNS_S:
        return passed(CLOCK, f"This machine's clock and the vendor's are {apart_s:.0f} s apart.")
    slow = heard.skew_s > 0
    late = "new titles are found and " if slow else ""
    when = "late" if slow else "early"
    finding = warning(
        CLOCK,
        f"This machine's clock is {_length(apart_s)} {'behind' if slow else 'ahead of'} the "
        "vendor's. Requests are signed by the vendor's clock, so they are let in and nothing is "
        f"lost; but {late}schedules begin that much too {when}, and times on screen are wrong.",
        "Set this machine's clock, best by NTP; if it is right, the vendor's is wrong: tell them.",
    )
    return replace(finding, state=State.FAILED) if apart_s > CLOCK_FAILS_S else finding


def login(heard: Heard) -> Finding | None:
    """Judge whether the account is let in; only an answer of 200 and a refusal tell."""
    if heard.page is not None:
        return passed(LOGIN, "The vendor accepts the account and its key.")
    if heard.error is None or heard.blame != LOGIN:
        return None
    if isinstance(heard.error, SourceBusy) and heard.error.outcome == "http_404":
        return failed(LOGIN, SourceMisled(heard.error.message, remedy=UNKNOWN_LIBRARY))
    return failed(LOGIN, heard.error)


def page(heard: Heard) -> Finding | None:
    """Judge what the vendor sent of the last 31 days."""
    if heard.error:
        return failed(PAGE, heard.error) if heard.blame == PAGE else None
    records = heard.page.records if heard.page else ()
    if not records:
        return _nothing(blank=heard.page is not None and heard.page.blank)
    count = f"{len(records)} record{'' if len(records) == 1 else 's'}"
    message = f"{count} of the last {STRETCH.days} days on the first page"
    if not heard.rejects:
        return passed(PAGE, f"{message}, all of them readable.")
    why = ", ".join(f"{number} {SHORT[reason]}" for reason, number in heard.rejects.items())
    aside = heard.rejects.total()
    if aside == len(records):
        error = SourceError(
            f"{message}, and every one would be set aside: {why}.",
            remedy="Ask the vendor what it sends; `bibsync run-once` keeps the bytes to look at.",
        )
        return failed(PAGE, error)
    return warning(
        PAGE,
        f"{message}; {aside} would be set aside: {why}.",
        "They cost no other record; a run keeps them with their bytes: bibsync rejects list.",
    )


def _nothing(*, blank: bool) -> Finding:
    if blank:
        message = (
            f"The answer for the last {STRETCH.days} days was blank, as this vendor may answer for "
            "a quiet stretch."
        )
    else:
        message = f"All is well, but there are no records of the last {STRETCH.days} days."
    return warning(
        PAGE,
        message,
        "If titles were bought in that time, check library_id with the vendor; else there is "
        "nothing to do.",
    )


def _length(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"  # noqa: PLR2004 - two hours


JUDGEMENTS: Final[tuple[Callable[[Heard], Finding | None], ...]] = (address, clock, login, page)
