"""CSV: what a spreadsheet shows, and what it must not compute."""

import codecs
from datetime import UTC, datetime, timedelta, timezone

import pytest
from exported import AT, csv_rows, marc, row, written

from bibsync.exports import FORMATS

CSV = FORMATS["csv"]


def cells(**columns):
    (each,) = csv_rows(written(CSV, [row(marc("a"), **columns)]))
    return each


def test_a_file_begins_with_one_mark_and_a_header_and_its_lines_end_as_rfc_4180_has_it():
    body = written(CSV, [row(marc("a")), row(marc("b"))])

    assert body.startswith(codecs.BOM_UTF8 + b"collection,control_number,title,")
    assert body.count(codecs.BOM_UTF8) == 1
    assert body.count(b"\r\n") == body.count(b"\n") == 3


def test_each_column_is_what_the_json_has():
    each = cells(subjects=["Cats -- Fiction", "Dogs"], last_seen=AT + timedelta(days=1))

    assert each == {
        "collection": "Springfield",
        "control_number": "a",
        "title": "Siege and Storm",
        "author": "Bardugo, Leigh",
        "isbns": "9780805097115 | 0805097112",
        "publisher": "Henry Holt",
        "published": "2013",
        "language": "eng",
        "subjects": "Cats -- Fiction | Dogs",
        "format": "EPUB",
        "cover_url": "",
        "material_type": "ebook",
        "version": "1",
        "fingerprint": "00" * 32,
        "first_seen": "2024-05-10T12:30:15Z",
        "last_seen": "2024-05-11T12:30:15Z",
        "last_changed": "2024-05-10T12:30:15Z",
        "withdrawn": "false",
    }


def test_times_are_in_utc_whatever_zone_they_come_in():
    at = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    assert cells(first_seen=at)["first_seen"] == "2023-12-31T23:00:00Z"


def test_a_withdrawn_record_says_so():
    assert cells(withdrawn_at=datetime.now(UTC))["withdrawn"] == "true"


@pytest.mark.parametrize(
    "title", ['=HYPERLINK("http://x")', "+1", "-30-", "@home", "\t=1", "\r=1", "\uff1d1"]
)
def test_a_cell_that_would_be_computed_begins_with_an_apostrophe(title):
    each = cells(title=title, subjects=[title, "b"])

    assert f"'{title}" == each["title"]
    assert f"'{title} | b" == each["subjects"]


@pytest.mark.parametrize(
    "title", ["Siege = Storm", "'quoted'", 'say "when"', "a, b", "two\nlines", ""]
)
def test_any_other_cell_is_the_value_itself(title):
    assert title == cells(title=title)["title"]
