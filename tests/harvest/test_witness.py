"""What is counted of a run while it goes on, and of its end."""

import asyncio

import pytest
from scraped import shown
from world import MIDNIGHT, NOW, START, Bought, Script, Vendor, World, bought, busy

from bibsync.errors import SourceRefused
from bibsync.metrics import Metrics
from bibsync.run import Order, Tally

RECORDS = "bibsync_records_total"
REQUESTS = "bibsync_source_requests_total"
RUNS = "bibsync_runs_total"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def watched(world: World, metrics: Metrics) -> World:
    world.witness = metrics
    world.configure(start_date=MIDNIGHT)
    return world


async def test_records_are_counted_while_the_run_goes_on(watched: World, metrics: Metrics):
    """A first fill takes hours, and must be seen to move."""
    watched.vendor.purchases = bought(120, since=MIDNIGHT)
    seen = []

    async def look() -> None:
        seen.append((await shown(metrics, RECORDS, result="new")).get(("Springfield",)))

    watched.vendor.before = {3: look, 4: look}

    await watched.harvest()

    assert seen[0] == 50
    assert 50 < seen[1] < 120
    assert {("Springfield",): 120} == await shown(metrics, RECORDS, result="new")


async def test_what_became_of_each_record_is_counted(watched: World, metrics: Metrics):
    watched.vendor.purchases = [*bought(3, since=MIDNIGHT), Bought(MIDNIGHT, "nameless", "", 0)]
    await watched.harvest()
    first = watched.vendor.purchases[0]
    watched.vendor.purchases[0] = Bought(first.at, first.key, "Another title")

    await watched.harvest()

    counted = await shown(metrics, RECORDS, collection="Springfield")
    assert {("new",): 3, ("changed",): 1, ("unchanged",): 2, ("rejected",): 2} == counted


async def test_descriptions_are_not_counted_as_records(watched: World, metrics: Metrics):
    watched.vendor.purchases = bought(3, since=MIDNIGHT)
    watched.vendor.silent_about = {"t00000"}
    await watched.harvest()

    await watched.look_up()

    assert {("Springfield",): 3} == await shown(metrics, RECORDS, result="new")
    looked_up = await shown(metrics, "bibsync_titles_looked_up_total")
    assert {("Springfield", "new"): 2, ("Springfield", "unanswered"): 1} == looked_up


async def test_each_request_is_counted_with_its_outcome(watched: World, metrics: Metrics):
    watched.vendor.hook = Script([busy(), busy()])

    summary = await watched.harvest()

    counted = await shown(metrics, REQUESTS, collection="Springfield")
    assert {("http_503",): 2, ("ok",): summary.tally.requests - 2} == {
        outcome: count for outcome, count in counted.items() if count
    }


async def test_refused_credentials_are_an_outcome(watched: World, metrics: Metrics):
    watched.vendor.hook = Script([SourceRefused("Wrong key.")])

    await watched.harvest()

    counted = await shown(metrics, REQUESTS, collection="Springfield")
    assert {("ok",): 0, ("credentials_refused",): 1, ("source_misconfigured",): 0} == counted


async def test_each_run_is_counted_with_its_outcome(watched: World, metrics: Metrics):
    await watched.harvest()
    watched.vendor.hook = Script([SourceRefused("Wrong key.")])

    await watched.harvest()

    counted = await shown(metrics, RUNS, stream="purchases")
    assert {("succeeded",): 1, ("failed",): 1} == {
        outcome: count for outcome, count in counted.items() if count
    }


async def test_a_run_that_is_cancelled_is_counted_and_watched_no_more(
    watched: World, metrics: Metrics
):
    watched.vendor.purchases = bought(120, since=MIDNIGHT)
    reached, tally = asyncio.Event(), Tally()

    async def stay() -> None:
        reached.set()
        await asyncio.Event().wait()

    watched.vendor.before = {3: stay}
    run = asyncio.create_task(watched.harvest(tally=tally))
    await reached.wait()

    run.cancel()
    await asyncio.wait([run])
    stored = tally.new
    tally.new += 1

    assert {("Springfield",): stored} == await shown(metrics, RECORDS, result="new")
    assert {(): 1} == await shown(metrics, RUNS, stream="purchases", outcome="interrupted")


async def test_a_tally_that_counted_before_is_counted_from_there(metrics: Metrics):
    """A run that is tried again with the tally it had counts nothing twice."""
    tally = Tally(new=10)

    with metrics.watch("Springfield", "purchases", tally):
        tally.new += 5

    assert {("Springfield",): 5} == await shown(metrics, RECORDS, result="new")


async def test_a_run_without_a_witness_goes_the_same_way(world: World):
    world.vendor = Vendor(bought(3, since=START, until=NOW))

    summary = await world.harvest(Order())

    assert summary.tally.new == 3
