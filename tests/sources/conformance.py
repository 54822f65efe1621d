"""What every source over HTTP must do, whatever its vendor: one suite, passed unchanged.

A vendor's test module subclasses `Conformance` and gives a fixture `vendor`: a `Vendor`, that
is its source, led to the wire, and bodies as this vendor makes them.
"""

import asyncio
import gzip
import json
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote, quote_plus

import pytest
from wire import Said, Wire, answer, head

from bibsync.errors import SourceBusy, SourceError, SourceMisled, SourceRefused, SourceTimedOut
from bibsync.source import Source
from bibsync.window import Window, day

WINDOW = day(datetime(2024, 11, 10, tzinfo=UTC))
HUGE = 17 * 1024 * 1024
WEB_PAGE = b"<!DOCTYPE html>\n<html><body><h1>We'll be back soon</h1></body></html>"


class Vendor(Protocol):
    """A vendor's kind of source, as the suite needs it."""

    wire: Wire

    def source(self, *, timeout: timedelta = timedelta(seconds=5)) -> Source:
        """Return a source that asks the wire, more than a hundred times a second if need be."""

    def page(self, control_numbers: Sequence[str]) -> bytes:
        """Return a body with these records."""

    def secrets(self) -> Sequence[str]:
        """Return what must be shown nowhere, signatures of requests so far included."""


