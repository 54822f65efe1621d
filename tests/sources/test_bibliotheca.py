"""cloudLibrary: what is signed and asked, and what each of its answers means."""

import locale
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from types import SimpleNamespace
from urllib.parse import quote

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses
from conformance import WINDOW, Conformance, shows_nothing
from pydantic import SecretStr
from wire import Wire, answer

from bibsync.collection import Collection, Sync
from bibsync.errors import SourceBusy, SourceMisled, SourceRefused, SourceTimedOut
from bibsync.sources import SOURCES, open_source
from bibsync.sources.bibliotheca import NOT_FOUND_AT_MOST, Bibliotheca, signature
from bibsync.sources.clock import http_date, moment
from bibsync.sources.http import Hosts

KEY = "canary/key+of=the&account"
ACCOUNT = "canary-account"
MARC = "http://www.loc.gov/MARC21/slim"
NOW = datetime(2024, 11, 11, 10, tzinfo=UTC)
BASE = "https://partner.example/"
PAGE = (
    f"{BASE}cirrus/library/lib/data/marc"
    "?startdate=2024-11-09T23:59:59&enddate=2024-11-11T00:00:00&offset={offset}&limit=50"
)
AUTHENTICATION_FAILED = (
    b"<Error><Code>Gen-001</Code><Message>Authentication failed</Message></Error>"
)


def collection(base_url=BASE, *, timeout=timedelta(seconds=5), **kwargs):
    return Collection(
        **{
            "name": "Springfield",
            "source": "bibliotheca",
            "library_id": "lib",
            "account_id": ACCOUNT,
            "account_key": SecretStr(KEY),
            "base_url": base_url,
            "sync": Sync(timeout=timeout, requests_per_second=10_000),
            **kwargs,
        }
    )


def page(control_numbers):
    records = "".join(
        "<marc:record><marc:leader>00000nam a2200000 a 4500</marc:leader>"
        f'<marc:controlfield tag="001">{number}</marc:controlfield></marc:record>'
        for number in control_numbers
    )
    return f'<marc:collection xmlns:marc="{MARC}">{records}</marc:collection>'.encode()


@dataclass
class CloudLibrary:
    """The vendor as the conformance suite needs it."""

    wire: Wire
    hosts: Hosts

    def source(self, *, timeout=timedelta(seconds=5)):
        return open_source(collection(self.wire.url, timeout=timeout), self.hosts)

    def page(self, control_numbers):
        return page(control_numbers)

    def secrets(self):
        sent = [self.wire.field("3mcl-Authorization")] if self.wire.heads else []
        signatures = [each.rpartition(":")[2] for each in sent]
        return [KEY, ACCOUNT, "startdate=2", b64encode(KEY.encode()).decode(), *sent, *signatures]


class TestConformance(Conformance):
    """cloudLibrary is a source like any other."""

    @pytest.fixture
    def vendor(self, wire, hosts):
        return CloudLibrary(wire, hosts)


class Response(aiohttp.ClientResponse):
    """What aioresponses must make: 0.7.9 leaves out an argument that aiohttp has since 3.14.

    Given here, aiohttp stays current, with its security fixes.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, stream_writer=SimpleNamespace(output_size=0), **kwargs)


@pytest.fixture
def vendor():
    """The vendor's host, as far as answers are given: `vendor.get(url, ...)`."""

    class Answers(aioresponses):
        def get(self, url, **kwargs):
            super().get(url, response_class=Response, **kwargs)

    with Answers() as answers:
        yield answers


@pytest.fixture
async def source():
    async with Hosts(now=lambda: NOW) as hosts:
        yield Bibliotheca(collection(), hosts)


