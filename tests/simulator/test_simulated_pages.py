"""What the faults of a page do to the records on it."""

import asking
import pytest

from bibsync.simulator import Faults, Vendor

LATER = f"data/marc?{asking.WINDOW}&offset=51&limit=50"
SEEDS = range(12)


def vendor_with(seed, titles=120, **faults):
    return Vendor([asking.library(titles)], faults=Faults(**faults), seed=seed, now=asking.Clock())


def right(resource=asking.PAGE, titles=120):
    return asking.keys(asking.ask(vendor_with(0, titles), resource))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_page_begins_as_the_right_one_and_holds_two_records_at_least(seed):
    vendor = vendor_with(seed, short_page=1.0)

    short = asking.keys(asking.ask(vendor))

    assert 2 <= len(short) < 50
    assert right()[: len(short)] == short


@pytest.mark.parametrize("titles", [1, 2])
def test_a_page_of_two_is_never_cut_shorter(titles):
    vendor = vendor_with(0, titles, short_page=1.0)

    assert asking.ask(vendor).records == titles
    assert vendor.log.fired("short_page") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shift_shows_in_the_first_record_of_a_later_page(seed):
    vendor = vendor_with(seed, shift=1.0)

    shifted = asking.keys(asking.ask(vendor, LATER))

    assert right(LATER)[0] != shifted[0]
    assert vendor.log.fired("shift") == 1


def test_shifts_gain_lose_and_rotate():
    whole = right() + right(LATER)
    pages = [asking.keys(asking.ask(vendor_with(seed, shift=1.0), LATER)) for seed in SEEDS]

    firsts = {whole.index(page[0]) for page in pages}

    assert {49, 51} < firsts


def test_a_first_page_does_not_shift():
    vendor = vendor_with(1, shift=1.0)

    assert right() == asking.keys(asking.ask(vendor))
    assert vendor.log.fired("shift") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_duplicate_stands_beside_itself_and_the_page_keeps_its_size(seed):
    vendor = vendor_with(seed, duplicate=1.0)

    found = asking.keys(asking.ask(vendor))

    assert len(found) == 50
    assert len(set(found)) == 49


@pytest.mark.parametrize("seed", SEEDS)
def test_a_duplicate_over_pages_is_no_first_record(seed):
    vendor = vendor_with(seed, duplicate_over_pages=1.0)

    found = asking.keys(asking.ask(vendor, LATER))

    assert right(LATER)[0] == found[0]
    assert right()[0] in found


def test_an_unstable_order_holds_other_records_each_time():
    vendor = vendor_with(3, unstable_order=1.0)

    pages = [tuple(asking.keys(asking.ask(vendor))) for _ in range(3)]

    assert len(set(pages)) == 3
    assert all(len(set(page)) == 50 for page in pages)


def test_a_blank_quiet_day_is_blank_each_time_and_others_never():
    vendor = vendor_with(3, titles=0, blank_quiet=0.5)
    days = [
        f"data/marc?startdate=2024-01-{n:02}T23:59:59&enddate=2024-01-{n + 2:02}T00:00:00"
        for n in range(1, 29)
    ]

    first, second = ([asking.ask(vendor, day).body for day in days] for _ in range(2))

    assert first == second
    assert 5 < first.count(b"") < 23


def test_a_window_with_purchases_is_never_blank_for_being_quiet():
    vendor = vendor_with(3, blank_quiet=1.0)

    past_the_end = asking.ask(vendor, f"data/marc?{asking.WINDOW}&offset=500")

    assert asking.ask(vendor).kind == "page"
    assert past_the_end.kind == "empty"
    assert b"collection>" in past_the_end.body


@pytest.mark.parametrize(
    ("quirk", "sign"),
    [
        ("stray_gt", b"</marc:record>></marc:collection>"),
        ("other_prefix", b"<mx:record><mx:leader>"),
        ("no_prefix", b"<record><leader>"),
        ("latin1_declared", b'<?xml version="1.0" encoding="ISO-8859-1" ?>'),
        ("stray_declaration", b'</marc:record><?xml version="1.0"'),
    ],
)
def test_a_harmless_quirk_is_seen_in_the_body(quirk, sign):
    answer = asking.ask(vendor_with(1, **{quirk: 1.0}))

    assert sign in answer.body
    assert asking.count(answer) == 50