FAULTS = {
    "reset": ("reset", Said(then="reset"), Said(then="reset")),  # aiohttp asks once more by itself
    "closed": ("reset", Said(then="close"), Said(then="close")),
    "not HTTP": ("bad_http", Said(b"SMTP ready\r\n\r\n", "close")),
    "long header": ("bad_http", answer(headers={"X": "x" * 9000}, then="close")),
    "many headers": ("bad_http", answer(headers={f"X-{n}": "x" for n in range(500)})),
    "short body": ("cut_short", answer(body=b"<collection>", length=5000, then="close")),
    "broken chunk": (
        "bad_http or cut_short",  # as it comes along with the head, or after it
        Said(head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\n<coll\r\n", "close"),
    ),
    "cut chunks": (
        "cut_short",
        Said(head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n<coll\r\n", "close"),
    ),
    "cut gzip": (
        "cut_gzip",
        Said(head(200, {"Content-Encoding": "gzip"}) + gzip.compress(WEB_PAGE)[:-9], "close"),
    ),
    "broken gzip": (
        "bad_gzip",
        answer(body=b"<collection/>", headers={"Content-Encoding": "gzip"}),
    ),
    "other encoding": ("bad_encoding", answer(body=b"..", headers={"Content-Encoding": "br"})),
    "too large": ("oversize", answer(body=b"<" * HUGE, then="close")),
    "bomb": (
        "oversize",
        answer(body=gzip.compress(b"\0" * 8_000_000), headers={"Content-Encoding": "gzip"}),
    ),
    "web page": ("html", answer(body=WEB_PAGE)),
    "web page, unavailable": ("http_503", answer(503, WEB_PAGE)),
    **{
        f"status {status}": (f"http_{status}", answer(status))
        for status in (
            202,
            204,
            206,
            300,
            304,
            400,
            404,
            408,
            410,
            418,
            425,
            429,
            500,
            502,
            503,
            504,
        )
    },
}
"""What a vendor may do to an answer, and the word that counters have for it."""


class Conformance:
    """The suite."""

    async def test_a_page_brings_the_records_in_the_vendors_order(self, vendor: Vendor):
        vendor.wire.say(answer(body=vendor.page(["c", "a", "b"])))

        page = await vendor.source().page(WINDOW, offset=1)

        assert [record.key for record in page.records] == ["c", "a", "b"]
        assert [record.position for record in page.records] == [0, 1, 2]
        assert not page.blank

    async def test_a_collection_without_records_is_a_page(self, vendor: Vendor):
        vendor.wire.say(answer(body=vendor.page([])))

        page = await vendor.source().page(WINDOW, offset=1)

        assert page.records == ()
        assert not page.blank

    @pytest.mark.parametrize("body", [b"", b" \r\n\t ", b"\xef\xbb\xbf\n"])
    async def test_no_body_is_blank_and_not_a_page_without_records(self, vendor: Vendor, body):
        vendor.wire.say(answer(body=body))

        page = await vendor.source().page(WINDOW, offset=1)

        assert page.records == ()
        assert page.blank

    async def test_a_gzipped_page_is_read_like_any_other(self, vendor: Vendor):
        packed = gzip.compress(vendor.page(["a", "b"]))
        vendor.wire.say(answer(body=packed, headers={"Content-Encoding": "gzip"}))

        page = await vendor.source().page(WINDOW, offset=1)

        assert [record.key for record in page.records] == ["a", "b"]
        assert vendor.wire.field("Accept-Encoding") == "gzip"

    async def test_a_page_in_chunks_is_read_like_any_other(self, vendor: Vendor):
        body = vendor.page(["a"])
        chunks = b"".join(b"1\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"
        vendor.wire.say(Said(head(200, {"Transfer-Encoding": "chunked"}) + chunks))

        page = await vendor.source().page(WINDOW, offset=1)

        assert [record.key for record in page.records] == ["a"]

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
    async def test_a_page_that_breaks_off_is_no_page(self, vendor: Vendor, share):
        body = vendor.page(["a", "b", "c"])
        vendor.wire.say(Said(head(200, {}) + body[: int(len(body) * share)], "close"))

        with pytest.raises(SourceBusy) as raised:
            await vendor.source().page(WINDOW, offset=1)

        assert raised.value.outcome == "cut_short"

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_a_fault_is_transient_and_is_counted_by_its_name(self, vendor: Vendor, fault):
        outcome, *said = FAULTS[fault]
        vendor.wire.say(*said)

        with pytest.raises(SourceBusy) as raised:
            await vendor.source().page(WINDOW, offset=1)

        assert raised.value.outcome in outcome.split(" or ")
        assert raised.value.problem.transient
        assert not vendor.wire.answers

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_no_error_shows_a_secret(self, vendor: Vendor, fault):
        vendor.wire.say(*FAULTS[fault][1:])

        with pytest.raises(SourceError) as raised:
            await vendor.source().page(WINDOW, offset=1)

        shows_nothing(raised.value, vendor.secrets())

    async def test_a_source_works_on_after_any_fault(self, vendor: Vendor):
        source = vendor.source()
        for fault, (_, *said) in FAULTS.items():
            if fault == "status 404":  # a source may be led to the wrong place
                continue
            vendor.wire.say(*said, answer(body=vendor.page(["a"])))
            with pytest.raises(SourceBusy):
                await source.page(WINDOW, offset=1)

            page = await source.page(WINDOW, offset=1)

            assert [record.key for record in page.records] == ["a"], fault

    @pytest.mark.parametrize("then", ["hang", "drip"])
    async def test_a_vendor_that_is_too_slow_is_timed_out(self, vendor: Vendor, then):
        body = vendor.page(["a"] * 50)
        vendor.wire.say(answer(body=body, then="drip") if then == "drip" else Said(then="hang"))

        with pytest.raises(SourceTimedOut) as raised:
            await vendor.source(timeout=timedelta(seconds=0.1)).page(WINDOW, offset=1)

        assert raised.value.outcome == "timeout"
        shows_nothing(raised.value, vendor.secrets())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_never_followed_and_its_target_is_named(
        self, vendor: Vendor, status
    ):
        async with Wire() as elsewhere:
            to = f"http://localhost:{elsewhere.port}/secret-path?query"
            vendor.wire.say(answer(status, headers={"Location": to}))

            with pytest.raises(SourceMisled, match="pointing to localhost;") as raised:
                await vendor.source().page(WINDOW, offset=1)

        assert elsewhere.heads == []
        assert "query" not in raised.value.message
        shows_nothing(raised.value, vendor.secrets())

    @pytest.mark.parametrize("status", [401, 403])
    async def test_refused_credentials_are_not_transient(self, vendor: Vendor, status):
        vendor.wire.say(answer(status))

        with pytest.raises(SourceRefused) as raised:
            await vendor.source().page(WINDOW, offset=1)

        assert not raised.value.problem.transient
        shows_nothing(raised.value, vendor.secrets())

    async def test_an_unreachable_vendor_is_transient(self, vendor: Vendor):
        source = vendor.source()
        await vendor.wire.__aexit__()

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.outcome == "connect"
        shows_nothing(raised.value, vendor.secrets())

    async def test_the_vendors_clock_is_unknown_until_it_told(self, vendor: Vendor):
        source = vendor.source()
        before = source.skew()
        vendor.wire.say(answer(502, headers={"Date": "Mon, 11 Nov 2124 10:00:00 GMT"}))
        with pytest.raises(SourceBusy):
            await source.page(WINDOW, offset=1)

        assert before is None
        assert source.skew() == pytest.approx(
            (datetime(2124, 11, 11, 10, tzinfo=UTC) - datetime.now(UTC)).total_seconds(), abs=5
        )

    async def test_the_pause_that_the_vendor_asks_for_is_passed_on(self, vendor: Vendor):
        vendor.wire.say(answer(503, headers={"Retry-After": "120"}))

        with pytest.raises(SourceBusy) as raised:
            await vendor.source().page(WINDOW, offset=1)

        assert raised.value.retry_after == 120

    async def test_a_page_may_be_cancelled_and_asked_for_again(self, vendor: Vendor):
        source = vendor.source()
        vendor.wire.say(Said(head(200, {}) + b"<coll", "hang"), answer(body=vendor.page(["a"])))
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(source.page(WINDOW, offset=1), name="page")
            await vendor.wire.arrived.wait()
            asked.cancel()

        page = await source.page(WINDOW, offset=1)

        assert asked.cancelled()
        assert [record.key for record in page.records] == ["a"]

    async def test_pages_may_be_asked_for_at_once(self, vendor: Vendor):
        source = vendor.source()
        vendor.wire.say(*[answer(body=vendor.page(["a", "b"]))] * 20)

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(source.page(WINDOW, offset=n)) for n in range(1, 21)]

        assert {len(task.result().records) for task in asked} == {2}
        assert len(vendor.wire.heads) == 20

    async def test_connections_are_kept_for_the_next_page(self, vendor: Vendor):
        source = vendor.source()
        vendor.wire.say(*[answer(body=vendor.page(["a"]))] * 5)

        for offset in range(1, 6):
            await source.page(WINDOW, offset=offset)

        assert vendor.wire.connections == 1

    async def test_no_two_requests_are_the_same_for_different_windows(self, vendor: Vendor):
        source = vendor.source()
        vendor.wire.say(*[answer(body=vendor.page([]))] * 3)
        later = Window(WINDOW.start, WINDOW.end + timedelta(seconds=1))

        await source.page(WINDOW, offset=1)
        await source.page(WINDOW, offset=2)
        await source.page(later, offset=1)

        assert len(set(vendor.wire.targets)) == 3


def shows_nothing(error: BaseException, secrets: Sequence[str]) -> None:
    """Check that an error, and all it is chained to, shows none of `secrets` in any spelling."""
    chain, link = [], error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    shown = "".join(traceback.format_exception(error))
    shown += "".join(f"{each!r} {each} {vars(each)!r} {each.args!r}" for each in chain)
    for secret in secrets:
        for spelling in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
        ):
            assert spelling not in shown, f"{spelling} is shown"
