"""Connections that are kept for the next request, and end or speak at the worst moment."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hostile import Hostile, answer, page, record, said
from pydantic import SecretStr

from bibsync.collection import Collection, Sync
from bibsync.errors import SourceBusy
from bibsync.sources.bibliotheca import Bibliotheca
from bibsync.sources.http import Hosts
from bibsync.window import day

WINDOW = day(datetime(2024, 11, 10, tzinfo=UTC))
FALSE = answer(page([record("false")]))


@pytest.fixture
async def vendor():
    async with Hostile([record("true")]) as vendor:
        yield vendor


@pytest.fixture
async def source(vendor):
    async with Hosts() as hosts:
        collection = Collection(
            name="Springfield",
            source="bibliotheca",
            library_id="lib",
            account_id="account",
            account_key=SecretStr("key"),
            base_url=vendor.url,
            sync=Sync(timeout=timedelta(seconds=20), requests_per_second=10_000),
        )
        yield Bibliotheca(collection, hosts)


async def control_numbers(source):
    return [each.key for each in (await source.page(WINDOW, offset=1)).records]


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(vendor, source):
    """A proxy that sends an answer twice would have each window read the one before it."""
    assert await control_numbers(source) == ["true"]
    await vendor.callers[-1].send(FALSE)
    await _received(source)

    assert await control_numbers(source) == ["true"]
    assert vendor.connections == 2


async def test_a_second_answer_right_behind_the_first_is_not_taken_for_the_next_one(vendor, source):
    vendor.play(answer(page([record("first")])) + FALSE)

    assert await control_numbers(source) == ["first"]
    assert await control_numbers(source) == ["true"]
    assert vendor.connections == 2


async def test_what_stands_behind_an_answers_length_is_not_taken_for_the_next_one(vendor, source):
    vendor.play(answer(page([record("first")])) + b"<rest/>")
    with pytest.raises(SourceBusy) as raised:
        await source.page(WINDOW, offset=1)

    assert raised.value.outcome == "bad_http"
    assert await control_numbers(source) == ["true"]
    assert vendor.connections == 2


@pytest.mark.parametrize("beginning", [b"", b"H", b"HTTP/1.1 200"])
async def test_a_kept_connection_that_ends_under_a_request_costs_no_page(vendor, source, beginning):
    assert await control_numbers(source) == ["true"]
    vendor.play(said(beginning, close=True))

    assert await control_numbers(source) == ["true"]
    assert (vendor.played, vendor.connections) == (1, 2)


async def _received(source):
    """Wait until what the server sent has come to the client's end of its idle connection."""
    [kept] = source._host._session.connector._conns.values()
    [(protocol, _)] = kept
    async with asyncio.timeout(30):
        while not protocol._buffer:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)
