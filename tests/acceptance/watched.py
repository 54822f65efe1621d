"""A vendor that can be watched: it tells when a request comes, and lets a test act just then."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from installation import ACCOUNT_KEY

from bibsync.simulator import Answer, Library, Vendor, serve
from bibsync.simulator.request import Request

TODAY = datetime.now(UTC).date()
LONG_AGO = TODAY - timedelta(days=90)


class Watched(Vendor):
    """The simulator's vendor, counting requests from 1.

    `base_url` is known while it is served.
    """

    base_url = ""

    def __init__(self, libraries: list[Library], **more: Any) -> None:
        super().__init__(libraries, **more)
        self.requests = 0
        self._then: defaultdict[int, list[Callable[[], object]]] = defaultdict(list)

    def answer(self, request: Request) -> Answer:
        self.requests += 1
        for act in self._then.pop(self.requests, ()):
            act()
        return super().answer(request)

    def then(self, number: int, act: Callable[[], object]) -> None:
        """Do something as soon as the next request but `number` - 1 comes in."""
        self._then[self.requests + number].append(act)

    async def asked(self, number: int) -> None:
        """Wait until `number` more requests have come in."""
        come = asyncio.Event()
        self.then(number, come.set)
        async with asyncio.timeout(120):
            await come.wait()

    def forget(self) -> None:
        """Take back what was planned for later requests."""
        self._then.clear()

    def collections(self, **settings: object) -> list[dict[str, object]]:
        """Return the settings of one collection for each library, named by it."""
        return [
            {"name": name, "library_id": name, "base_url": self.base_url, "start_date": LONG_AGO}
            | settings
            for name in self.libraries
        ]

    def must_have(self, library_id: str) -> tuple[dict[str, str], Counter[str]]:
        """Return the fingerprint of every record by control number, and the reasons of rejects."""
        ledger: Any = self.truth(library_id)
        prints = {key: each["fingerprint"] for key, each in ledger["records"].items()}
        return prints, Counter(each["reason"] for each in ledger["rejects"])


def library(name: str = "springfield", *, titles: int = 120, **more: Any) -> Library:
    """Return a library that bought its titles in the last ninety days, before today."""
    days: dict[str, date] = {"since": LONG_AGO, "until": TODAY}
    return Library.virtual(name, "partner", ACCOUNT_KEY, titles=titles, **(days | more))


@asynccontextmanager
async def served(vendor: Watched) -> AsyncIterator[Watched]:
    """Serve the vendor as long as the block lasts."""
    async with serve(vendor) as base_url:
        vendor.base_url = base_url
        yield vendor
