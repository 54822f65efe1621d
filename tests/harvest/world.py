"""A made-up vendor in memory, and the means to harvest it: what the tests of the road share."""

import asyncio
from collections.abc import Awaitable, Callable, Collection as Titles, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pydantic import SecretStr

from bibsync import marc, store
from bibsync.ask import Breakers
from bibsync.choice import Lane, OpenWindow
from bibsync.collection import Collection, Sync
from bibsync.coverage import Coverage
from bibsync.errors import SourceBusy, SourceTimedOut
from bibsync.harvest import Means, harvest
from bibsync.item import Item, Items
from bibsync.lease import PostgresLeases
from bibsync.run import METADATA, PURCHASES, Order, Summary, Tally, Unwitnessed, Witness
from bibsync.source import Page, Source
from bibsync.store import Pool, collections, lanes, windows
from bibsync.window import Window

NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime(2024, 3, 10, tzinfo=UTC)
"""The one before NOW: a collection that begins there is read in one window."""
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

    `hook` is called before each answer with the window and the offset; it may raise, change the
    purchases or return a page of its own. `before` is awaited before the answer to the request of
    that number, from 1.
    """

    purchases: list[Bought]
    hook: Callable[[Window, int], Page | None] | None = None
    host: str = "vendor.example"
    page_size: int = 50
    ahead_s: float | None = 0.0
    asked: list[tuple[Window, int]] = field(default_factory=list)
    before: dict[int, Callable[[], Awaitable[object]]] = field(default_factory=dict)
    lookup_size: int = 25
    look_ups: list[tuple[str, ...]] = field(default_factory=list)
    deny: Callable[[Titles[str]], None] | None = None
    before_look_up: Callable[[], Awaitable[object]] | None = None
    silent_about: set[str] = field(default_factory=set)

    async def items(self, control_numbers: Sequence[str]) -> Items:
        await asyncio.sleep(0)
        self.look_ups.append(tuple(control_numbers))
        if self.before_look_up:
            await self.before_look_up()
        if self.deny:
            self.deny(control_numbers)
        told = {
            each.key: item(each.key, each.title)
            for each in self.purchases
            if each.key in control_numbers and each.key not in self.silent_about
        }
        return Items(told, tuple(set(control_numbers) - set(told)))

    def skew(self) -> float | None:
        return self.ahead_s if self.asked else None

    async def page(self, window: Window, *, offset: int) -> Page:
        await asyncio.sleep(0)
        self.asked.append((window, offset))
        if meanwhile := self.before.get(len(self.asked)):
            await meanwhile()
        if self.hook and (made := self.hook(window, offset)):
            return made
        inside = self.inside(window)
        return page(inside[offset - 1 : offset - 1 + self.page_size])

    def inside(self, window: Window) -> list[Bought]:
        """Return the purchases that a request for this window is about, in the vendor's order."""
        since = window.start - timedelta(seconds=1)
        return sorted(
            (each for each in self.purchases if since <= each.at < window.end),
            key=lambda each: (each.at, each.key),
        )


@dataclass
class Script:
    """A hook that gives the next answers from a list, then lets the vendor answer.

    An answer is a page, an error to raise, a function to call first, or None for the right one.
    `left` is what has not been given yet.
    """

    left: list[Page | Exception | Callable[[], object] | None]

    def __call__(self, _window: Window, _offset: int) -> Page | None:
        answer = self.left.pop(0) if self.left else None
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer()
            return None
        return answer


BLANK = Page((), blank=True)
EMPTY = Page(())


def busy(retry_after: float | None = None) -> SourceBusy:
    """Return the error of an overloaded vendor."""
    return SourceBusy("The vendor is busy.", outcome="http_503", retry_after=retry_after)


def timed_out() -> SourceTimedOut:
    """Return the error of a vendor that took too long."""
    return SourceTimedOut("The vendor took too long.")


