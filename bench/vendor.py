"""A vendor in a process of its own: the simulator, its records made before anyone asks for them.

    python -m bench.vendor '{"titles": 300, "days": 4383, ...}'      the process, see `Stock`

It prints its address, then takes a line of JSON with a latency in milliseconds, and another one
whenever that changes; it ends with its input. Making records takes the simulator longer than
bibsync needs to store them: made in advance, they leave the vendor's core to HTTP and signatures.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import uvloop

from bench import shelf, talk
from bench.talk import Child
from bibsync.simulator import Library, Purchase, Vendor, serve, titles

ACCOUNT, KEY = "partner", "secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What each of `libraries` bought: `titles`, evenly over the `days` before midnight."""

    titles: int
    days: int
    libraries: int = 1


@dataclass(slots=True)
class Running:
    """A vendor that answers at `address`."""

    address: str
    child: Child

    async def take(self, latency_ms: int) -> None:
        """Let every answer take so long from now on."""
        await self.child.ask(latency_ms)


@asynccontextmanager
async def running(stock: Stock, *, latency_ms: int = 0) -> AsyncIterator[Running]:
    """Run a vendor while the block lasts."""
    async with talk.started("bench.vendor", asdict(stock)) as child:
        vendor = Running(str(await child.heard()), child)
        await vendor.take(latency_ms)
        yield vendor


@dataclass
class Kept:
    """Records as large as the vendor's, each made once."""

    _elements: dict[int, bytes] = field(default_factory=dict)

    def work(self, purchase: Purchase, version: int) -> titles.Work:
        """Return what the vendor knows of the title."""
        return titles.work(purchase.number, version)

    def element(self, purchase: Purchase, version: int, library_id: str) -> bytes:
        """Return the title's record as MARCXML."""
        del library_id
        number = purchase.number
        if number not in self._elements:
            self._elements[number] = shelf.element(number, version)
        return self._elements[number]


def library(number: int) -> str:
    """Return the id of a library, of which the first is numbered 0."""
    return f"{shelf.LIBRARY}{number or ''}"


def midnight() -> datetime:
    """Return the UTC midnight before now."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def bought(stock: Stock, until: datetime) -> list[Purchase]:
    """Spread the titles over the days before `until`."""
    span = timedelta(days=stock.days)
    moments = (
        (until - span + span * number / stock.titles).replace(microsecond=0)
        for number in range(stock.titles)
    )
    return [
        Purchase(
            number=number,
            control_number=titles.control_number(number),
            moment=moment,
            visible_from=moment,
        )
        for number, moment in enumerate(moments)
    ]


async def _serve(stock: Stock) -> None:
    purchases, records = bought(stock, midnight()), Kept()
    for each in purchases:
        records.element(each, 1, "")
    libraries = [
        Library(library(number), ACCOUNT, KEY, purchases, records)
        for number in range(stock.libraries)
    ]
    vendor = Vendor(libraries)
    async with serve(vendor) as address:
        talk.say(address)
        async for latency_ms in talk.questions():
            vendor.latency_s = latency_ms / 1000
            talk.say(latency_ms)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve(Stock(**orjson.loads(sys.argv[1]))))
