"""The vendor without a wire: pages, the truth, time, scripts."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import asking
import pytest

from bibsync import marc
from bibsync.errors import NotFound
from bibsync.record import Record
from bibsync.simulator import Answer, Defect, Faults, Library, Purchase, Vendor
from bibsync.simulator.defects import USUAL

MOMENT = datetime(2024, 1, 10, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def vendor_of(library, clock=None, **more):
    return Vendor([library], now=clock or asking.Clock(), **more)


def one_title(**more):
    told = {"moment": MOMENT, "visible_from": MOMENT} | more
    return Library("abcde", "partner", "secret", [Purchase(number=7, control_number="x", **told)])


def read(pages):
    """Return what the program's own reader makes of the pages."""
    outcomes = [marc.read(raw) for page in pages for raw in marc.cut(page.body)]
    records = {
        each.control_number: (each.fingerprint.hex(), each.title)
        for each in outcomes
        if isinstance(each, Record)
    }
    rejects = Counter(str(each.reason) for each in outcomes if not isinstance(each, Record))
    return records, rejects


def told(truth):
    """Return the ledger in the form of `read`."""
    records = {key: (each["fingerprint"], each["title"]) for key, each in truth["records"].items()}
    return records, Counter(each["reason"] for each in truth["rejects"])


@pytest.mark.parametrize("seed", range(4))
def test_paging_without_faults_gives_exactly_the_truth(seed):
    library = asking.library(
        230, seed=seed, bad=0.3, late=0.2, retitled=0.2, removed=0.2, dense_days=4
    )
    vendor = vendor_of(library)

    pages = list(asking.pages(vendor))

    assert read(pages) == told(vendor.truth("abcde"))


@pytest.mark.parametrize(
    "quirk",
    ["stray_gt", "stray_declaration", "other_prefix", "no_prefix", "latin1_declared"],
)
def test_a_harmless_quirk_leaves_the_truth_as_it_is(quirk):
    library = asking.library(90, bad=0.2)
    vendor = vendor_of(library, faults=Faults(**{quirk: 1.0}))

    pages = list(asking.pages(vendor, limit=7))

    assert read(pages) == told(vendor.truth("abcde"))
    assert vendor.log.fired(quirk) >= 1


@pytest.mark.parametrize("defect", USUAL)
def test_each_defect_has_the_fate_it_says(defect):
    library = asking.library(12, bad=1.0, defects=[defect])
    vendor = vendor_of(library)

    pages = list(asking.pages(vendor))

    assert read(pages) == told(vendor.truth("abcde"))
    assert len(read(pages)[0]) == (0 if defect.fate else 12)


def test_an_oversize_record_must_become_a_reject():
    library = asking.library(1, bad=1.0, defects=[Defect.OVERSIZE])
    vendor = vendor_of(library)

    pages = list(asking.pages(vendor))

    assert read(pages) == ({}, Counter(oversize_record=1))


def test_the_truth_of_an_unknown_library_is_not_found():
    with pytest.raises(NotFound, match="abcde"):
        vendor_of(asking.library()).truth("nobody")


def test_a_late_title_shows_when_its_time_has_come():
    clock = asking.Clock(MOMENT + HOUR)
    vendor = vendor_of(one_title(visible_from=MOMENT + 2 * HOUR), clock)
    before = asking.ask(vendor).records, len(vendor.truth("abcde")["records"])

    clock.at += HOUR

    assert before == (0, 0)
    assert asking.ask(vendor).records == 1
    assert len(vendor.truth("abcde")["records"]) == 1


def test_a_retitled_title_changes_record_and_truth():
    clock = asking.Clock(MOMENT + HOUR)
    vendor = vendor_of(one_title(retitled_at=MOMENT + 2 * HOUR), clock)
    [before] = read([asking.ask(vendor)])[0].values()

    clock.at += HOUR

    [after] = read([asking.ask(vendor)])[0].values()
    assert before[0] != after[0]
    assert after[1] == before[1] + " Revisited"
    assert [after] == list(told(vendor.truth("abcde"))[0].values())


def test_a_removed_title_leaves_its_window_and_is_told_as_withdrawn():
    clock = asking.Clock(MOMENT + HOUR)
    vendor = vendor_of(one_title(removed_at=MOMENT + 2 * HOUR), clock)
    before = asking.ask(vendor).records

    clock.at += HOUR

    assert before == 1
    assert asking.ask(vendor).records == 0
    assert vendor.truth("abcde")["records"] == {}
    assert list(vendor.truth("abcde")["withdrawn"]) == ["x"]


def test_dates_that_the_vendor_makes_when_asked_are_no_change():
    clock = asking.Clock()
    vendor = vendor_of(asking.library(5), clock)
    first = asking.ask(vendor)

    clock.at += timedelta(days=400)

    second = asking.ask(vendor)
    assert first.body != second.body
    assert b'tag="005">20240601120000.0<' in first.body
    assert b'tag="008">240601s' in first.body
    assert read([first]) == read([second])


