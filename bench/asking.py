"""Requests: what 50 new titles cost, look-ups included, and what an empty history costs.

The simulated vendor answers over HTTP, without faults. Requests are counted by the runs.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from bench import stage
from bench.stage import Installation
from bench.table import Row
from bibsync.run import METADATA, Order
from bibsync.simulator import Library, Purchase, Vendor, serve, titles
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.window import DAY

TWELVE_YEARS = 12 * 365 * DAY


async def measure(url: str, *, titles: int) -> list[Row]:
    """Count the requests of three runs."""
    few, many = await _new(url, 50), await _new(url, titles)
    async with _asking(url, (), since=TWELVE_YEARS) as (installed, hosts, now):
        source = open_source(installed.collection, hosts)
        empty = (await installed.harvest(source, now=now)).tally.requests
    return [
        Row(
            "requests for 50 new titles, look-ups included",
            str(few),
            target="≤ 4",
            figures={"requests": few},
        ),
        Row(
            f"the same of {titles:,} new titles of one day",
            f"{many / titles * 50:.1f}",
            target="≤ 3.2",
            figures={"requests": many / titles * 50},
        ),
        Row(
            "requests for 12 empty years",
            str(empty),
            target="< 200",
            figures={"requests": empty},
        ),
    ]


async def _new(url: str, count: int) -> int:
    """Return what it takes to read so many titles of the last day and to look them up."""
    async with _asking(url, _bought(count), since=DAY) as (installed, hosts, now):
        source = open_source(installed.collection, hosts)
        read = (await installed.harvest(source, now=now)).tally
        described = (await installed.harvest(source, now=now, order=Order(stream=METADATA))).tally
    if (read.new, described.received) != (count, count):
        raise RuntimeError(f"{count} titles: {read.new} stored, {described.received} described")
    return read.requests + described.requests


def _bought(count: int) -> Iterable[Purchase]:
    """Spread purchases over the last day but its ends."""
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=23)
    for number in range(count):
        moment = first + timedelta(hours=22) * number / count
        yield Purchase(
            number=number,
            control_number=titles.control_number(number),
            moment=moment.replace(microsecond=0),
            visible_from=moment,
        )


@asynccontextmanager
async def _asking(
    url: str, bought: Iterable[Purchase], *, since: timedelta
) -> AsyncIterator[tuple[Installation, Hosts, datetime]]:
    """Serve a library and give an installation that begins `since` before now, and that now."""
    now = datetime.now(UTC).replace(microsecond=0)
    vendor = Vendor(
        [Library("springfield", purchases=bought, account_id="partner", account_key="secret")]
    )
    async with serve(vendor) as address, stage.installed(url) as installed, Hosts() as hosts:
        installed.configure(base_url=address, start_date=now - since)
        with stage.logging_to_nowhere():
            yield installed, hosts, now
