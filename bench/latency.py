"""Wall time: new titles of 40 days from a vendor that takes 200 ms for every answer.

The vendor is a process of its own; the budget of requests is lifted, all other settings are those
that a new installation has.
"""

from datetime import UTC, datetime, timedelta

from bench import stage, vendor
from bench.table import Row
from bench.vendor import Stock
from bibsync.sources import open_source
from bibsync.sources.http import Hosts

DAYS = 40
LATENCY_MS = 200


async def measure(url: str, *, titles: int) -> list[Row]:
    """Time one run."""
    stock = Stock(titles=titles, days=DAYS)
    async with (
        vendor.running(stock, latency_ms=LATENCY_MS) as seller,
        stage.installed(url) as installed,
        Hosts() as hosts,
    ):
        start = vendor.midnight() - timedelta(days=DAYS)
        installed.configure(base_url=seller.address, start_date=start)
        source = open_source(installed.collection, hosts)
        with stage.logging_to_nowhere():
            summary = await installed.harvest(source, now=datetime.now(UTC))
    if summary.tally.new != titles:
        raise RuntimeError(f"{summary.tally.new} titles stored, not {titles}")
    return [
        Row(
            f"{titles:,} new titles of {DAYS} days, {LATENCY_MS} ms an answer",
            f"{summary.duration_s:.1f} s",
            target="< 15 s",
            figures={"seconds": summary.duration_s, "requests": summary.tally.requests},
        )
    ]
