"""Look-ups and events."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from html import unescape
from xml.etree import ElementTree as ET

import asking
import pytest

from bibsync.simulator import Library, Purchase, Vendor

EVENTS = "data/cloudevents?startdate={}&enddate={}"


@pytest.fixture
def vendor():
    return Vendor([asking.library(200)], now=asking.Clock())


def document(answer):
    return ET.fromstring(answer.body)  # noqa: S314 - our own answer


def bought(vendor, number):
    ever = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    known = vendor.libraries["abcde"].bought.between(*ever)
    return [each.control_number for _, each in zip(range(number), known, strict=False)]


def test_items_are_described_and_unknown_ids_left_out(vendor):
    ids = bought(vendor, 24)

    items = document(asking.ask(vendor, f"items/{','.join([*ids, 'nothing'])}"))

    assert ids == [item.findtext("ItemId") for item in items]
    assert all(int(item.findtext("TotalCopies")) >= 1 for item in items)
    assert {item.findtext("AvailableCopies") is None for item in items} == {True, False}
    assert {item.findtext("PubDate") is None for item in items} == {True, False}


def test_more_ids_than_25_are_refused(vendor):
    ids = ",".join(bought(vendor, 26))

    answer = asking.ask(vendor, f"items/{ids}")

    assert (answer.kind, answer.status) == ("bad_request", 400)


def test_authors_and_genres_are_escaped_twice(vendor):
    ids = bought(vendor, 200)
    bodies = [asking.ask(vendor, f"items/{','.join(ids[n : n + 25])}") for n in range(0, 200, 25)]

    items = [item for body in bodies for item in document(body)]

    authors = [item.findtext("Authors") for item in items]
    genres = [item.findtext("Genre") for item in items]
    assert any("O&#39;Brien" in each for each in authors)
    assert any("O'Brien" in unescape(each) for each in authors)
    assert any("Mystery &amp; Detective" in each for each in genres)
    assert any(" (Author)" in each for each in authors)
    assert any("; " in each for each in authors)


def test_a_title_that_was_withdrawn_is_left_out():
    at = asking.NOW - timedelta(days=9)
    purchase = Purchase(
        number=1, control_number="gone", moment=at, visible_from=at, removed_at=asking.NOW
    )
    vendor = Vendor([Library("abcde", "partner", "secret", [purchase])], now=asking.Clock())

    answer = asking.ask(vendor, "items/gone")

    assert len(document(answer)) == 0


def test_one_record_is_given_by_its_id(vendor):
    [item_id] = bought(vendor, 1)

    answer = asking.ask(vendor, f"data/marc/{item_id}")

    assert [item_id] == asking.keys(answer)


def test_a_record_that_the_library_lacks_is_nothing_at_all(vendor):
    answer = asking.ask(vendor, "data/marc/nothing")

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("resource", ["item/summary", "circulation/item"])
def test_summary_and_circulation_name_the_copies(vendor, resource):
    [item_id] = bought(vendor, 1)

    found = document(asking.ask(vendor, f"{resource}/{item_id}"))

    assert found.findtext(".//ItemId") == item_id
    assert int(found.findtext(".//TotalCopies")) >= 1


def test_a_resource_that_the_vendor_lacks_is_404(vendor):
    assert asking.ask(vendor, "patron/secrets").status == 404


def test_the_library_itself_answers(vendor):
    assert asking.ask(vendor, "").status == 200


def test_events_tell_purchases_and_loans(vendor):
    asked = EVENTS.format("2024-01-10T00:00:00", "2024-01-12T00:00:00")

    batch = document(asking.ask(vendor, asked))

    events = batch.findall("Events/CloudLibraryEvent")
    moments = [event.findtext("EventStartDateTimeInUTC") for event in events]
    kinds = Counter(event.findtext("EventType") for event in events)
    assert moments == sorted(moments)
    assert batch.findtext("LastEventDateTimeInUTC") == moments[-1]
    assert kinds["PURCHASE"] >= 5
    assert kinds["CHECKOUT"] >= 1


def test_a_withdrawn_title_has_an_event_of_its_own():
    at = datetime(2024, 5, 1, tzinfo=UTC)
    purchase = Purchase(
        number=1, control_number="gone", moment=at, visible_from=at, removed_at=asking.NOW
    )
    clock = asking.Clock(asking.NOW + timedelta(hours=1))
    vendor = Vendor([Library("abcde", "partner", "secret", [purchase])], now=clock)

    batch = document(
        asking.ask(vendor, EVENTS.format("2024-06-01T00:00:00", "2024-06-02T00:00:00"))
    )

    assert [event.findtext("EventType") for event in batch.iter("CloudLibraryEvent")] == ["REMOVED"]


def test_a_batch_holds_a_hundred_events_at_most():
    crowded = asking.library(500, until=asking.SINCE + timedelta(days=1))
    vendor = Vendor([crowded], now=asking.Clock())

    answer = asking.ask(vendor, EVENTS.format("2024-01-01T00:00:00", "2024-01-02T00:00:00"))

    assert answer.records == 100


def test_more_than_72_hours_of_events_are_spurious(vendor):
    whole = asking.ask(vendor, EVENTS.format("2024-01-10T00:00:00", "2024-01-13T00:00:00"))

    wide = asking.ask(vendor, EVENTS.format("2024-01-10T00:00:00", "2024-01-13T00:00:01"))

    assert wide.records < whole.records
