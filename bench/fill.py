"""Wall time of the first fill: twelve years of a small and of a large library, at three latencies.

The vendor is a process of its own. `requests_per_second` is lifted and `windows_at_once` is 16, the
most that one host is asked at once; all other settings are a new installation's. Compared is the
same number of requests one after the other, and the reference's way over the same years: see
`turn`. It stores nothing there, so without a latency there is nothing to compare. Look-ups are a
run of their own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import stage, turn, vendor
from bench.stage import Installation
from bench.table import Row
from bench.turn import Piece
from bench.vendor import Stock
from bibsync.collection import Sync
from bibsync.run import METADATA, Order, Summary
from bibsync.sources import open_source
from bibsync.sources.bibliotheca import PAGE_SIZE
from bibsync.sources.http import Hosts
from bibsync.window import DAY, Window

TWELVE_YEARS = 4_383
"""Days."""
AT_ONCE = 16
LATENCIES_MS = (0, 50, 200)
TARGET_AT_MS = 200


@dataclass(frozen=True, slots=True)
class Fill:
    """One first fill: its two runs, and the pieces asked for in turn at the same latency."""

    latency_ms: int
    read: Summary
    described: Summary
    plain: Piece
    reference: Piece
    reference_requests: int

    @property
    def in_turn_s(self) -> float:
        """How long the same number of requests takes, one after the other."""
        return self.read.tally.requests * self.plain.each_s

    @property
    def times(self) -> float:
        """How many times faster this is than the same requests in turn."""
        return self.in_turn_s / self.read.duration_s

    @property
    def reference_s(self) -> float:
        """How long the reference's way takes over the same years."""
        return self.reference_requests * self.reference.each_s


async def measure(url: str, *, sparse: int, dense: int, days: int, asked: int) -> list[Row]:
    """Fill both libraries at each latency, timing pieces of `asked` requests in turn."""
    rows: list[Row] = []
    for titles in (sparse, dense):
        stock = Stock(titles=titles, days=days)
        async with vendor.running(stock) as seller:
            for latency_ms in LATENCIES_MS:
                stage.say(f"  {titles:,} titles at {latency_ms} ms")
                await seller.take(latency_ms)
                rows += _rows(
                    stock, await _fill(url, stock, seller.address, latency_ms, asked=asked)
                )
    return rows


async def _fill(url: str, stock: Stock, address: str, latency_ms: int, *, asked: int) -> Fill:
    now = datetime.now(UTC)
    first = vendor.midnight() - timedelta(days=stock.days)
    async with stage.installed(url) as installed, Hosts() as hosts:
        installed.configure(
            base_url=address,
            start_date=first,
            windows_at_once=AT_ONCE,
        )
        with stage.logging_to_nowhere():
            read = await _run(installed, hosts, Order())
            described = await _run(installed, hosts, Order(stream=METADATA))
        if (read.tally.new, described.tally.new) != (stock.titles, stock.titles):
            raise RuntimeError(f"{read.tally.new} of {stock.titles} titles stored")
        plain = await turn.plainly(installed.collection, hosts, _windows(first, now, asked))
        reference = await turn.day_by_day(
            installed.collection, hosts, _midnights(first, stock, asked)
        )
    return Fill(latency_ms, read, described, plain, reference, requests_by_the_reference(stock))


async def _run(installed: Installation, hosts: Hosts, order: Order) -> Summary:
    source = open_source(installed.collection, hosts)
    return await installed.harvest(source, now=datetime.now(UTC), order=order)


def _windows(first: datetime, now: datetime, most: int) -> Iterator[Window]:
    """Yield windows as wide as a fill's mostly are, one after the other, over and over."""
    width = Sync().max_window
    start = first
    for _ in range(most):
        yield Window(start, start + width)
        start = start + width if start + 2 * width < now else first


def _midnights(first: datetime, stock: Stock, requests: int) -> Iterable[datetime]:
    """Return the first days, as many as take so many requests."""
    days = -(-requests * stock.days // (stock.days + stock.titles))
    return [first + DAY * number for number in range(min(days, stock.days))]


def requests_by_the_reference(stock: Stock) -> int:
    """Count its requests: a day's pages end with one that isn't full; then one for each title."""
    each_day = stock.titles / stock.days
    return round(stock.days * (1 + each_day // PAGE_SIZE) + stock.titles)


def _rows(stock: Stock, fill: Fill) -> list[Row]:
    """Return a row, and where answers take time a second one, beside the reference's way."""
    titles, requests = stock.titles, fill.read.tally.requests
    seconds, looked_up = fill.read.duration_s, fill.described.duration_s
    span = f"{round(stock.days / 365.25)} years" if stock.days > 2 * 365 else f"{stock.days} days"
    name = f"first fill, {titles:,} titles of {span}, {fill.latency_ms} ms an answer"
    value = f"{seconds:.1f} s, {requests:,} requests"
    figures = {
        "seconds": seconds,
        "look_up_seconds": looked_up,
        "requests": requests,
        "look_ups": fill.described.tally.requests,
        "records_per_second": titles / seconds,
    }
    if not fill.latency_ms:
        return [Row(name, value, figures=figures)]
    return [
        Row(
            name,
            value,
            f"{fill.in_turn_s:,.0f} s, as many in turn",
            f"{seconds / fill.in_turn_s:.3f}",
            "≤ 0.125" if fill.latency_ms == TARGET_AT_MS else "",
            figures | {"in_turn_s": fill.in_turn_s, "times_faster": fill.times},
        ),
        Row(
            "the same and all look-ups, beside the reference's way",
            f"{seconds + looked_up:.1f} s, {requests + fill.described.tally.requests:,} requests",
            f"{fill.reference_s:,.0f} s, {fill.reference_requests:,} requests",
            f"{(seconds + looked_up) / fill.reference_s:.3f}",
            figures={
                "seconds": seconds + looked_up,
                "reference_s": fill.reference_s,
                "reference_requests": fill.reference_requests,
            },
        ),
    ]
