"""Asking a source politely: backoff, blank answers asked again, a breaker per host.

What counts as an answer is the source's to say; how often and after what pause it is asked is
said here. A pause longer than backoff's longest isn't waited for: the attempt is parked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import stamina
import structlog

from bibsync import backoff, events
from bibsync.errors import SourceBusy, SourceError, SourceParked, SourceTimedOut
from bibsync.item import Items
from bibsync.run import Tally
from bibsync.source import Describing, Page, Source
from bibsync.window import Window

FAILURES_TO_OPEN = 5
"""Different windows or look-ups failing in a row at a host open its breaker."""
BLANK_WAITS_S: Sequence[float] = (0.5, 1.5)
"""A blank first answer is asked for again after each of these."""
OK = "ok"
"""The outcome of a request that had a usable answer."""

Told = TypeVar("Told")

log = structlog.get_logger()
stamina.instrumentation.set_on_retry_hooks(())


@dataclass(slots=True)
class Breaker:
    """Counts what failed in a row at one host; open, it ends the runs that meet it."""

    failed: set[Hashable] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Whether the host is to be left alone."""
        return len(self.failed) >= FAILURES_TO_OPEN

    def succeeded(self) -> None:
        """Note that something was answered."""
        self.failed.clear()

    def fail(self, asked: Hashable) -> None:
        """Note a window, or the titles of a look-up, that failed after its retries."""
        self.failed.add(asked)


@dataclass(slots=True)
class Breakers:
    """The breakers of all hosts, shared by every run of a process."""

    by_host: dict[str, Breaker] = field(default_factory=dict)

    def of(self, host: str) -> Breaker:
        """Return the breaker of a host."""
        return self.by_host.setdefault(host, Breaker())


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, and the number of the request within the run that it answers."""

    page: Page
    serial: int


def _nobody(_: str) -> None:
    """Hear an outcome and do nothing."""


class Inquiry:
    """The asking of one run: counts requests and retries, waits between them.

    `answered` hears the outcome of each request: OK, a word of `fault`, or an error's code.
    """

    def __init__(
        self,
        source: Source,
        *,
        retries: int,
        tally: Tally,
        random: Random,
        blank_waits_s: Sequence[float] = BLANK_WAITS_S,
        answered: Callable[[str], None] = _nobody,
    ) -> None:
        self._source = source
        self._attempts = retries + 1
        self._tally = tally
        self._random = random
        self._blank_waits_s = blank_waits_s
        self._answered = answered
        self._serial = 0

    async def page(
        self, window: Window, *, offset: int, first: bool, halvable: bool = False
    ) -> Answer:
        """Ask until there is an answer.

        A `first` page that comes back blank is asked for again before it is believed. Where the
        window is `halvable`, a time-out isn't asked for again: less is.

        Raises:
            SourceTimedOut, SourceBusy: no answer after all retries.
            SourceParked: the vendor wants a longer pause than a run waits.
            SourceRefused, SourceMisled: don't ask again.
        """
        answer = await self._answer(window, offset, halvable=halvable)
        for wait_s in self._blank_waits_s if first else ():
            if not answer.page.blank:
                break
            await asyncio.sleep(wait_s)
            answer = await self._answer(window, offset, halvable=halvable)
        return answer

    async def items(self, source: Describing, titles: Sequence[str]) -> Items:
        """Look titles up until there is an answer.

        Raises:
            SourceBusy: no answer after all retries.
            SourceParked, SourceRefused, SourceMisled: as for a page.
        """
        return await self._until_told(lambda _: source.items(titles))

    async def _answer(self, window: Window, offset: int, *, halvable: bool) -> Answer:
        async def ask(serial: int) -> Answer:
            return Answer(await self._source.page(window, offset=offset), serial)

        return await self._until_told(ask, halvable=halvable)

    async def _until_told(
        self, ask: Callable[[int], Awaitable[Told]], *, halvable: bool = False
    ) -> Told:
        """Ask, with the number of the request within the run, until there is an answer.

        Most questions are answered at once: what repeats them is set up only for those that aren't.
        """
        attempt_no = 0
        failed: list[SourceBusy] = []
        try:
            return await self._ask_once(ask)
        except SourceBusy as busy:
            failed.append(busy)

        def pause(error: Exception) -> bool | float:
            nonlocal attempt_no
            attempt_no += 1
            if not isinstance(error, SourceBusy):
                return False
            wait_s = self._wait_s(error, attempt_no - 1)
            too_wide = halvable and isinstance(error, SourceTimedOut)
            if too_wide or attempt_no >= self._attempts:
                return False
            self._tally.retries += 1
            log.info(events.REQUEST_RETRIED, outcome=error.outcome, wait_s=round(wait_s, 1))
            return wait_s

        async for attempt in stamina.retry_context(pause, attempts=self._attempts, timeout=None):
            with attempt:
                if failed:
                    raise failed.pop()
                return await self._ask_once(ask)
        raise AssertionError("stamina yields until an attempt succeeds or raises")

    async def _ask_once(self, ask: Callable[[int], Awaitable[Told]]) -> Told:
        self._serial += 1
        self._tally.requests += 1
        try:
            told = await ask(self._serial)
        except SourceError as error:
            self._answered(str(error.detail or error.code))
            raise
        self._answered(OK)
        return told

    def _wait_s(self, busy: SourceBusy, attempt: int) -> float:
        wait_s = backoff.full_jitter(attempt, self._random)
        if busy.retry_after is not None:
            wait_s = max(busy.retry_after, wait_s)
        if wait_s > backoff.LONGEST_S:
            raise SourceParked(busy.message, wait_s=wait_s, detail=busy.outcome)
        return wait_s
