"""What runs report: the summary of one, and the exit code of several."""

from datetime import UTC, datetime

import pytest

from bibsync.errors import (
    CollectionPaused,
    LeaseHeld,
    LeaseLost,
    Problem,
    SourceBusy,
    SourceRefused,
    SourceTimedOut,
    StoreUnavailable,
)
from bibsync.run import Outcome, Summary, Tally, exit_code, utc_text

BUSY = SourceBusy("busy", outcome="http_503").problem
TIMED_OUT = SourceTimedOut("late").problem
REFUSED = SourceRefused("wrong key").problem
PAUSED = CollectionPaused("by a person").problem
HELD = LeaseHeld("another run").problem
DEPOSED = LeaseLost("a later run").problem
AWAY = StoreUnavailable("no database").problem


def summary(outcome: Outcome, problem: Problem | None = None, **counts: int) -> Summary:
    return Summary(
        collection="Springfield",
        stream="purchases",
        run=17,
        outcome=outcome,
        tally=Tally(**counts),
        caught_up_to=datetime(2026, 11, 21, 20, 0, 0, 999_999, tzinfo=UTC),
        duration_s=3.20049,
        problem=problem,
    )


GOOD = summary(Outcome.SUCCEEDED)
LOCKED = summary(Outcome.LOCKED, HELD)
PASSED = summary(Outcome.PAUSED, PAUSED)
BAD = summary(Outcome.FAILED, BUSY)


def test_a_summary_has_the_fields_of_the_contract():
    tally = {"windows": 4, "pages": 9, "requests": 12, "retries": 1, "received": 402, "new": 398}

    document = summary(Outcome.PARTIAL, BUSY, **tally).as_json()

    assert document | tally == document
    assert document["outcome"] == "partial"
    assert document["caught_up_to"] == "2026-11-21T20:00:00Z"
    assert document["duration_s"] == 3.2
    assert {"code", "origin", "transient", "message", "remedy", "detail"} == set(
        document["problem"]
    )
    assert {
        "type",
        "collection",
        "stream",
        "run",
        "blank",
        "changed",
        "unchanged",
        "rejected",
    } <= set(document)


def test_a_summary_without_problem_and_coverage_says_null():
    document = Summary(
        collection="Springfield",
        stream="purchases",
        run=None,
        outcome=Outcome.LOCKED,
        tally=Tally(),
        caught_up_to=None,
        duration_s=0,
        problem=None,
    ).as_json()

    assert (document["run"], document["caught_up_to"], document["problem"]) == (None, None, None)
    assert utc_text(None) is None


@pytest.mark.parametrize(
    ("code", "summaries"),
    [
        (0, [GOOD]),
        (0, [summary(Outcome.SUCCEEDED, rejected=5)]),
        (3, [summary(Outcome.SUCCEEDED, rejected=5, new_rejects=1)]),
        (3, [summary(Outcome.PARTIAL, BUSY, windows=2)]),
        (6, [BAD]),
        (4, [summary(Outcome.FAILED, REFUSED)]),
        (7, [summary(Outcome.FAILED, AWAY)]),
        (11, [LOCKED]),
        (11, [summary(Outcome.DEPOSED, DEPOSED)]),
        (12, [PASSED]),
        (6, [BAD, summary(Outcome.FAILED, TIMED_OUT)]),
        (3, [BAD, summary(Outcome.FAILED, REFUSED)]),
        (3, [GOOD, BAD]),
        (3, [GOOD, LOCKED]),
        (3, [GOOD, PASSED]),
    ],
)
def test_the_exit_code_of_named_collections(code: int, summaries: list[Summary]):
    assert code == exit_code(summaries, all_of_them=False)


@pytest.mark.parametrize(
    ("code", "summaries"),
    [
        (0, []),
        (0, [GOOD, PASSED, summary(Outcome.ABSORBED)]),
        (0, [PASSED]),
        (0, [GOOD, LOCKED]),
        (11, [LOCKED, LOCKED]),
        (3, [GOOD, LOCKED, BAD]),
        (3, [LOCKED, BAD]),
        (6, [BAD, BAD]),
    ],
)
def test_the_exit_code_of_all_collections(code: int, summaries: list[Summary]):
    """Nobody asked for the paused ones, and what is locked is being done."""
    assert code == exit_code(summaries, all_of_them=True)
