"""The contract of a source: how a window of vendor time is asked for, page by page.

A source signs, sends, classifies and cuts; it never retries, never waits for longer than its
turn in the vendor's budget and its permit, and never decides what an answer means for coverage.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from bibsync.item import Items
from bibsync.record import RawRecord
from bibsync.window import Window, whole_seconds

Permit = Callable[[], Awaitable[bool]]
"""Returns when a request may go out: True at once, while the run surely has the right to run; False
after a wait, in which the vendor may have asked for a pause."""


async def always() -> bool:
    """Let every request go out: nobody else can be at it."""
    return True


@dataclass(frozen=True, slots=True)
class Page:
    """One answer that proved to be a page.

    `records` are in the vendor's order, at most the source's page size. `blank` tells that the
    answer had no body at all, which is neither a page nor an error: the caller decides.
    """

    records: tuple[RawRecord, ...]
    blank: bool = False


class Source(Protocol):
    """One account at one vendor. The conformance suite in tests/sources holds for every source."""

    host: str
    """The vendor's host: what the request budget and the breaker are shared by."""

    page_size: int
    """The most records that a page can hold."""

    def skew(self) -> float | None:
        """Vendor's clock minus ours in seconds, as its last answer told; None before any did."""

    async def page(self, window: Window, *, offset: int) -> Page:
        """Ask once for records of `window` from `offset` on, which counts from 1.

        Raises:
            SourceBusy: no usable answer this time; ask again.
            SourceRefused: the credentials are wrong; don't ask again.
            SourceMisled: the address or the library is wrong; don't ask again.
        """


@runtime_checkable
class Describing(Protocol):
    """A source that also tells of single titles what their MARC records don't."""

    lookup_size: int
    """The most titles that a look-up takes."""

    async def items(self, control_numbers: Sequence[str]) -> Items:
        """Ask once for at most `lookup_size` titles; the answer accounts for each of them.

        Raises:
            SourceBusy: no usable answer this time, which an empty one is not; ask again.
            SourceRefused: the credentials are wrong; don't ask again.
            SourceMisled: the address or the library is wrong; don't ask again.
        """


def present(ours: datetime, skew: float | None) -> datetime:
    """Return the earlier of our clock and the vendor's, in whole seconds."""
    return whole_seconds(ours + timedelta(seconds=min(skew or 0.0, 0.0)))
