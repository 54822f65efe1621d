"""Many collections with nothing new: how soon all of them are checked, and in how much memory.

The vendor, the replica and PostgreSQL are processes of their own. Every answer takes LATENCY_MS,
and the budget of the vendor's host is PER_SECOND requests: no run can end sooner than that budget
lets its last request go out. Else the settings are a new installation's, 8 collections at once.
"""

from dataclasses import replace
from datetime import timedelta

from bench import replica, stage, vendor
from bench.replica import Job
from bench.table import Row
from bench.vendor import Stock
from bibsync.run import Outcome

LATENCY_MS = 100
PER_SECOND = 50.0
TITLES, DAYS = 5, 2


async def measure(url: str, *, count: int) -> list[Row]:
    """Fill them, then time the run that finds nothing new."""
    stock = Stock(titles=TITLES, days=DAYS, libraries=count)
    async with vendor.running(stock) as seller, stage.database(url) as its:
        job = Job(
            database=its,
            base_url=seller.address,
            count=count,
            start=(vendor.midnight() - timedelta(days=DAYS)).isoformat(),
        )
        stage.say(f"  filling {count:,} collections")
        async with replica.started(job) as child:
            filled = await replica.synced(child)
        filled.demand(Outcome.SUCCEEDED)
        await seller.take(LATENCY_MS)
        stage.say(f"  checking {count:,} collections")
        async with replica.started(_paced(job)) as child:
            checked = await replica.synced(child)
    checked.demand(Outcome.SUCCEEDED)
    if (filled.new, checked.new) != (count * TITLES, 0):
        raise RuntimeError(f"{filled.new} titles stored, {checked.new} of them found new again")
    return _rows(count, checked)


def _paced(job: Job) -> Job:
    return replace(job, requests_per_second=PER_SECOND)


def _rows(count: int, checked: replica.Done) -> list[Row]:
    least_s = checked.requests / PER_SECOND
    return [
        Row(
            f"{count:,} collections with nothing new, {LATENCY_MS} ms an answer",
            f"{checked.seconds:.1f} s",
            f"{least_s:.1f} s by the budget of {PER_SECOND:.0f} requests a second",
            f"{checked.seconds / least_s:.2f}",
            "≤ 1.2",
            {
                "seconds": checked.seconds,
                "requests": checked.requests,
                "budget_s": least_s,
                "ratio": checked.seconds / least_s,
                "cpu_ms_each": checked.cpu_s / count * 1e3,
            },
        ),
        Row(
            "client CPU for each of them",
            f"{checked.cpu_s / count * 1e3:.1f} ms",
            figures={"ms": checked.cpu_s / count * 1e3},
        ),
        Row(
            "peak memory of that process",
            f"{checked.peak_mib:.0f} MiB",
            target="< 250 MiB",
            figures={"mib": checked.peak_mib},
        ),
    ]
