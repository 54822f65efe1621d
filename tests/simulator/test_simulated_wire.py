"""Every fault as it looks on the wire, seen through a client and a bare socket."""

import asyncio
import gzip
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import asking
import pytest
from yarl import URL

from bibsync.simulator import Faults, Vendor, serve
from bibsync.simulator.answers import INSTEAD


@pytest.fixture
def vendor():
    return Vendor([asking.library()], now=asking.Clock(), hang_s=30, retry_after_s=7)


async def fetch(vendor, resource=asking.PAGE, timeout_s=5.0, **more):
    """Ask over HTTP as a careful client does; give status, headers and the body as sent."""
    path = asking.target(resource)
    async with (
        serve(vendor) as base_url,
        aiohttp.ClientSession(auto_decompress=False) as session,
        asyncio.timeout(timeout_s),
        session.get(
            URL(base_url.rstrip("/") + path, encoded=True),
            headers=asking.headers(path, vendor.clock, **more),
            allow_redirects=False,
        ) as response,
    ):
        return response.status, response.headers, await response.read()


async def raw(vendor, resource=asking.PAGE):
    """Ask over a bare socket; give everything up to the end of the connection."""
    path = asking.target(resource)
    sent = {"Host": "vendor", "Connection": "close", **asking.headers(path, vendor.clock)}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in sent.items()), "", ""]
    async with serve(vendor) as base_url, asyncio.timeout(5):
        port = URL(base_url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            body = await reader.read()
        finally:
            writer.close()
        return head, body


def scripted(vendor, kind):
    vendor.next_answers("abcde", [kind])
    return vendor


async def test_a_right_page_goes_over_the_wire_whole(vendor):
    status, headers, body = await fetch(vendor)

    assert status == 200
    assert headers["Content-Type"] == "application/xml; charset=utf-8"
    assert body.count(b"<marc:record>") == 50
    assert body.endswith(b"</marc:record></marc:collection>")


async def test_the_date_header_shows_the_vendors_clock():
    skewed = Vendor([asking.library()], now=asking.Clock(), clock_skew_s=-250)

    _, headers, _ = await fetch(skewed)

    assert parsedate_to_datetime(headers["Date"]) == asking.NOW - timedelta(seconds=250)


async def test_a_broken_answer_has_the_vendors_date_too(vendor):
    head, _ = await raw(scripted(vendor, "cut_body"))

    assert b"Date: Sat, 01 Jun 2024 12:00:00 GMT" in head


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("http_500", 500),
        ("http_502", 502),
        ("http_504", 504),
        ("http_503_retry_after", 503),
        ("http_429", 429),
        ("not_found", 404),
        ("no_content", 204),
    ],
)
async def test_a_status_is_sent_as_such(vendor, kind, expected):
    status, _, _ = await fetch(scripted(vendor, kind))

    assert status == expected
    assert vendor.log.fired(kind) == 1


@pytest.mark.parametrize("kind", ["http_503_retry_after", "http_429"])
async def test_a_pause_is_asked_for_in_seconds_or_as_a_date(kind):
    vendor = Vendor(
        [asking.library()], faults=Faults(**{kind: 1.0}), now=asking.Clock(), retry_after_s=7
    )

    asked = {asking.ask(vendor).headers["Retry-After"] for _ in range(30)}

    assert asked == {"7", "Sat, 01 Jun 2024 12:00:07 GMT"}


async def test_a_timeout_sends_nothing_until_the_client_gives_up(vendor):
    with pytest.raises(TimeoutError):
        await fetch(scripted(vendor, "timeout"), timeout_s=0.2)

    assert vendor.log.fired("timeout") == 1


async def test_a_timeout_ends_by_itself_for_a_patient_client():
    vendor = Vendor([asking.library()], now=asking.Clock(), hang_s=0.05)

    status, _, _ = await fetch(scripted(vendor, "timeout"))

    assert status == 504


