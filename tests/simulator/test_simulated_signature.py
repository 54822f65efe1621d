from datetime import UTC, datetime, timedelta

import asking
import pytest

from bibsync.simulator import Vendor
from bibsync.simulator.request import Request
from bibsync.simulator.signature import sign


def test_the_vendors_test_vector_is_met():
    path = (
        "/cirrus/library/library_id/data/cloudevents"
        "?startdate=2024-11-10T10:00:00&enddate=2024-11-11T10:00:00"
    )

    signature = sign("account_key", "Mon, 11 Nov 2024 10:00:00 GMT", "GET", path)

    assert signature == "KipNmbVsmsT2xPjP4oHAaR3n00JgcszfF6mQRffBoRk="


def test_the_reference_importers_test_vector_is_met():
    path = "/cirrus/library/c/some_url"

    signature = sign("b", "Fri, 01 Jan 2016 00:00:00 GMT", "GET", path)

    assert signature == "HZHNGfn6WVceakGrwXaJQ9zIY0Ai5opGct38j9/bHrE="


def answered(vendor, **changed):
    path = asking.target(asking.PAGE)
    sent = asking.headers(path) | changed
    return vendor.answer(
        Request("GET", path, {name: text for name, text in sent.items() if text is not None})
    )


@pytest.fixture
def vendor():
    return Vendor([asking.library()], now=asking.Clock())


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "3MCLAUTH partner",
        "3MCLAUTH partner:AAAA",
        asking.headers("/cirrus/library/abcde/other")["3mcl-Authorization"],
        asking.headers(asking.target(asking.PAGE), key="else")["3mcl-Authorization"],
        asking.headers(asking.target(asking.PAGE))["3mcl-Authorization"].replace("partner", "me"),
    ],
)
def test_a_wrong_account_key_or_path_is_401_without_a_body(vendor, authorization):
    answer = answered(vendor, **{"3mcl-Authorization": authorization})

    assert (answer.status, answer.body, answer.kind) == (401, b"", "refused")


def test_a_signature_is_only_good_for_the_path_exactly_as_it_stood_on_the_wire(vendor):
    signed = asking.target(asking.PAGE)
    sent = signed.replace(":", "%3A")

    answer = vendor.answer(Request("GET", sent, asking.headers(signed)))

    assert answer.status == 401


def test_a_signature_is_only_good_for_its_method(vendor):
    path = asking.target(asking.PAGE)

    answer = vendor.answer(Request("HEAD", path, asking.headers(path)))

    assert answer.status == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_more_than_five_minutes_off_gets_the_error_document(vendor, minutes):
    path = asking.target(asking.PAGE)
    sent = asking.headers(path, asking.NOW + timedelta(minutes=minutes))

    answer = vendor.answer(Request("GET", path, sent))

    assert (answer.status, answer.kind) == (401, "clock")
    assert b"<Message>Authentication failed</Message>" in answer.body


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_clock_up_to_five_minutes_off_is_good(vendor, minutes):
    path = asking.target(asking.PAGE)
    sent = asking.headers(path, asking.NOW + timedelta(minutes=minutes))

    answer = vendor.answer(Request("GET", path, sent))

    assert answer.kind == "page"


@pytest.mark.parametrize("text", [None, "", "today", "Sat, 01 Jun 2024 12:00:00 +0000"])
def test_an_unreadable_date_gets_the_error_document(vendor, text):
    answer = answered(vendor, **{"3mcl-Datetime": text})

    assert answer.kind == "clock"


def test_a_request_without_a_version_is_told_so(vendor):
    answer = answered(vendor, **{"3mcl-Version": None})

    assert (answer.status, answer.kind) == (400, "unversioned")


def test_the_other_version_header_is_as_good(vendor):
    answer = answered(vendor, **{"3mcl-Version": None, "3mcl-APIVersion": "3.0"})

    assert answer.kind == "page"


def test_the_skewed_clock_is_what_counts():
    vendor = Vendor([asking.library()], now=asking.Clock(), clock_skew_s=600)

    answer = answered(vendor)

    assert answer.kind == "clock"
    assert vendor.clock == datetime(2024, 6, 1, 12, 10, tzinfo=UTC)


def test_a_refused_account_gets_401_however_well_it_signs():
    vendor = Vendor([asking.library(refused=True)], now=asking.Clock())

    answer = answered(vendor)

    assert (answer.status, answer.body) == (401, b"")


def test_an_unknown_library_is_404(vendor):
    answer = asking.ask(vendor, library_id="nobody")

    assert (answer.status, answer.kind) == (404, "unknown_library")
