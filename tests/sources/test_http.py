"""One exchange with a host: its clock, its pauses, its bounds, and what never goes out."""

import asyncio
import shutil
import ssl
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aioresponses import aioresponses
from conformance import shows_nothing
from multidict import CIMultiDict, CIMultiDictProxy
from wire import Said, Wire, answer
from yarl import URL

from bibsync.errors import SourceBusy, SourceError, SourceTimedOut
from bibsync.source import always
from bibsync.sources.http import AT_ONCE, Hosts, address

SECRET = "canary-signature+of/it="
SECOND = timedelta(seconds=1)


class Source:
    """Somebody who asks a host, as often as it likes."""

    def __init__(self, hosts, url, per_second=10_000.0):
        self.url = address(url)
        self.host = hosts.at(self.url)
        self.host.budget.join(self, per_second)
        self.signed_at = []

    def sign(self, at):
        self.signed_at.append(at)
        return {"X-Signature": SECRET}

    async def get(self, *, within=5 * SECOND, path="page?secret-query", permit=always):
        url = URL(f"{self.url}{path}", encoded=True)
        return await self.host.get(
            url, sign=self.sign, within=within, vendor="The vendor", permit=permit
        )


@pytest.fixture
def source(wire, hosts):
    return Source(hosts, wire.url)


async def test_no_request_goes_out_before_it_is_permitted(wire, source):
    """The lease of a process that was stopped is in doubt: another may be at it."""
    asked, granted = asyncio.Event(), asyncio.Event()

    async def permit():
        asked.set()
        await granted.wait()
        return True

    wire.say(answer(200, body=b"told"))
    task = asyncio.create_task(source.get(permit=permit))
    await asked.wait()

    assert wire.heads == []

    granted.set()

    assert (await task).body == b"told"


async def test_a_pause_that_began_while_a_permit_was_waited_for_is_kept(wire, source):
    async def permit():
        await source.host.budget.postpone(120)
        return False

    with pytest.raises(SourceBusy) as raised:
        await source.get(permit=permit)

    assert raised.value.outcome == "postponed"
    assert wire.heads == []


async def test_a_pause_binds_every_collection_at_that_host(wire, hosts, source):
    other = Source(hosts, wire.url)
    wire.say(answer(429, headers={"Retry-After": "120"}))
    told = await source.get()

    with pytest.raises(SourceBusy) as raised:
        await other.get()

    assert told.retry_after == 120
    assert raised.value.outcome == "postponed"
    assert 119 < raised.value.retry_after <= 120
    assert len(wire.heads) == 1


async def test_a_pause_counts_although_the_answer_broke_off(wire, source):
    wire.say(answer(503, b"Wait", {"Retry-After": "120"}, length=500, then="close"))
    with pytest.raises(SourceBusy):
        await source.get()

    with pytest.raises(SourceBusy) as raised:
        await source.get()

    assert raised.value.outcome == "postponed"


async def test_a_pause_until_a_moment_counts_from_the_vendors_clock(wire):
    async with Hosts(now=lambda: datetime(1999, 1, 1, tzinfo=UTC)) as hosts:
        source = Source(hosts, wire.url)
        wire.say(
            answer(
                500,
                headers={
                    "Date": "Mon, 11 Nov 2024 10:00:00 GMT",
                    "Retry-After": "Mon, 11 Nov 2024 10:01:30 GMT",
                },
            )
        )

        assert (await source.get()).retry_after == 90


async def test_other_answers_do_not_hold_the_host_up(wire, source):
    wire.say(answer(500, headers={"Retry-After": "120"}), answer(200))
    await source.get()

    assert (await source.get()).status == 200


async def test_each_request_is_signed_when_it_is_sent(wire):
    moments = [datetime(2024, 11, 11, 10, 0, second, tzinfo=UTC) for second in range(30)]
    passing = iter(moments)
    async with Hosts(now=lambda: next(passing)) as hosts:
        source = Source(hosts, wire.url)
        wire.say(answer(), answer())

        await source.get()
        await source.get()

    assert source.signed_at[0] < source.signed_at[1]


async def test_waiting_for_the_turn_does_not_count_into_the_time_out(wire, hosts):
    source = Source(hosts, wire.url, per_second=2.0)
    wire.say(answer(), answer())

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(source.get(within=0.4 * SECOND)) for _ in range(2)]

    assert [task.result().status for task in asked] == [200, 200]


async def test_waiting_for_a_place_does_not_count_into_the_time_out(wire, source):
    """The connections of a host are bounded; who waits for one has not been sent yet."""
    wire.say(*[Said(then="hang")] * AT_ONCE, answer())
    slow = [asyncio.ensure_future(source.get(within=0.4 * SECOND)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)  # they have taken their places

    last = await source.get(within=0.35 * SECOND)

    assert last.status == 200
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(result) for result in results} == {SourceTimedOut}
    assert wire.most_at_once <= AT_ONCE


