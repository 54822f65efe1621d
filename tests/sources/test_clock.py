"""Moments as HTTP writes them."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bibsync.sources import clock

NOW = datetime(2024, 11, 11, 10, tzinfo=UTC)


def test_a_moment_is_written_in_gmt_wherever_it_is_from():
    berlin = datetime(2024, 11, 11, 11, tzinfo=timezone(timedelta(hours=1)))

    assert clock.http_date(berlin) == "Mon, 11 Nov 2024 10:00:00 GMT"


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 11 Nov 2024 10:00:00 GMT",
        "Monday, 11-Nov-24 10:00:00 GMT",
        "Mon Nov 11 10:00:00 2024",
        "Mon, 11 Nov 2024 12:00:00 +0200",
    ],
)
def test_every_way_to_write_a_moment_is_read(header):
    assert clock.moment(header) == NOW


@pytest.mark.parametrize(
    "header",
    [None, "", "soon", "Mon, 99 Nov 2024 10:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "0", "12"],
)
def test_nonsense_is_no_moment(header):
    assert clock.moment(header) is None


@pytest.mark.parametrize("seed", [random.randrange(2**32)])
def test_no_header_whatsoever_breaks_the_reading(seed):
    dice = random.Random(seed)
    parts = [
        "Mon",
        ",",
        " ",
        "11",
        "Nov",
        "2024",
        "10:00:00",
        "99:99",
        "GMT",
        "-",
        "+9999",
        ":",
        "é",
    ]

    for _ in range(2000):
        header = "".join(dice.choices(parts, k=dice.randrange(12)))
        clock.moment(header)
        pause = clock.pause(header, now=NOW)

        assert pause is None or 1 <= pause <= 3600


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 1),
        ("86400", 3600),
        ("9999999999", 3600),
        ("Mon, 11 Nov 2024 10:02:00 GMT", 120),
        ("Mon, 11 Nov 2024 09:00:00 GMT", 1),
        ("Tue, 12 Nov 2024 10:00:00 GMT", 3600),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("later", None),
        ("9" * 5000, None),
        ("١٢", None),
    ],
)
def test_a_pause_is_between_a_second_and_an_hour_or_not_told(header, seconds):
    assert clock.pause(header, now=NOW) == seconds


@pytest.mark.parametrize(
    ("vendor", "skew"),
    [(NOW, 0), (NOW + timedelta(hours=1), 3600), (NOW - timedelta(seconds=9), -9)],
)
def test_fractions_of_a_second_are_no_skew(vendor, skew):
    assert clock.skew(vendor, NOW.replace(microsecond=999_999)) == skew