def test_purchases_later_than_the_slower_clock_are_not_known_yet():
    slow = vendor_of(one_title(), asking.Clock(MOMENT + HOUR), clock_skew_s=-7200)

    assert asking.ask(slow).records == 0
    assert slow.truth("abcde")["records"] == {}


@pytest.mark.parametrize(("inclusive", "records"), [(False, 0), (True, 1)])
def test_whether_the_end_belongs_to_a_window_is_a_switch(inclusive, records):
    vendor = vendor_of(one_title(), end_inclusive=inclusive)

    answer = asking.ask(
        vendor, "data/marc?startdate=2024-01-10T07:00:00&enddate=2024-01-10T08:00:00"
    )

    assert answer.records == records


def test_the_start_belongs_to_a_window():
    vendor = vendor_of(one_title())

    assert asking.ask(vendor, "data/marc?startdate=2024-01-10T08:00:00").records == 1


@pytest.mark.parametrize(
    "query",
    [
        "offset=1",
        "startdate=yesterday",
        "startdate=2024-01-01",
        "startdate=2024-01-01T00:00:00&limit=51",
        "startdate=2024-01-01T00:00:00&limit=0",
        "startdate=2024-01-01T00:00:00&offset=0",
        "startdate=2024-01-01T00:00:00&offset=first",
    ],
)
def test_a_senseless_request_gets_an_error_document(query):
    answer = asking.ask(vendor_of(asking.library()), f"data/marc?{query}")

    assert (answer.kind, answer.status) == ("bad_request", 400)
    assert b"<Error" in answer.body


def test_the_same_seed_and_requests_give_the_same_answers_in_any_order():
    forward = vendor_of(asking.library(300, bad=0.1), faults=Faults.all(), seed=5)
    backward = vendor_of(asking.library(300, bad=0.1), faults=Faults.all(), seed=5)
    resources = [f"data/marc?{asking.WINDOW}&offset={n}&limit=9" for n in range(1, 300, 7)]

    first = {each: asking.ask(forward, each) for each in resources}
    second = {each: asking.ask(backward, each) for each in reversed(resources)}

    assert first == second


def test_asking_again_draws_anew():
    vendor = vendor_of(asking.library(300), faults=Faults(http_502=0.5))

    kinds = {asking.ask(vendor).kind for _ in range(30)}

    assert kinds == {"page", "http_502"}


def test_another_seed_gives_other_faults():
    one = vendor_of(asking.library(), faults=Faults(http_502=0.5), seed=1)
    other = vendor_of(asking.library(), faults=Faults(http_502=0.5), seed=2)

    kinds = [[asking.ask(vendor).kind for _ in range(30)] for vendor in (one, other)]

    assert kinds[0] != kinds[1]


def test_a_librarys_own_faults_are_its_alone():
    faulty = Library.virtual(
        "faulty",
        titles=5,
        since=asking.SINCE,
        until=asking.UNTIL,
        faults=Faults(http_500=1.0),
    )
    vendor = Vendor([faulty, asking.library()], now=asking.Clock())

    answers = asking.ask(vendor, library_id="faulty"), asking.ask(vendor)

    assert [each.kind for each in answers] == ["http_500", "page"]


def test_a_script_is_used_up_in_order_before_chance_has_its_turn():
    vendor = vendor_of(asking.library(), faults=Faults(html=1.0))
    own = Answer(kind="own", status=418)

    vendor.next_answers("abcde", ["http_502", "ok", own, lambda right: right])

    kinds = [asking.ask(vendor).kind for _ in range(5)]
    assert kinds == ["http_502", "page", "own", "page", "html"]


def test_a_script_for_one_resource_waits_for_it():
    vendor = vendor_of(asking.library())

    vendor.next_answers("abcde", ["http_502"], resource="data/marc")

    assert asking.ask(vendor, "items/zzz").kind == "items"
    assert asking.ask(vendor).kind == "http_502"


def test_a_script_with_an_unknown_word_is_refused():
    vendor = vendor_of(asking.library())

    with pytest.raises(ValueError, match="nonsense"):
        vendor.next_answers("abcde", ["nonsense"])


def test_every_request_is_logged_with_what_it_got():
    vendor = vendor_of(asking.library(60))

    asking.ask(vendor)
    asking.ask(vendor, f"data/marc?{asking.WINDOW}&offset=51")

    first, second = vendor.log.as_json()["abcde"]["asked"]
    assert first["window"] == ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]
    assert (first["offset"], first["records"]) == (1, 50)
    assert (second["offset"], second["records"]) == (51, 10)
    assert vendor.log.answers["abcde"] == {"page": 2}