async def test_how_long_an_exchange_took_is_told_and_waiting_for_the_turn_is_no_part_of_it(wire):
    took = []
    async with Hosts(took=lambda host, seconds: took.append((host, seconds))) as hosts:
        source = Source(hosts, wire.url, per_second=1.0)
        wire.say(answer(), answer())

        await source.get()
        await source.get()

    assert [f"127.0.0.1:{wire.port}"] * 2 == [host for host, _ in took]
    assert max(seconds for _, seconds in took) < 0.9


async def test_how_long_an_exchange_took_is_told_where_there_was_no_answer(wire):
    took = []
    async with Hosts(took=lambda _, seconds: took.append(seconds)) as hosts:
        source = Source(hosts, wire.url)
        wire.say(Said(then="hang"))

        with pytest.raises(SourceTimedOut):
            await source.get(within=0.2 * SECOND)

    assert len(took) == 1
    assert took[0] >= 0.19


async def test_cookies_are_neither_kept_nor_sent(wire, source):
    wire.say(answer(headers={"Set-Cookie": "session=1"}), answer())

    await source.get()
    await source.get()

    assert "cookie" not in wire.heads[1].lower()


async def test_the_environment_sends_nothing_through_a_proxy(wire, source, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    wire.say(answer())

    assert (await source.get()).status == 200


async def test_an_answer_without_a_date_leaves_the_clock_as_it_was_known(wire, source):
    wire.say(answer(headers={"Date": "nonsense"}))

    await source.get()

    assert source.host.skew is None


async def test_a_name_that_is_not_known_is_a_matter_of_dns(hosts, monkeypatch):
    async def unknown(*_args, **_kwargs):
        raise OSError(None, "Name or service not known")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", unknown)

    with pytest.raises(SourceBusy) as raised:
        await Source(hosts, "https://partner.invalid/").get()

    assert raised.value.outcome == "dns"
    assert raised.value.message == "The name partner.invalid can't be found (DNS)."


async def test_a_server_that_speaks_no_tls_is_a_matter_of_tls(hosts):
    async def plain(_, writer):
        writer.write(answer(400).data)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        with pytest.raises(SourceBusy) as raised:
            await Source(hosts, f"https://127.0.0.1:{port}/").get()

    assert raised.value.outcome == "tls"


async def test_a_certificate_that_nobody_vouches_for_is_refused(hosts, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate")
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-subj", "/CN=127.0.0.1"),
        *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")

    async with Wire(tls=tls) as server:
        with pytest.raises(SourceBusy) as raised:
            await Source(hosts, server.url.replace("http:", "https:")).get()

    assert raised.value.outcome == "tls"
    assert "certificate" in raised.value.message
    assert server.heads == []


def raised_by_aiohttp():
    """Every exception of aiohttp that may hold a request, each with the secrets in it."""
    url = URL(f"https://partner.example/?{SECRET}")
    headers = CIMultiDictProxy(CIMultiDict({"X-Signature": SECRET}))
    request = aiohttp.RequestInfo(url, "GET", headers, url)
    caused = ValueError(SECRET)
    return [
        aiohttp.ClientResponseError(request, (), status=400, message=SECRET, headers=headers),
        aiohttp.ContentTypeError(request, (), message=SECRET),
        aiohttp.TooManyRedirects(request, ()),
        aiohttp.InvalidURL(url, SECRET),
        aiohttp.NonHttpUrlClientError(url),
        aiohttp.ConnectionTimeoutError(f"Connection timeout to host {url}"),
        aiohttp.SocketTimeoutError(SECRET),
        aiohttp.ServerDisconnectedError(SECRET),
        aiohttp.ClientPayloadError(SECRET),
        aiohttp.ClientOSError(104, SECRET),
        aiohttp.ClientConnectionResetError(SECRET),
        aiohttp.ClientError(caused),
        TimeoutError(SECRET),
        OSError(SECRET),
    ]


@pytest.mark.parametrize("error", raised_by_aiohttp(), ids=lambda error: type(error).__name__)
async def test_nothing_that_aiohttp_knows_of_a_request_gets_out(hosts, error):
    source = Source(hosts, "https://partner.example/")

    with aioresponses() as vendor:
        vendor.get("https://partner.example/page?secret-query", exception=error)
        with pytest.raises(SourceError) as raised:
            await source.get()

    shows_nothing(raised.value, [SECRET, "secret-query"])
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


async def test_a_defect_is_not_taken_for_a_fault_of_the_vendor(hosts):
    source = Source(hosts, "https://partner.example/")

    with aioresponses() as vendor:
        vendor.get("https://partner.example/page?secret-query", exception=KeyError("defect"))
        with pytest.raises(KeyError):
            await source.get()
