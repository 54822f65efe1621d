from dataclasses import asdict

import pytest

from bibsync.errors import UsageWrong
from bibsync.simulator import Faults
from bibsync.simulator.answers import INSTEAD
from bibsync.simulator.chance import Chance
from bibsync.simulator.faults import KINDS

ON_THE_PAGE = ("short_page", "shift", "unstable_order", "duplicate", "duplicate_over_pages")


def test_pairs_set_their_kinds_and_leave_the_others():
    faults = Faults.parse("http_502=0.02, blank=0.1")

    assert faults == Faults(http_502=0.02, blank=0.1)


@pytest.mark.parametrize("text", ["", "none", "http_500=1,none"])
def test_none_is_no_fault_at_all(text):
    assert Faults.parse(text) == Faults.none()


def test_all_can_be_softened():
    assert Faults.parse("all,timeout=0").timeout == 0
    assert Faults.parse("all,timeout=0").http_502 == Faults.all().http_502


def test_all_befalls_a_sixth_of_the_answers():
    faults = Faults.all()

    on_the_page = sum(asdict(faults)[kind] for kind in ON_THE_PAGE)

    assert faults.instead + on_the_page == pytest.approx(1 / 6, abs=0.005)


def test_all_holds_every_kind_but_the_two_it_says():
    idle = {kind for kind, share in asdict(Faults.all()).items() if share == 0}

    assert idle == {"redirect", "drip"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http_999=0.1", "no fault 'http_999'"),
        ("blank", "no number"),
        ("blank=often", "no number"),
        ("blank=2", "between 0 and 1"),
        ("blank=nan", "between 0 and 1"),
        ("blank=0.6,html=0.6", "more than 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(text, told):
    with pytest.raises(UsageWrong, match=told):
        Faults.parse(text)


def test_every_fault_that_replaces_an_answer_is_a_kind():
    assert set(INSTEAD) <= set(KINDS)


@pytest.mark.parametrize("seed", [1, 2])
def test_faults_strike_as_often_as_they_are_said_to(seed):
    chance, faults = Chance("strikes", seed), Faults(http_502=0.2, html=0.1)

    struck = [faults.strike(chance) for _ in range(4000)]

    assert struck.count("http_502") / 4000 == pytest.approx(0.2, abs=0.03)
    assert struck.count("html") / 4000 == pytest.approx(0.1, abs=0.03)
    assert struck.count(None) / 4000 == pytest.approx(0.7, abs=0.03)