class TestSigning:
    def test_the_vendors_first_vector_is_met(self):
        path = (
            "/cirrus/library/library_id/data/cloudevents"
            "?startdate=2024-11-10T10:00:00&enddate=2024-11-11T10:00:00"
        )

        signed = signature("account_key", "GET", path, NOW)

        assert http_date(NOW) == "Mon, 11 Nov 2024 10:00:00 GMT"
        assert signed == "KipNmbVsmsT2xPjP4oHAaR3n00JgcszfF6mQRffBoRk="

    def test_the_reference_importers_vector_is_met(self):
        signed = signature(
            "b", "GET", "/cirrus/library/c/some_url", datetime(2016, 1, 1, tzinfo=UTC)
        )

        assert signed == "HZHNGfn6WVceakGrwXaJQ9zIY0Ai5opGct38j9/bHrE="

    def test_dates_are_english_whatever_the_locale(self):
        before = locale.setlocale(locale.LC_TIME)
        try:
            locale.setlocale(locale.LC_TIME, "de_DE.UTF-8")
        except locale.Error:
            pytest.skip("no German locale here")
        try:
            assert http_date(datetime(2024, 12, 3, tzinfo=UTC)) == "Tue, 03 Dec 2024 00:00:00 GMT"
        finally:
            locale.setlocale(locale.LC_TIME, before)

    async def test_what_is_signed_is_what_goes_over_the_wire(self, wire, hosts):
        source = Bibliotheca(
            collection(f"{wire.url}behind/", library_id="a b/ü'", api_version="3.0"), hosts
        )
        wire.say(answer(body=page([])))

        await source.page(WINDOW, offset=7)

        target = (
            "/behind/cirrus/library/a%20b%2F%C3%BC%27/data/marc"
            "?startdate=2024-11-09T23:59:59&enddate=2024-11-11T00:00:00&offset=7&limit=50"
        )
        signed = signature(KEY, "GET", target, moment(wire.field("3mcl-Datetime")))
        assert wire.targets == [target]
        assert wire.field("3mcl-Authorization") == f"3MCLAUTH {ACCOUNT}:{signed}"
        assert wire.field("3mcl-APIVersion") == "3.0"
        assert "3mcl-Version:" not in wire.heads[-1]

    async def test_version_2_has_a_header_of_its_own(self, wire, hosts):
        wire.say(answer(body=page([])))

        await Bibliotheca(collection(wire.url), hosts).page(WINDOW, offset=1)

        assert wire.field("3mcl-Version") == "2.0"
        assert "3mcl-APIVersion" not in wire.heads[-1]

    async def test_a_clock_that_is_off_is_corrected_for_the_next_request(self, source, vendor):
        signed = []

        def note(_, **kwargs):
            signed.append(kwargs["headers"]["3mcl-Datetime"])
            date = {"Date": "Mon, 11 Nov 2024 11:00:03 GMT"}
            return CallbackResult(body=page([]), headers=date, response_class=Response)

        vendor.get(PAGE.format(offset=1), callback=note, repeat=True)

        await source.page(WINDOW, offset=1)
        await source.page(WINDOW, offset=1)

        assert signed == ["Mon, 11 Nov 2024 10:00:00 GMT", "Mon, 11 Nov 2024 11:00:03 GMT"]
        assert source.skew() == 3603

    async def test_a_refusal_because_of_the_clock_is_not_blamed_on_the_credentials(
        self, source, vendor
    ):
        date = {"Date": "Mon, 11 Nov 2024 11:00:00 GMT"}
        vendor.get(PAGE.format(offset=1), status=401, headers=date, repeat=True)

        with pytest.raises(SourceBusy) as first:
            await source.page(WINDOW, offset=1)
        with pytest.raises(SourceRefused):
            await source.page(WINDOW, offset=1)

        assert first.value.outcome == "clock"


