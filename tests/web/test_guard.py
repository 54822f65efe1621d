"""Whom the interface answers: every refusal, and that it changes nothing."""

import pytest
from pydantic import SecretStr
from spoken import MAIN, TOKEN, Api, StandIn, Wire, head, listening_on, problem
from structlog.testing import capture_logs

from bibsync import events
from bibsync.store import Connection, pauses

PAUSE = f"/v1/collections/{MAIN}/pause"


async def paused(conn: Connection) -> bool:
    return bool(await pauses.in_force(conn))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "localhost:8470", "[::1]:8470", "LOCALHOST", "bibsync.localhost"],
)
async def test_the_names_of_this_machine_are_answered(api: Api, host: str):
    assert 200 == (await api("GET", "/v1/status", Host=host)).status


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "10.0.0.1", "", "a b", "[::1"],
)
@pytest.mark.parametrize("path", ["/v1/status", "/metrics", "/", "/v1/nothing"])
async def test_a_foreign_host_is_refused(api: Api, path: str, host: str):
    got = await api("GET", path, Host=host)

    assert (403, "host_refused") == (got.status, got.code)


async def test_a_foreign_host_changes_nothing_even_with_the_token(api: Api, conn: Connection):
    got = await api.post(PAUSE, Host="evil.example")

    assert (403, "host_refused") == (got.status, got.code)
    assert not await paused(conn)


async def test_further_hosts_may_be_configured_while_it_runs(api: Api, daemon: StandIn):
    daemon.set(hosts=("bibsync.example",))

    assert 200 == (await api("GET", "/v1/status", Host="Bibsync.example:443")).status


async def test_the_configured_address_is_ours(api: Api, daemon: StandIn):
    daemon.set(open_reading=True)
    listening_on(daemon, "catalogue.example")

    assert 200 == (await api("GET", "/v1/status", Host="catalogue.example:8470")).status


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer", "Basic YTpi", f"Bearer {TOKEN}x"]
)
async def test_a_change_needs_the_token(api: Api, conn: Connection, given: str | None):
    headers = {"Authorization": given} if given else {}

    got = await api.post(PAUSE, token=None, **headers)

    assert (401, "token_wanted") == (got.status, got.code)
    assert got.headers["WWW-Authenticate"].startswith('Bearer realm="bibsync"')
    assert not await paused(conn)


async def test_a_token_that_is_no_text_is_refused_as_any_other(api: Api):
    async with Wire(api) as wire:
        await wire.send(f"POST {PAUSE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        await wire.send(b"Authorization: Bearer \xff\xe9\r\n\r\n")

        answer = await wire.rest()

    assert "token_wanted" == problem(answer)["code"]


async def test_without_a_token_configured_every_change_is_refused(
    api: Api, daemon: StandIn, conn: Connection
):
    daemon.set(operator_token=None)

    got = await api.post(PAUSE)

    assert (403, "no_token_configured") == (got.status, got.code)
    assert "operator_token" in got.document["remedy"]
    assert not await paused(conn)


async def test_a_reload_changes_the_token(api: Api, daemon: StandIn):
    daemon.set(operator_token=SecretStr("another"))

    before, after = await api.post(PAUSE), await api.post(PAUSE, token="another")

    assert [401, 200] == [before.status, after.status]


async def test_reading_from_afar_needs_the_token_too(api: Api, daemon: StandIn):
    listening_on(daemon, "192.0.2.1")

    without = await api("GET", "/v1/status")
    wrong = await api("GET", "/v1/openapi.json", Authorization="Bearer wrong")
    right = await api("GET", "/v1/status", Authorization=f"Bearer {TOKEN}")

    assert [401, 401, 200] == [without.status, wrong.status, right.status]


async def test_reading_from_afar_is_refused_without_a_token_configured(api: Api, daemon: StandIn):
    listening_on(daemon, "192.0.2.1")
    daemon.set(operator_token=None)

    assert "no_token_configured" == (await api("GET", "/v1/status")).code


async def test_open_reading_opens_reading_and_nothing_else(api: Api, daemon: StandIn):
    listening_on(daemon, "192.0.2.1")
    daemon.set(open_reading=True)

    assert 200 == (await api("GET", "/v1/status")).status
    assert 401 == (await api.post(PAUSE, token=None)).status


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_changes_nothing(
    api: Api, conn: Connection, headers: dict[str, str]
):
    got = await api.post(PAUSE, **headers)

    assert (403, "cross_site") == (got.status, got.code)
    assert not await paused(conn)


async def test_a_page_of_our_own_may_change_something(api: Api, daemon: StandIn):
    daemon.set(hosts=("bibsync.example",))

    own = await api.post(PAUSE, Origin=api.base, Sec_Fetch_Site="same-origin")
    by_origin = await api.post(PAUSE, Origin=api.base)
    by_proxy = await api.post(PAUSE, Origin="https://bibsync.example")

    assert [200, 200, 200] == [own.status, by_origin.status, by_proxy.status]


async def test_who_asks_is_noted_and_a_change_is_logged_once(api: Api, conn: Connection):
    with capture_logs() as log:
        await api.get("/v1/status")
        await api.post(PAUSE, {"reason": "vendor maintenance"}, X_Requested_By="anna")

    [pause] = (await pauses.in_force(conn)).values()
    [change] = [each for each in log if each["event"] == events.CHANGE_MADE]
    assert "anna (api 127.0.0.1)" == pause.by == change["by"]
    assert "POST /v1/collections/{name}/pause" == change["does"]
    assert {"name": MAIN, "reason": "vendor maintenance"} == change["what"]


@pytest.mark.parametrize("name", [b"a" * 101, b"a\x80b"], ids=["long", "no text"])
async def test_a_name_that_is_no_line_of_text_is_refused(api: Api, conn: Connection, name: bytes):
    async with Wire(api) as wire:
        await wire.send(head("POST", PAUSE, "Connection: close").removesuffix("\r\n"))
        await wire.send(b"X-Requested-By: " + name + b"\r\n\r\n")

        answer = await wire.rest()

    assert "usage" == problem(answer)["code"]
    assert not await paused(conn)


async def test_no_secret_is_shown_whatever_is_refused(api: Api, daemon: StandIn):
    with capture_logs() as log:
        answers = [
            await api("GET", "/v1/status", Authorization=f"Bearer {TOKEN}", Host="evil.example"),
            await api.post(PAUSE, {"unknown": 1}),
            await api.post(PAUSE, b"{", Content_Type="application/json"),
            await api.post("/v1/nothing"),
            await api("GET", "/v1/status"),
            await api("GET", "/v1/openapi.json"),
            await api("GET", "/metrics"),
        ]

    everything = repr(log) + "".join(f"{got.headers} {got.body!r}" for got in answers)
    assert TOKEN not in everything
    assert "secret" not in everything.replace("nobody may see a secret", "")
