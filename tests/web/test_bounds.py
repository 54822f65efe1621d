"""What is too large, too slow or too much, and what is no HTTP: none of it costs another client."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from spoken import MAIN, Api, StandIn, Wire, head, opened, problem, until

from bibsync import store
from bibsync.rounds import SILENT_S
from bibsync.store import Connection, Pool, pauses
from bibsync.web.exchange import AT_ONCE, LARGEST_BODY
from bibsync.web.limits import Limits

PAUSE = f"/v1/collections/{MAIN}/pause"
ALL_WAIT = "select count(*) >= $1 from pg_locks where not granted"
JSON = {"Content_Type": "application/json"}


@pytest.fixture
async def strict(daemon: StandIn) -> AsyncIterator[Api]:
    """Return an interface with little patience and few places."""
    limits = Limits(connections=3, idle_s=0.2, body_s=0.2, answer_s=1.0, send_s=1.0)
    async with opened(daemon, limits) as api:
        yield api


async def test_a_huge_body_is_refused_and_the_old_state_stays(api: Api, conn: Connection):
    body = json.dumps({"reason": "x" * LARGEST_BODY}).encode()

    got = await api.post(PAUSE, body, **JSON)

    assert (413, "too_large") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_a_huge_body_in_pieces_is_refused_too(api: Api):
    async with Wire(api) as wire:
        chunked = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        await wire.send(head("POST", PAUSE, *chunked, "Connection: close"))
        await wire.send(f"{LARGEST_BODY + 1:x}\r\n{'x' * (LARGEST_BODY + 1)}\r\n0\r\n\r\n")

        answer = await wire.rest()

    assert "too_large" == problem(answer)["code"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "text/json"])
async def test_a_body_that_a_form_could_send_is_refused(api: Api, conn: Connection, kind: str):
    got = await api.post(PAUSE, b'{"reason": "x"}', Content_Type=kind)

    assert (415, "not_json") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_a_compressed_body_is_refused(api: Api):
    got = await api.post(PAUSE, gzip.compress(b"{}"), Content_Encoding="gzip", **JSON)

    assert (415, "not_json") == (got.status, got.code)


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 5000])
async def test_a_body_that_is_no_object_is_refused(api: Api, conn: Connection, body: bytes):
    got = await api.post(PAUSE, body, **JSON)

    assert (400, "unreadable") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_no_body_is_an_empty_one(api: Api):
    assert 200 == (await api.post(PAUSE, b"", Content_Type="text/plain")).status


async def test_a_body_that_drips_is_given_up(strict: Api, conn: Connection):
    async with Wire(strict) as wire:
        await wire.send(
            head("POST", PAUSE, "Content-Type: application/json", "Content-Length: 100") + "{"
        )

        answer = await wire.rest()

    assert "too_slow" == problem(answer)["code"]
    assert {} == await pauses.in_force(conn)


async def test_a_head_that_never_ends_is_given_up(strict: Api):
    async with Wire(strict) as wire:
        await wire.send("GET /v1/status HTTP/1.1\r\nHost: local")

        assert b"" == await wire.rest()


async def test_a_silent_connection_is_given_up(strict: Api):
    async with Wire(strict) as wire:
        assert b"" == await wire.rest()


async def test_a_connection_too_many_is_told_so_and_a_place_comes_free_again(strict: Api):
    silent = [Wire(strict) for _ in range(3)]
    for each in silent:
        await each.__aenter__()
    async with Wire(strict) as one_more:
        answer = await one_more.rest()
    for each in silent:
        await each.rest()
        await each.__aexit__()

    assert "full" == problem(answer)["code"]
    assert 200 == (await strict("GET", "/healthz")).status


async def test_who_does_not_read_its_answer_loses_the_connection(daemon: StandIn):
    """What fits between the two ends is soon full, so that an answer can't be sent."""
    async with opened(daemon, Limits(send_s=0.2)) as api, Wire(api) as wire:
        wire.stop_reading()

        with pytest.raises(ConnectionError):
            await wire.flood(head("GET", "/v1/openapi.json") * 50)


@pytest.mark.parametrize(
    "bytes_",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
    ids=["TLS", "no request", "no such HTTP"],
)
async def test_what_is_no_http_gets_a_problem_and_nothing_is_repeated(api: Api, bytes_: bytes):
    async with Wire(api) as wire:
        await wire.send(bytes_)
        answer = await wire.rest()

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"Server: bibsync\r\n" in answer
    assert "unreadable" == problem(answer)["code"]


async def test_a_head_that_is_too_long_is_refused(api: Api):
    async with Wire(api) as wire:
        await wire.send(head("GET", "/healthz", f"X-Long: {'x' * 20_000}"))

        answer = await wire.rest()

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"xxxx" not in answer


async def test_an_unknown_path_and_an_unknown_method_are_told(api: Api):
    nothing = await api("GET", "/v1/nothing")
    wrong = await api("DELETE", "/v1/status")

    assert (404, "not_found") == (nothing.status, nothing.code)
    assert (405, "method_unknown") == (wrong.status, wrong.code)
    assert "GET, HEAD" == wrong.headers["Allow"]


async def test_a_database_that_is_away_is_told_at_once_with_when_to_ask_again(
    api: Api, daemon: StandIn
):
    daemon.database._failures["a round"] = 1
    daemon.database._answered_at = -SILENT_S

    got = await api("GET", "/v1/status")

    assert (503, "database_unavailable") == (got.status, got.code)
    assert "5" == got.headers["Retry-After"]
    assert got.document["transient"]


async def test_a_daemon_that_has_not_reached_its_database_says_so(starting: StandIn):
    async with opened(starting) as api:
        got = await api("GET", "/v1/runs")

    assert (503, "database_unavailable") == (got.status, got.code)


async def test_a_database_that_breaks_the_connection_off_is_a_problem(
    api: Api, daemon: StandIn, pool: Pool
):
    await pool.close()

    got = await api("GET", "/v1/runs")

    assert (503, "database_unavailable") == (got.status, got.code)


async def test_an_answer_that_takes_too_long_is_broken_off(
    strict: Api, conn: Connection, pool: Pool
):
    async with conn.transaction():
        await conn.execute("lock table collections")

        got = await strict.post(PAUSE)

    assert (503, "timed_out") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_answers_take_few_connections_from_the_work(api: Api, conn: Connection, pool: Pool):
    async with conn.transaction():
        await conn.execute("lock table runs")
        asked = [asyncio.create_task(api("GET", "/v1/runs")) for _ in range(12)]
        await until(pool, ALL_WAIT, AT_ONCE)
        taken = pool.get_size() - pool.get_idle_size()

        async with store.acquire(pool) as other:
            assert 1 == await other.fetchval("select 1")
    answers = await asyncio.gather(*asked)

    assert taken <= AT_ONCE + 1
    assert {200} == {each.status for each in answers}
