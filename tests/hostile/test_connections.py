"""Connections that are kept for the next request, and end or speak at the worst moment."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from server import Hostile, answer, page, record, said

from bibsync.collection import Collection, Sync
from bibsync.errors import SourceBusy
from bibsync.sources.bibliotheca import Bibliotheca
from bibsync.sources.http import Hosts
from bibsync.window import day

WINDOW = day(datetime(2024, 11, 10, tzinfo=UTC))
FALSE = answer(page([record("false")]))


@pytest.fixture
async def server():
    async with Hostile([record("true")]) as server:
        yield server


@pytest.fixture
async def source(server):
    async with Hosts() as hosts:
        collection = Collection(
            name="Springfield",
            source="bibliotheca",
            library_id="lib",
            account_id="account",
            account_key=SecretStr("key"),
            base_url=server.url,
            sync=Sync(timeout=timedelta(seconds=20), requests_per_second=10_000),
        )
        yield Bibliotheca(collection, hosts)


async def control_numbers(source):
    return [each.key for each in (await source.page(WINDOW, offset=1)).records]


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(server, source):
    """A proxy that sends an answer twice would have each window read the one before it."""
    assert await control_numbers(source) == ["true"]
    await server.callers[-1].send(FALSE)
    await _received(source)

    assert await control_numbers(source) == ["true"]
    assert server.connections == 2


async def test_a_second_answer_right_behind_the_first_is_not_taken_for_the_next_one(server, source):
    server.play(answer(page([record("first")])) + FALSE)

    assert await control_numbers(source) == ["first"]
    assert await control_numbers(source) == ["true"]
    assert server.connections == 2


async def test_what_stands_behind_an_answers_length_is_not_taken_for_the_next_one(server, source):
    server.play(answer(page([record("first")])) + b"<rest/>")
    with pytest.raises(SourceBusy) as raised:
        await source.page(WINDOW, offset=1)

    assert raised.value.outcome == "bad_http"
    assert await control_numbers(source) == ["true"]
    assert server.connections == 2


@pytest.mark.parametrize("beginning", [b"", b"H", b"HTTP/1.1 200"])
async def test_a_kept_connection_that_ends_under_a_request_costs_no_page(server, source, beginning):
    assert await control_numbers(source) == ["true"]
    server.play(said(beginning, close=True))

    assert await control_numbers(source) == ["true"]
    assert (server.played, server.connections) == (1, 2)


async def _received(source):
    """Wait until what the server sent has come to the client's end of its idle connection."""
    [kept] = source._host._session.connector._conns.values()
    [(protocol, _)] = kept
    async with asyncio.timeout(30):
        while not protocol._buffer:
            await asyncio.sleep(0)