def item(control_number: str, title: str, **others: Any) -> Item:
    """Make what the vendor tells of a title."""
    told: dict[str, Any] = (
        dict.fromkeys(
            (
                "subtitle",
                "publisher",
                "published",
                "isbn",
                "language",
                "format",
                "description",
                "cover_url",
            ),
            "",
        )
        | dict.fromkeys(("copies", "available", "holds"))
        | {"authors": (), "genres": (), "other": {}}
    )
    return Item(control_number=control_number, title=title, **(told | others))


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
    breakers: Breakers = field(default_factory=Breakers)
    source: Callable[..., Source] | None = None
    witness: Witness = field(default_factory=Unwitnessed)

    def means(self) -> Means:
        return Means(
            pool=self.pool,
            leases=PostgresLeases(self.pool),
            source=self.source or (lambda *_: self.vendor),
            lease_ttl=self.ttl,
            breakers=self.breakers,
            now=lambda: self.now,
            random=Random(self.seed),
            blank_waits_s=(0.0, 0.0),
            witness=self.witness,
        )

    def configure(self, **sync: object) -> None:
        """Change the collection's settings; `start_date=MIDNIGHT` leaves one window to read."""
        self.collection = replace(self.collection, sync=replace(self.collection.sync, **sync))

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

    async def look_up(self) -> Summary:
        """Run the look-ups."""
        return await self.harvest(Order(stream=METADATA))

    async def described(self) -> dict[str, str]:
        """Return the title that each description tells, by control number."""
        rows = await self._fetch(
            "select control_number, description->>'title' as title from titles "
            "where collection = $1 and description is not null"
        )
        return {row["control_number"]: row["title"] for row in rows}

    async def listed(self) -> dict[str, str | None]:
        """Return the titles that wait for a look-up, with the reason why they still do."""
        rows = await self._fetch(
            "select control_number, problem from titles "
            "where collection = $1 and due_at is not null"
        )
        return {row["control_number"]: row["problem"] for row in rows}

    async def stored(self) -> dict[str, str]:
        """Return the title of every stored record, by control number."""
        rows = await self._fetch("select control_number, title from records where collection = $1")
        return {row["control_number"]: row["title"] for row in rows}

    async def rejects(self) -> Sequence[str]:
        """Return the reason of every reject, in the order they were met first."""
        rows = await self._fetch("select reason from rejects where collection = $1 order by reject")
        return [row["reason"] for row in rows]

    async def lanes(self) -> tuple[Lane, ...]:
        """Return the open lanes, the live one first."""
        return await lanes.unfinished(self.pool, self.key)

    async def covered(self) -> Coverage:
        """Return the coverage of the live lane."""
        return (await self.lanes())[0].covered

    async def open_windows(self) -> tuple[OpenWindow, ...]:
        """Return the windows that were begun and aren't finished."""
        return await windows.begun(self.pool, self.key)

    async def blanks(self) -> list[Window]:
        """Return the stretches that were answered without a body."""
        rows = await self._fetch(
            "select start_at, end_at from blanks where collection = $1 order by start_at"
        )
        return [Window(row["start_at"], row["end_at"]) for row in rows]

    async def value(self, sql: str) -> object:
        """Return the one value of a query about this collection, which is $1."""
        return await self.pool.fetchval(sql, self.number)

    async def execute(self, sql: str) -> None:
        """Change what is stored of this collection, which is $1, from outside."""
        await self.pool.execute(sql, self.number)

    def truth(self) -> dict[str, str]:
        """Return what must be stored in the end."""
        return {each.key: each.title for each in self.vendor.purchases if each.controls == 1}

    @property
    def key(self) -> tuple[int, str]:
        """Return collection and stream, as the store's tables are keyed."""
        return self.number, PURCHASES

    async def _fetch(self, sql: str) -> list[Any]:
        rows: list[Any] = await self.pool.fetch(sql, self.number)
        return rows


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
