"""The whole road over HTTP, from the simulated vendor to the store: what is stored is the truth.

Vendor, source and run share one clock, which only moves when a test moves it.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from pydantic import SecretStr

from bibsync import store
from bibsync.collection import Collection, Sync
from bibsync.harvest import Means, harvest
from bibsync.lease import PostgresLeases
from bibsync.run import METADATA, Order, Outcome, Summary, Tally
from bibsync.simulator import Faults, Library, Vendor, serve
from bibsync.simulator.answers import INSTEAD
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool, collections, records, titles
from bibsync.window import DAY

START = date(2024, 1, 1)
LAST = date(2024, 1, 11)
NOW = datetime(2024, 1, 11, 9, 30, tzinfo=UTC)
RUNS_AT_MOST = 25
STRIKING = sorted(each.name for each in fields(Faults))
ITEM = re.compile(rb'code="a">(\w+)</[^>]*><[^>]*code="b">cloudLibrary')
"""The number that the vendor repeats in 037, where also a record without a 001 has it."""


@dataclass
class Site:
    """A library at the simulated vendor, and the means to harvest it."""

    pool: Pool
    vendor: Vendor
    means: Means
    collection: Collection
    number: int
    clock: list[datetime]

    async def harvest(self, order: Order | None = None) -> Summary:
        return await harvest(
            self.collection, self.number, order or Order(), self.means, tally=Tally()
        )

    async def harvest_until_covered(self) -> None:
        for _ in range(RUNS_AT_MOST):
            if (await self.harvest()).outcome is Outcome.SUCCEEDED:
                return
        pytest.fail(f"not covered after {RUNS_AT_MOST} runs")

    async def stored(self) -> dict[str, str]:
        """Return the fingerprint of every stored record."""
        return await records.fingerprints(self.pool, self.number)

    async def look_up_until_told(self) -> None:
        """Run the look-ups until each due title was answered for."""
        for _ in range(RUNS_AT_MOST):
            if (await self.harvest(Order(stream=METADATA))).outcome is Outcome.SUCCEEDED:
                return
        pytest.fail(f"titles without an answer after {RUNS_AT_MOST} runs")

    async def described(self) -> dict[str, str]:
        """Return the title that each description tells."""
        found = (
            "select control_number, description->>'title' as title from titles "
            "where collection = $1 and description is not null"
        )
        rows = await self.pool.fetch(found, self.number)
        return {row["control_number"]: row["title"] for row in rows}

    async def listed(self) -> dict[str, str]:
        """Return the titles that wait for a look-up, with the reason."""
        found = (
            "select control_number, problem from titles "
            "where collection = $1 and due_at is not null"
        )
        rows = await self.pool.fetch(found, self.number)
        return {row["control_number"]: row["problem"] for row in rows}

    async def rejects(self) -> Counter[str]:
        """Return how many titles are rejects, by reason.

        One that the vendor dressed differently, in another encoding say, is a reject for each
        dress: it is known again by its bytes.
        """
        found = "select distinct reason, raw from rejects where collection = $1"
        rows = await self.pool.fetch(found, self.number)
        titles = {(row["reason"], ITEM.search(row["raw"])[1]) for row in rows}
        return Counter(reason for reason, _ in titles)

    def truth(self) -> dict[str, str]:
        """Return the fingerprint of every record that must be stored by now."""
        shown = self.vendor.truth("abcde")["records"]
        return {number: record["fingerprint"] for number, record in shown.items()}

    def withdrawn(self) -> set[str]:
        """Return the titles that were shown once and are gone by now."""
        return set(self.vendor.truth("abcde")["withdrawn"])

    def bad(self) -> Counter[str]:
        """Return how many records must be rejects, by reason."""
        return Counter(each["reason"] for each in self.vendor.truth("abcde")["rejects"])


@asynccontextmanager
async def opened(
    pool: Pool, library: Library, *, faults: str = "none", seed: int = 0, **sync: object
) -> AsyncIterator[Site]:
    """Serve a library and enrol it; time-outs last a second."""
    clock = [NOW]

    def now() -> datetime:
        return clock[0]

    vendor = Vendor([library], faults=Faults.parse(faults), seed=seed, now=now, hang_s=30.0)
    async with serve(vendor) as base_url, Hosts(now=now) as hosts:
        collection = Collection(
            name="Springfield",
            source="bibliotheca",
            library_id="abcde",
            account_id="partner",
            account_key=SecretStr("secret"),
            base_url=base_url,
            sync=replace(
                Sync(),
                **{
                    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
                    "requests_per_second": 100_000.0,
                    "timeout": timedelta(seconds=1),
                }
                | sync,
            ),
        )
        async with store.acquire(pool) as conn, conn.transaction():
            numbers = await collections.enrol(conn, [collection])
        means = Means(
            pool=pool,
            leases=PostgresLeases(pool),
            source=lambda each, permit: open_source(each, hosts, permit),
            now=now,
            random=Random(seed),
            blank_waits_s=(0.0, 0.0),
        )
        yield Site(pool, vendor, means, collection, numbers["Springfield"], clock)


def library(titles: int = 300, *, seed: int = 0, **more: float) -> Library:
    """Return a library with a record in ten damaged, bought over ten days."""
    return Library.virtual(
        "abcde", titles=titles, since=START, until=LAST, seed=seed, bad=0.1, **more
    )


@pytest.mark.parametrize("seed", range(3))
async def test_a_vendor_without_faults_is_stored_by_one_run(pool: Pool, seed: int):
    async with opened(pool, library(seed=seed), seed=seed) as site:
        summary = await site.harvest()

        assert summary.outcome == "succeeded"
        assert site.truth() == await site.stored()
        assert site.bad() == await site.rejects()
        assert summary.caught_up_to == NOW
        assert (summary.tally.retries, summary.tally.shifts) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_a_vendor_with_every_fault_is_stored_whole_in_the_end(pool: Pool, seed: int):
    """What a fault hid behind a well-formed answer is found when its day is read again."""
    async with opened(pool, library(seed=seed), faults="all", seed=seed) as site:
        await site.harvest_until_covered()
        for _ in range(2):
            site.clock[0] += 4 * DAY
            await site.harvest_until_covered()

        assert site.truth() == await site.stored()
        assert site.bad() == await site.rejects()
        assert site.vendor.log.faults["abcde"].total() > 50


@pytest.mark.parametrize("kind", STRIKING)
async def test_each_fault_by_itself_costs_nothing_in_the_end(pool: Pool, kind: str):
    quiet_before = datetime(2023, 12, 1, tzinfo=UTC)
    async with opened(pool, library(120), reread=(), start_date=quiet_before) as site:
        site.vendor.next_answers("abcde", [kind, kind, "ok", "ok", kind], resource="data/marc")

        await site.harvest_until_covered()
        await site.harvest(Order(force_reimport=True))

        assert site.vendor.log.fired(kind) > 0
        assert site.truth() == await site.stored()
        assert site.bad() == await site.rejects()


async def test_what_comes_late_or_changes_is_found_by_reading_days_again(pool: Pool):
    """Up to 64 days late; a withdrawn title may have been seen or not."""
    moving = library(200, late=0.2, retitled=0.1, removed=0.1)
    async with opened(pool, moving) as site:
        for days in (0, 1, 2, 4, 8, 8, 16, 16, 12):
            site.clock[0] += days * DAY
            await site.harvest_until_covered()

        stored = await site.stored()
        gone = site.withdrawn()
        assert site.truth() == {n: each for n, each in stored.items() if n not in gone}
        assert gone
        assert site.bad() == await site.rejects()


async def test_wrong_credentials_take_one_request(pool: Pool):
    refused = replace(library(20), refused=True)
    async with opened(pool, refused) as site:
        summary = await site.harvest()

        assert (summary.outcome, summary.problem.code) == ("failed", "credentials_refused")
        assert site.vendor.log.asked("abcde") == 1


@pytest.mark.parametrize("seed", range(3))
async def test_every_title_is_described_or_listed_whatever_the_vendor_answers(
    pool: Pool, seed: int
):
    """Blank, cut, foreign and error answers say nothing of a title; a list that omits it does."""
    moving = library(300, seed=seed, removed=0.1)
    async with opened(pool, moving, seed=seed) as site:
        await site.harvest()
        site.clock[0] += 60 * DAY
        site.vendor.faults = Faults.parse("all")
        await site.look_up_until_told()

        gone = site.withdrawn() & set(await site.stored())
        assert gone
        assert set(await site.stored()) - gone == set(await site.described())
        assert dict.fromkeys(gone, titles.ABSENT) == await site.listed()
        assert site.vendor.log.faults["abcde"].total() > 3


@pytest.mark.parametrize("kind", sorted(INSTEAD))
async def test_each_fault_of_a_look_up_costs_no_title_its_description(pool: Pool, kind: str):
    async with opened(pool, library(60), reread=()) as site:
        await site.harvest()
        site.vendor.next_answers("abcde", [kind, "ok", kind], resource="items")

        await site.look_up_until_told()

        assert site.vendor.log.fired(kind) > 0
        assert set(await site.stored()) == set(await site.described())
        assert {} == await site.listed()
