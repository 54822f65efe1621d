"""What the bench makes of its figures: tables, ratios, lines through points."""

import pytest

from bench import fill, machine, memory, steps, table
from bench.fill import Fill
from bench.table import Row
from bench.turn import Piece
from bench.vendor import Stock
from bibsync.run import PURCHASES, Outcome, Summary, Tally


def summary(*, seconds: float, requests: int) -> Summary:
    return Summary(
        collection="Springfield",
        stream=PURCHASES,
        run=1,
        outcome=Outcome.SUCCEEDED,
        tally=Tally(requests=requests),
        caught_up_to=None,
        duration_s=seconds,
        problem=None,
    )


def test_a_table_is_markdown_whose_figures_stand_on_the_right():
    rows = [Row("memory", "9 MiB", target="< 10 MiB"), Row("speed", "120 s", "1,200 s", "0.100")]

    assert [
        "| measured | bibsync | ordinary way | ratio | target   |",
        "| -------- | ------: | -----------: | ----: | -------: |",
        "| memory   | 9 MiB   |              |       | < 10 MiB |",
        "| speed    | 120 s   | 1,200 s      | 0.100 |          |",
    ] == table.markdown(rows).splitlines()


def test_the_document_has_each_row_with_its_figures_and_the_machine():
    rows = [Row("memory", "9 MiB", target="< 10 MiB", figures={"mib": 9.0})]

    assert {
        "machine": {"cores": 2},
        "figures": [{"measured": "memory", "target": "< 10 MiB", "mib": 9.0}],
    } == table.document(rows, {"cores": 2})


def test_a_fill_is_compared_with_as_many_requests_in_turn():
    filled = Fill(
        latency_ms=200,
        read=summary(seconds=5.0, requests=300),
        described=summary(seconds=1.0, requests=12),
        plain=Piece(requests=40, seconds=10.0),
        reference=Piece(requests=50, seconds=11.0),
        reference_requests=5_000,
    )

    assert 75.0 == filled.in_turn_s
    assert 15.0 == filled.times
    assert 1_100.0 == filled.reference_s


def test_the_reference_asks_once_a_day_and_once_a_title():
    assert 4_383 + 300 == fill.requests_by_the_reference(Stock(titles=300, days=4_383))


def test_the_reference_asks_once_more_for_each_full_page_of_a_day():
    assert 10 * 3 + 1_200 == fill.requests_by_the_reference(Stock(titles=1_200, days=10))


def test_memory_that_grows_by_a_mebibyte_for_a_thousand_records_is_1024_kib():
    slope = memory.kib_for_a_thousand({1_000: 61.0, 2_000: 62.0, 5_000: 65.0})

    assert pytest.approx(1024.0) == slope


def test_memory_that_stays_flat_has_no_slope():
    assert 0.0 == memory.kib_for_a_thousand({2_000: 67.0, 500_000: 67.0})


def test_the_shares_of_a_record_s_steps_make_a_whole():
    us = {"new": 150.0, "unchanged": 20.0, "cut": 8.0, "parsed": 50.0, "read": 95.0}

    told = {row.name: row.figures["share"] for row in steps.rows(us)}

    for way in ("a new record", "an unchanged record"):
        shares = [told[name] for name in told if name.startswith(way)]
        assert pytest.approx([1.0, 1.0]) == [shares[0], sum(shares[1:])]
    assert pytest.approx(42.0 / 150.0) == told["a new record: parsed"]


def test_a_machine_is_told_in_one_sentence():
    told = {
        "cpu": "A CPU",
        "cores": 2,
        "memory_gib": 24,
        "system": "Debian",
        "python": "3.11.7",
        "postgresql": "18.6",
        "date": "2026-11-28",
        "load": 0.1,
    }

    assert (
        "A CPU, 2 cores, 24 GiB; Debian, Python 3.11.7, PostgreSQL 18.6; 2026-11-28, load 0.1 at "
        "the start." == machine.sentence(told)
    )
