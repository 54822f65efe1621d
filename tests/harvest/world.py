"""A made-up vendor in memory, and the means to harvest it: what the tests of the road share."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from pydantic import SecretStr

from bibsync import marc, store
from bibsync.collection import Collection, Sync
from bibsync.harvest import Means, harvest
from bibsync.lease import PostgresLeases
from bibsync.run import Order, Summary, Tally
from bibsync.source import Page
from bibsync.store import Pool, collections
from bibsync.window import Window

NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
QUIET = {"reread": (), "start_date": START}


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase: when, which title, and what its 245 says. No control number: a reject."""

    at: datetime
    key: str
    title: str = "A title"
    controls: int = 1


def bought(count: int, *, since: datetime = START, until: datetime = NOW) -> list[Bought]:
    """Spread `count` purchases evenly over [since, until)."""
    step = (until - since) / max(count, 1)
    return [
        Bought((since + step * n).replace(microsecond=0), f"t{n:05d}", f"Title {n}")
        for n in range(count)
    ]


@dataclass
class Vendor:
    """A source over a list of purchases.

    `hook` is called before each answer with the window and the offset; it may raise, wait, change
    the purchases or return a page of its own.
    """

    purchases: list[Bought]
    hook: Callable[[Window, int], Page | None] | None = None
    host: str = "vendor.example"
    page_size: int = 50
    ahead_s: float | None = 0.0
    asked: list[tuple[Window, int]] = field(default_factory=list)
    waiting: asyncio.Event | None = None

    def skew(self) -> float | None:
        return self.ahead_s if self.asked else None

    async def page(self, window: Window, *, offset: int) -> Page:
        await asyncio.sleep(0)
        self.asked.append((window, offset))
        if self.hook and (made := self.hook(window, offset)):
            return made
        since = window.start - timedelta(seconds=1)
        inside = sorted(
            (each for each in self.purchases if since <= each.at < window.end),
            key=lambda each: (each.at, each.key),
        )
        return page(inside[offset - 1 : offset - 1 + self.page_size])


def page(purchases: Iterable[Bought]) -> Page:
    """Make the page that a vendor would answer."""
    body = "".join(_marcxml(each) for each in purchases)
    namespace = "http://www.loc.gov/MARC21/slim"
    text = f'<marc:collection xmlns:marc="{namespace}">{body}</marc:collection>'
    return Page(marc.cut(text.encode()))


def collection(name: str = "Springfield", **sync: object) -> Collection:
    """Return a collection that is read quietly: no re-reading unless asked for."""
    return Collection(
        name=name,
        source="bibliotheca",
        library_id=name.lower(),
        account_id="account",
        account_key=SecretStr("key"),
        base_url="https://vendor.example/",
        sync=replace(Sync(), **(QUIET | sync)),
    )


@dataclass
class World:
    """A store, a vendor and a clock that only moves when told to."""

    pool: Pool
    vendor: Vendor
    now: datetime = NOW
    seed: int = 0
    collection: Collection = field(default_factory=collection)
    number: int = 0
    ttl: timedelta = timedelta(seconds=60)

    def means(self) -> Means:
        return Means(
            pool=self.pool,
            leases=PostgresLeases(self.pool),
            source=lambda _: self.vendor,
            lease_ttl=self.ttl,
            now=lambda: self.now,
            random=Random(self.seed),
            blank_waits_s=(0.0, 0.0),
        )

    async def enrol(self) -> None:
        async with store.acquire(self.pool) as conn, conn.transaction():
            numbers = await collections.enrol(conn, [self.collection])
        self.number = numbers[self.collection.name]

    async def harvest(self, order: Order | None = None, tally: Tally | None = None) -> Summary:
        if not self.number:
            await self.enrol()
        return await harvest(
            self.collection, self.number, order or Order(), self.means(), tally=tally or Tally()
        )

    async def stored(self) -> dict[str, str]:
        """Return the title of every stored record, by control number."""
        rows = await self.pool.fetch("select control_number, title from records")
        return {row["control_number"]: row["title"] for row in rows}

    async def rejects(self) -> Sequence[str]:
        rows = await self.pool.fetch("select reason from rejects order by reject")
        return [row["reason"] for row in rows]

    def truth(self) -> dict[str, str]:
        return {each.key: each.title for each in self.vendor.purchases if each.controls == 1}


def _marcxml(each: Bought) -> str:
    controls = f'<marc:controlfield tag="001">{each.key}</marc:controlfield>' * each.controls
    return (
        f"<marc:record><marc:leader>00000nam a2200000   4500</marc:leader>{controls}"
        '<marc:controlfield tag="008">240101s2013||||||||||||o|||||||||||eng|d</marc:controlfield>'
        '<marc:datafield tag="037" ind1=" " ind2=" ">'
        f'<marc:subfield code="a">{each.key}</marc:subfield></marc:datafield>'
        '<marc:datafield tag="245" ind1="1" ind2="0">'
        f'<marc:subfield code="a">{each.title}</marc:subfield></marc:datafield></marc:record>'
    )
