"""Pauses: in force until their time or a person's word, with who and why."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync.collection import Collection, Sync
from bibsync.errors import CollectionPaused
from bibsync.store import Connection, Pool, collections, pauses

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def collection(name: str) -> Collection:
    return Collection(
        name=name,
        source="bibliotheca",
        library_id=name,
        account_id="partner",
        account_key="key",
        base_url="https://vendor.example/",
        sync=Sync(),
    )


@pytest.fixture
async def conn(pool: Pool):
    async with pool.acquire() as conn:
        yield conn


@pytest.fixture
async def numbers(conn: Connection) -> dict[str, int]:
    return await collections.enrol(conn, [collection("Main"), collection("Branch")])


async def test_a_pause_binds_its_collection_alone_and_says_who_and_why(conn, numbers):
    until = NOW + HOUR

    paused = await pauses.pause(conn, [numbers["Main"]], until=until, reason="audit", by="anna")

    assert ["Main"] == paused
    with pytest.raises(CollectionPaused) as told:
        await pauses.demand_open(conn, numbers["Main"])
    assert told.value.message.startswith("anna paused the collection on ")
    assert told.value.message.endswith(f" UTC until {until:%Y-%m-%d %H:%M} UTC: audit")
    assert not await collections.is_enabled(conn, numbers["Main"])
    await pauses.demand_open(conn, numbers["Branch"])
    assert {numbers["Main"]} == (await pauses.in_force(conn)).keys()


async def test_a_pause_is_over_at_its_time(conn, numbers):
    await pauses.pause(conn, [numbers["Main"]], until=NOW - HOUR, reason=None, by="anna")

    await pauses.demand_open(conn, numbers["Main"])
    assert await collections.is_enabled(conn, numbers["Main"])
    assert {} == await pauses.in_force(conn)


async def test_what_is_resumed_goes_on_and_only_what_was_paused_is_named(conn, numbers):
    await pauses.pause(conn, [numbers["Main"]], until=None, reason=None, by="anna")

    resumed = await pauses.resume(conn, [*numbers.values()])

    assert ["Main"] == resumed
    await pauses.demand_open(conn, numbers["Main"])
    assert [] == await pauses.resume(conn, [*numbers.values()])


async def test_a_collection_that_left_the_configuration_says_so_whatever_its_pause(conn, numbers):
    await pauses.pause(conn, [numbers["Main"]], until=None, reason=None, by="anna")
    await collections.enrol(conn, [collection("Branch")])

    with pytest.raises(CollectionPaused, match="left the configuration"):
        await pauses.demand_open(conn, numbers["Main"])
    assert [] == await pauses.pause(conn, [numbers["Main"]], until=None, reason=None, by="anna")
