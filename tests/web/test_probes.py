"""Probes answer whatever else is away, and never ask the database."""

import asyncio
import socket
from dataclasses import replace

import pytest
from pydantic import SecretStr
from spoken import Api, StandIn, listening_on, opened, reached

from bibsync import web
from bibsync.errors import NotListening
from bibsync.settings.shapes import Redis
from bibsync.store import Pool


async def test_a_daemon_that_has_reached_nothing_is_alive_but_not_ready(starting: StandIn):
    async with opened(starting) as api:
        health = await api.get("/healthz")
        readiness = await api("GET", "/readyz")

    assert {"healthy": True} == health
    assert 503 == readiness.status
    expected = {"ready": False, "database": False, "redis": None, "schema": False}
    assert expected | {"replica": "here:1"} == readiness.document


async def test_readiness_follows_the_database_and_not_redis(
    starting: StandIn, pool: Pool, tmp_path
):
    redis = Redis(url=SecretStr("redis://localhost/0"))
    starting.config = replace(starting.config, redis=redis)
    async with opened(starting) as api:
        assert not (await api("GET", "/readyz")).document["redis"]
        await reached(starting, pool)
        ready = await api.get("/readyz")
        starting.redis_lost = True
        without_redis = await api.get("/readyz")
        starting.database._failures["a round"] = 1
        lost = await api("GET", "/readyz")

    assert (True, True, True) == (ready["ready"], ready["database"], ready["redis"])
    assert (True, False) == (without_redis["ready"], without_redis["redis"])
    assert (503, False) == (lost.status, lost.document["database"])


async def test_prometheus_is_told_the_numbers(starting: StandIn):
    starting.outside.metrics.held(7)

    async with opened(starting) as api:
        got = await api("GET", "/metrics")

    assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"bibsync_leases_held 7.0" in got.body


async def test_probes_are_open_on_any_address_and_healthy_under_any_name(starting: StandIn):
    listening_on(starting, "0.0.0.0", port=0)  # noqa: S104 - it isn't loopback

    async with opened(starting) as api:
        health = await api("GET", "/healthz", Host="10.1.2.3:8470")
        readiness = await api("GET", "/readyz", Host="bibsync.pods.example")
        metrics = await api("GET", "/metrics")

    assert [200, 503, 200] == [health.status, readiness.status, metrics.status]


async def test_the_front_names_where_to_go(api: Api):
    got = await api("GET", "/")

    assert b"/v1/openapi.json" in got.body


async def test_a_port_in_use_is_told_in_a_sentence(starting: StandIn):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        starting.set(listen=replace(starting.config.web.listen, port=port))

        with pytest.raises(NotListening) as caught:
            async with web.serve(starting):
                pass

    assert f"127.0.0.1:{port} can't be listened on: address already in use." in str(caught.value)


async def test_a_name_that_is_not_found_is_told_in_a_sentence(starting: StandIn):
    listening_on(starting, "nowhere.invalid")

    with pytest.raises(NotListening, match=r"nowhere.invalid:8470 can't be listened on: .+\."):
        async with web.serve(starting):
            pass


async def test_nothing_is_left_when_the_daemon_stops(starting: StandIn):
    before = asyncio.all_tasks()

    async with opened(starting) as api:
        await api.get("/healthz")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.base.split(":")[-1]))
    gone = await reader.read()

    writer.close()
    assert b"" == gone
    assert before == asyncio.all_tasks()