async def test_a_drip_gives_a_byte_now_and_then(vendor):
    with pytest.raises(TimeoutError):
        await fetch(scripted(vendor, "drip"), timeout_s=0.5)

    assert vendor.log.fired("drip") == 1


async def test_a_reset_comes_in_the_middle_of_the_body(vendor):
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
        await fetch(scripted(vendor, "reset"))

    assert vendor.log.fired("reset") == 1


async def test_a_cut_body_has_no_length_and_no_end_tag(vendor):
    head, body = await raw(scripted(vendor, "cut_body"))

    assert b"content-length" not in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"<?xml")
    assert not body.endswith(b"</marc:collection>")


async def test_a_client_takes_a_cut_body_for_whole(vendor):
    status, _, body = await fetch(scripted(vendor, "cut_body"))

    assert status == 200
    assert b"</marc:collection>" not in body


async def test_a_cut_gzip_stream_does_not_end(vendor):
    _, headers, body = await fetch(
        scripted(vendor, "cut_gzip"), **{"Accept-Encoding": "gzip, deflate"}
    )

    unpacked = zlib.decompressobj(wbits=31)
    assert headers["Content-Encoding"] == "gzip"
    assert unpacked.decompress(body).startswith(b"<?xml")
    assert not unpacked.eof


async def test_a_client_without_gzip_gets_a_cut_body_instead(vendor):
    head, _ = await raw(scripted(vendor, "cut_gzip"))

    assert b"gzip" not in head
    assert (vendor.log.fired("cut_gzip"), vendor.log.fired("cut_body")) == (0, 1)


async def test_a_wrong_length_is_never_reached(vendor):
    head, body = await raw(scripted(vendor, "content_length_wrong"))

    [length] = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
    assert int(length.split()[1]) == len(body) + 100
    assert body.endswith(b"</marc:collection>")


async def test_a_blank_answer_is_200_without_a_visible_character(vendor):
    status, _, body = await fetch(scripted(vendor, "blank"))

    assert (status, body.strip()) == (200, b"")


async def test_an_error_document_comes_with_200(vendor):
    status, _, body = await fetch(scripted(vendor, "error_document"))

    assert status == 200
    assert b"<Code>Gen-001</Code><Message>" in body


async def test_an_error_document_comes_with_an_error_status_too(vendor):
    status, _, body = await fetch(scripted(vendor, "error_document_500"))

    assert status in (400, 401, 500)
    assert b"<Code>Gen-001</Code><Message>" in body


def test_error_documents_say_one_of_two_things():
    vendor = Vendor([asking.library()], faults=Faults(error_document=1.0), now=asking.Clock())

    bodies = {asking.ask(vendor).body for _ in range(20)}

    assert len(bodies) == 2
    assert any(b"Authentication failed" in body for body in bodies)
    assert any(b"Unknown error" in body for body in bodies)


async def test_html_comes_with_200(vendor):
    status, headers, body = await fetch(scripted(vendor, "html"))

    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b"<html>" in body


async def test_foreign_xml_is_no_marc(vendor):
    status, _, body = await fetch(scripted(vendor, "foreign_xml"))

    assert status == 200
    assert b"collection" not in body


async def test_a_doctype_stands_before_a_page_that_looks_right(vendor):
    _, _, body = await fetch(scripted(vendor, "doctype"))

    assert body.index(b"<!DOCTYPE") < body.index(b"<marc:collection")


async def test_a_redirect_points_where_the_switch_says():
    vendor = Vendor([asking.library()], now=asking.Clock(), redirect_to="http://trap.invalid/x")

    status, headers, _ = await fetch(scripted(vendor, "redirect"))

    assert status in (301, 302, 307, 308)
    assert headers["Location"] == "http://trap.invalid/x"


