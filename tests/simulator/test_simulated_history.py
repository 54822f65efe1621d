import itertools
import random
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta
from time import process_time

import asking
import pytest

from bibsync.simulator import Defect, Purchase, Vendor
from bibsync.simulator.history import REACH, Listed, Virtual
from bibsync.simulator.titles import control_number, number_of

EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def midnight(day):
    return datetime.combine(day, time(), UTC)


def history(titles=500, **more):
    shape = {"since": asking.SINCE, "until": asking.UNTIL, "seed": 1, "titles": titles} | more
    return Virtual(**shape)


@pytest.mark.parametrize("number", [0, 1, 35, 36, 10**6, 36**7 - 1])
def test_an_item_id_tells_its_number(number):
    assert number_of(control_number(number)) == number


@pytest.mark.parametrize("item_id", ["", "abc", "ABCDEFG", "abcdef-", "abcdefgh"])
def test_what_is_no_item_id_has_no_number(item_id):
    assert number_of(item_id) is None


@pytest.mark.parametrize("seed", range(5))
def test_windows_tile_a_history_without_gap_or_overlap(seed):
    random_cuts = random.Random(seed)
    whole = history(seed=seed, late=0.2, dense_days=9)
    span = int((asking.UNTIL - asking.SINCE).total_seconds())
    cuts = sorted(random_cuts.sample(range(1, span), 20))
    moments = [midnight(asking.SINCE) + timedelta(seconds=cut) for cut in cuts]
    bounds = [EVER[0], *moments, EVER[1]]

    parts = [
        each for start, end in itertools.pairwise(bounds)
        for each in whole.between(start, end)
    ]  # fmt: skip

    assert list(whole.between(*EVER)) == parts
    assert len(parts) == 500


def test_purchases_come_by_moment_then_by_control_number():
    crowded = history(titles=300_000, until=asking.SINCE + timedelta(days=1))
    start = midnight(asking.SINCE)

    some = list(crowded.between(start, start + timedelta(minutes=5)))

    assert some == sorted(some, key=lambda each: (each.moment, each.control_number))
    assert len({each.moment for each in some}) < len(some)


def test_dense_days_are_the_only_days_of_purchases():
    dense = history(dense_days=3)

    days = {each.moment.date() for each in dense.between(*EVER)}

    assert len(days) == 3


def test_the_same_seed_gives_the_same_history_and_another_one_another():
    first, again, other = history(bad=0.1), history(bad=0.1), history(bad=0.1, seed=2)

    told = [list(each.between(*EVER)) for each in (first, again, other)]

    assert told[0] == told[1]
    assert told[0] != told[2]


def test_shares_are_kept_and_delays_stay_within_reach():
    many = history(titles=4000, late=0.25, retitled=0.25, removed=0.25, bad=0.25)

    bought = list(many.between(*EVER))

    late = [each for each in bought if each.visible_from > each.moment]
    retitled = [each for each in bought if each.retitled_at is not None]
    removed = [each for each in bought if each.removed_at is not None]
    assert 0.2 < len(late) / 4000 < 0.3
    assert 0.1 < len(retitled) / 4000 < 0.3
    assert 0.1 < len(removed) / 4000 < 0.3
    assert set(Defect) - {each.defect for each in bought} == {Defect.OVERSIZE}
    assert all(each.visible_from - each.moment < REACH for each in late)
    assert max(each.visible_from - each.moment for each in late) > REACH / 2


def test_a_listed_history_refuses_a_title_twice():
    purchase = Purchase(
        number=1, control_number="abcdefg", moment=asking.NOW, visible_from=asking.NOW
    )

    with pytest.raises(ValueError, match="once"):
        Listed([purchase, purchase])


def test_a_million_titles_answer_at_once_and_need_no_memory():
    tracemalloc.start()
    began = process_time()
    shown = asking.library(1_000_000, since=date(2014, 1, 1), late=0.1, bad=0.1)
    vendor = Vendor([shown], now=asking.Clock())

    answer = asking.ask(vendor, "data/marc?startdate=2019-05-01T00:00:00&offset=1&limit=50")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.records == 50
    assert process_time() - began < 1.0
    assert peak < 8 * 2**20