class TestAnswers:
    async def test_one_request_asks_for_one_page_and_a_second_early(self, source, vendor):
        vendor.get(PAGE.format(offset=51), body=page(["x"]))

        read = await source.page(WINDOW, offset=51)

        assert [record.key for record in read.records] == ["x"]
        assert len(vendor.requests) == 1

    @pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 500, 503])
    async def test_an_error_document_counts_before_its_status(self, source, vendor, status):
        vendor.get(PAGE.format(offset=1), status=status, body=AUTHENTICATION_FAILED)

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.outcome == "error_document"
        assert raised.value.message == (
            "cloudLibrary answered with an error: Authentication failed (Gen-001)."
        )

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- <a> --><Error/>", "no reason given."),
            (b"<e:Error xmlns:e='x'><e:Code>7</e:Code></e:Error>", "no reason given (7)."),
            (b"<Error><Message>\n Unknown&#160;\n error</Message>", "Unknown error."),
            (b"<Error><Message><![CDATA[A & B]]></Message></Error>", "A & B."),
            (b"<Error><Message>" + b"m" * 900 + b"</Message></Error>", "m" * 200 + "."),
        ],
    )
    async def test_an_error_document_is_known_however_it_is_written(
        self, source, vendor, body, told
    ):
        vendor.get(PAGE.format(offset=1), body=body)

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.message == f"cloudLibrary answered with an error: {told}"

    async def test_a_vendor_that_echoes_secrets_is_not_quoted_with_them(self, wire, hosts):
        source = Bibliotheca(collection(wire.url), hosts)
        wire.say(answer(502))
        with pytest.raises(SourceBusy):
            await source.page(WINDOW, offset=1)
        sent = wire.field("3mcl-Authorization")
        signed = sent.rpartition(":")[2]
        said = f"{KEY} of {ACCOUNT} at /marc?startdate=1 {signed} {quote(signed, safe='')} {sent}"
        wire.say(answer(body=f"<Error><Message>{escape(said)}</Message></Error>".encode()))

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.message.startswith("cloudLibrary answered with an error: *** of ***")
        shows_nothing(raised.value, [KEY, ACCOUNT, "startdate=2", signed])

    async def test_a_401_without_a_body_refuses_the_credentials(self, source, vendor):
        vendor.get(PAGE.format(offset=1), status=401, body=b"")

        with pytest.raises(SourceRefused) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.message == (
            "cloudLibrary refuses the credentials: it answered 401 (Unauthorized)."
        )

    async def test_a_401_of_somebody_else_does_not(self, source, vendor):
        vendor.get(PAGE.format(offset=1), status=401, body=b"<html>Proxy login</html>")

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.outcome == "http_401"

    async def test_a_status_is_told_in_a_plain_sentence(self, source, vendor):
        vendor.get(PAGE.format(offset=1), status=502, body=b"<html>nginx</html>")

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.message == "cloudLibrary answered 502 (Bad Gateway)."

    async def test_a_web_page_hints_at_proxies_and_maintenance(self, source, vendor):
        vendor.get(PAGE.format(offset=1), body=b"<HTML><p>Back soon</HTML>")

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.outcome == "html"
        assert "proxy" in raised.value.remedy
        assert "maintenance" in raised.value.remedy

    async def test_one_404_is_transient(self, source, vendor):
        vendor.get(PAGE.format(offset=1), status=404)

        with pytest.raises(SourceBusy) as raised:
            await source.page(WINDOW, offset=1)

        assert raised.value.outcome == "http_404"

    async def test_nothing_but_404_is_a_wrong_library(self, source, vendor):
        vendor.get(PAGE.format(offset=1), status=404, repeat=True)
        for _ in range(NOT_FOUND_AT_MOST - 1):
            with pytest.raises(SourceBusy):
                await source.page(WINDOW, offset=1)

        with pytest.raises(SourceMisled, match="knows no library 'lib'"):
            await source.page(WINDOW, offset=1)

    async def test_404_stays_transient_for_a_library_that_has_answered(self, source, vendor):
        vendor.get(PAGE.format(offset=1), body=b"")
        vendor.get(PAGE.format(offset=1), status=404, repeat=True)
        await source.page(WINDOW, offset=1)

        for _ in range(2 * NOT_FOUND_AT_MOST):
            with pytest.raises(SourceBusy):
                await source.page(WINDOW, offset=1)

    async def test_a_time_out_asks_for_less(self, source, vendor):
        vendor.get(PAGE.format(offset=1), timeout=True)

        with pytest.raises(SourceTimedOut, match=r"gave no whole answer within 5 seconds\."):
            await source.page(WINDOW, offset=1)


class TestOpening:
    async def test_an_unknown_kind_of_source_is_told_with_those_there_are(self, hosts):
        with pytest.raises(SourceMisled) as raised:
            open_source(collection(source="overdrive"), hosts)

        assert set(SOURCES) == {"bibliotheca"}
        assert "bibliotheca" in raised.value.remedy

    @pytest.mark.parametrize("url", ["", "partner.example", "ftp://partner.example/", "http://["])
    async def test_an_address_that_is_none_is_the_configurations_fault(self, hosts, url):
        with pytest.raises(SourceMisled, match="base_url"):
            open_source(collection(url), hosts)

    async def test_collections_at_one_host_share_its_budget_and_clock(self, hosts):
        one = open_source(collection("https://Partner.example/"), hosts)
        other = open_source(collection("https://partner.example:443/x/", name="Ogdenville"), hosts)
        third = open_source(collection("https://partner.example:8443/"), hosts)

        assert one.host == other.host == "partner.example"
        assert one._host is other._host
        assert third.host == "partner.example:8443"

    async def test_nothing_of_the_account_is_in_the_sources_repr(self, hosts):
        source = open_source(collection(), hosts)

        assert KEY not in repr(source)
        assert ACCOUNT not in repr(source)