async def test_a_gzip_bomb_is_small_on_the_wire_and_large_unpacked(vendor):
    _, _, body = await fetch(scripted(vendor, "gzip_bomb"), **{"Accept-Encoding": "gzip"})

    unpacked = zlib.decompressobj(wbits=31)
    size = 0
    while body and not unpacked.eof:
        size += len(unpacked.decompress(body, 2**20))
        body = unpacked.unconsumed_tail
    assert unpacked.eof
    assert size > 64 * 2**20


async def test_gzip_goes_only_to_clients_that_take_it():
    vendor = Vendor([asking.library()], faults=Faults(gzip=1.0), now=asking.Clock())

    _, headers, body = await fetch(vendor, **{"Accept-Encoding": "gzip"})
    _, plain_headers, plain = await fetch(vendor, **{"Accept-Encoding": "identity"})

    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == plain
    assert "Content-Encoding" not in plain_headers


async def test_a_wrong_content_type_leaves_the_body_right():
    vendor = Vendor([asking.library()], faults=Faults(wrong_content_type=1.0), now=asking.Clock())

    _, headers, body = await fetch(vendor)

    assert "xml" not in headers["Content-Type"]
    assert body.endswith(b"</marc:collection>")


async def test_wrong_credentials_are_401_without_a_body(vendor):
    status, headers, body = await fetch(vendor, **{"3mcl-Authorization": "3MCLAUTH partner:no"})

    assert (status, body) == (401, b"")
    assert headers["Content-Length"] == "0"


@pytest.mark.parametrize("kind", INSTEAD)
async def test_no_fault_breaks_the_server_for_the_next_request(kind, caplog):
    vendor = Vendor([asking.library()], now=asking.Clock(), hang_s=0.05)
    path = asking.target(asking.PAGE)
    vendor.next_answers("abcde", [kind])

    async with serve(vendor) as base_url, aiohttp.ClientSession() as session:
        url = URL(base_url.rstrip("/") + path, encoded=True)
        statuses = []
        for _ in range(2):
            try:
                async with session.get(
                    url, headers=asking.headers(path), allow_redirects=False
                ) as response:
                    await response.read()
                    statuses.append(response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                statuses.append(type(error).__name__)

    assert len(statuses) == 2
    assert statuses[1] == 200
    assert vendor.log.fired(kind) == 1
    assert not [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]


async def test_latency_delays_an_answer():
    vendor = Vendor([asking.library()], now=asking.Clock(), latency_s=30)

    with pytest.raises(TimeoutError):
        await fetch(vendor, timeout_s=0.2)

    assert vendor.log.asked("abcde") == 1


async def test_truth_and_requests_are_told_over_http(vendor):
    asking.ask(vendor)

    async with serve(vendor) as base_url, aiohttp.ClientSession() as session:
        async with session.get(f"{base_url}simulator/truth/abcde") as response:
            truth = await response.json()
        async with session.get(f"{base_url}simulator/truth/nobody") as response:
            unknown = response.status
        async with session.get(f"{base_url}simulator/requests") as response:
            requests = await response.json()

    assert vendor.truth("abcde") == truth
    assert unknown == 404
    assert requests["libraries"]["abcde"]["answers"] == {"page": 1}


async def test_the_vendors_own_clock_runs_where_none_is_given():
    vendor = Vendor([asking.library()])

    status, _, _ = await fetch(vendor)

    assert status == 200
    assert abs(vendor.clock - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_work_for_a_client_that_gave_up_ends_with_it(vendor):
    path = asking.target(asking.PAGE)
    vendor.next_answers("abcde", ["timeout"])

    async with serve(vendor) as base_url:
        others = asyncio.all_tasks()
        url = URL(base_url.rstrip("/") + path, encoded=True)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await session.get(url, headers=asking.headers(path))

        _, still_at_work = await asyncio.wait(
            [*(asyncio.all_tasks() - others), asyncio.ensure_future(asyncio.sleep(0))], timeout=5
        )

    assert not still_at_work
    assert vendor.log.fired("timeout") == 1
