"""What is told of how all stands: once for a problem, once for its end, and no flood."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from bibsync.notify.judgement import CALM, TROUBLES, Verdict, Wishes, judge
from bibsync.run import utc_text
from bibsync.settings.shapes import NOTICES
from bibsync.store.notices import Notice, Word

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATE_AFTER = timedelta(hours=36)
BUSY = {"code": "source_busy", "message": "It answered 503.", "remedy": "Later."}
ALL = Wishes(frozenset(NOTICES), {"main": LATE_AFTER})


def only(*kinds: str) -> Wishes:
    return replace(ALL, on=frozenset(kinds))


def stream(
    outcome: str | None = "succeeded",
    problem: Mapping[str, Any] | None = None,
    *,
    name: str = "purchases",
    success: datetime | None = NOW - HOUR,
    **others: object,
) -> dict[str, Any]:
    last = {"run": 7, "outcome": outcome, "problem": problem} if outcome else None
    return {
        "stream": name,
        "caught_up_to": utc_text(NOW - HOUR),
        "gaps": 0,
        "lag_s": 3600,
        "last_success": utc_text(success),
        "last_run": last,
    } | others


def standing(
    *streams: Mapping[str, Any], health: str = "ok", activity: str = "idle", name: str = "main"
) -> dict[str, Any]:
    one = {"name": name, "health": health, "activity": activity, "streams": list(streams)}
    return {"collections": [one]}


def notice(kind: str = "failing", *, number: int = 1, **others: Any) -> Notice:
    """Return a notice about main; `calm_until`: it is over."""
    known = others.pop("known", {"stream": "purchases"})
    if "calm_until" in others:
        known = known | {"calm_until": others.pop("calm_until").isoformat()}
    others = {"began": NOW - HOUR, "ended": None, "subject": "main"} | others
    return Notice(number=number, kind=kind, written=orjson.dumps(known).decode(), **others)


def judged(
    document: Mapping[str, Any],
    *current: Notice,
    wishes: Wishes = ALL,
    rejects: Mapping[str, Any] | None = None,
    now: datetime = NOW,
) -> Verdict:
    return judge(document, current, rejects or {}, wishes, now=now)


def kinds(words: Sequence[Word]) -> list[str]:
    return [each.kind for each in words]


NOTHING = Verdict((), {}, (), ())
FAILED = stream("failed", BUSY)
REFUSED = stream("failed", BUSY | {"code": "credentials_refused"})
UNSAFE = stream("failed", BUSY | {"code": "refused_for_safety"})
OLD = stream(success=NOW - 2 * DAY)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (standing(FAILED, health="failing"), "failing"),
        (standing(stream("partial", BUSY), health="failing"), "failing"),
        (standing(stream(), stream("failed", name="metadata"), health="failing"), "failing"),
        (standing(REFUSED, health="failing"), "credentials_refused"),
        (standing(UNSAFE, health="failing"), "refused_for_safety"),
        (standing(UNSAFE, health="paused"), "refused_for_safety"),
        (standing(stream("paused", UNSAFE["last_run"]["problem"])), "refused_for_safety"),
        (standing(OLD, health="late"), "late"),
        (standing(stream("interrupted", success=NOW - 2 * DAY), health="late"), "late"),
        (standing(stream(lag_s=3 * 365 * 86400)), "late"),
    ],
)
def test_each_trouble_is_told_once_under_its_own_name(document: Mapping[str, Any], kind: str):
    first = judged(document)
    again = judged(document, notice(kind))

    assert [kind] == kinds(first.begun)
    assert NOTHING == again


@pytest.mark.parametrize(
    "document",
    [
        standing(stream()),
        standing(stream(None, success=None), health="never_run"),
        standing(health="never_run"),
        standing(stream("interrupted")),
        standing(FAILED, health="disabled"),
        standing(FAILED, health="paused"),
        standing(OLD, health="paused"),
        standing(stream(lag_s=3 * 365 * 86400, gaps=2)),
        standing(stream(lag_s=6 * 86400)),
    ],
)
def test_of_all_else_nothing_is_told(document: Mapping[str, Any]):
    assert NOTHING == judged(document)


def test_what_is_known_of_a_trouble_goes_with_it():
    [word] = judged(standing(FAILED, health="failing")).begun

    assert Word(
        "failing",
        "main",
        {
            "stream": "purchases",
            "run": 7,
            "outcome": "failed",
            "problem": BUSY,
            "last_success": "2024-03-10T11:00:00Z",
            "caught_up_to": "2024-03-10T11:00:00Z",
        },
    ) == Word(word.kind, word.subject, dict(word.message))


@pytest.mark.parametrize(
    ("document", "wished", "told"),
    [
        (standing(REFUSED, health="failing"), ["failing"], ["failing"]),
        (standing(REFUSED, health="failing"), ["credentials_refused"], ["credentials_refused"]),
        (standing(FAILED, health="failing"), ["credentials_refused", "late"], []),
        (standing(OLD | FAILED, health="failing"), ["late"], []),
        (
            standing(stream("failed", BUSY, success=NOW - 2 * DAY), health="failing"),
            ["late"],
            ["late"],
        ),
        (standing(OLD, health="late"), ["failing", "recovered"], []),
    ],
)
def test_only_what_is_wished_for_is_told(
    document: Mapping[str, Any], wished: list[str], told: list[str]
):
    """A failure that lasts is told as late to those who want to hear of that alone."""
    assert told == kinds(judged(document, wishes=only(*wished)).begun)


def test_a_graver_trouble_takes_the_place_of_the_one_that_was_told():
    worse = judged(standing(REFUSED, health="failing"), notice("failing"))
    lesser = judged(standing(FAILED, health="failing"), notice("credentials_refused"))

    assert {1: "credentials_refused"} == {n: word.kind for n, word in worse.reworded.items()}
    assert () == worse.begun
    assert NOTHING == lesser


@pytest.mark.parametrize(
    ("document", "about"),
    [
        (standing(stream("interrupted")), "purchases"),
        (standing(stream("deposed")), "purchases"),
        (standing(stream("absorbed")), "purchases"),
        (standing(stream(), stream("interrupted", name="metadata")), "metadata"),
        (standing(stream(), health="paused"), "purchases"),
    ],
)
def test_a_run_that_proves_nothing_ends_no_trouble(document: Mapping[str, Any], about: str):
    assert NOTHING == judged(document, notice(known={"stream": about}))


@pytest.mark.parametrize(
    ("wishes", "silently"), [(ALL, False), (only("failing"), True)], ids=["wished", "not"]
)
def test_a_success_ends_it_and_that_is_told_at_once_where_it_is_wished_for(
    wishes: Wishes, *, silently: bool
):
    [end] = judged(standing(stream()), notice(), wishes=wishes).ended

    assert (1, silently) == (end.number, end.silently)
    assert NOW.isoformat() == end.message["calm_until"]


@pytest.mark.parametrize(
    "document", [standing(FAILED, health="disabled"), standing(stream(), name="another")]
)
def test_what_is_about_a_collection_that_left_ends_silently(document: Mapping[str, Any]):
    [end] = judged(document, notice()).ended

    assert end.silently


def test_an_end_is_held_back_the_longer_the_oftener_it_came_within_a_day():
    before = [
        notice(number=n, began=NOW - n * HOUR, ended=NOW - n * HOUR, calm_until=NOW - n * HOUR)
        for n in (2, 3, 4, 5)
    ]

    held = [
        judged(standing(stream()), *before[:count], notice(number=9)).ended[0].message["calm_until"]
        for count in range(5)
    ]
    long_ago = [replace(each, began=each.began - DAY) for each in before]

    assert [(NOW + calm).isoformat() for calm in (*CALM, CALM[-1])] == held
    assert [NOW.isoformat()] == [
        each.message["calm_until"]
        for each in judged(standing(stream()), *long_ago, notice(number=9)).ended
    ]


def test_what_comes_back_while_its_end_is_held_back_is_no_other_trouble():
    over = notice("failing", ended=NOW - HOUR, calm_until=NOW + HOUR)

    back = judged(standing(FAILED, health="failing"), over)
    worse = judged(standing(REFUSED, health="failing"), over)
    afterwards = judged(standing(FAILED, health="failing"), over, now=NOW + HOUR)

    assert Verdict((), {}, (), (1,)) == back
    assert ((1,), [1]) == (worse.reopened, [*worse.reworded])
    assert ["failing"] == kinds(afterwards.begun)


@given(st.lists(st.sampled_from([FAILED, REFUSED, UNSAFE, OLD, stream(), stream("interrupted")])))
def test_nobody_is_told_more_than_four_troubles_and_four_ends_of_a_collection_a_day(outcomes):
    """Whatever its runs come to, one each quarter of an hour."""
    told: list[tuple[datetime, str]] = []
    current: list[Notice] = []
    now = NOW
    for each in outcomes * 8:
        now += HOUR / 4
        fresh = each | {"last_success": utc_text(now - 2 * DAY if each is OLD else now)}
        current = _carried_out(judged(standing(fresh), *current, now=now), current, told, now)
        last_day = [what for when, what in told if when > now - DAY]
        assert last_day.count("over") <= len(CALM)
        assert len(last_day) - last_day.count("over") <= len(CALM) * len(TROUBLES)
        assert sum(notice.ended is None for notice in current) <= 1


def _carried_out(
    verdict: Verdict, current: list[Notice], told: list[tuple[datetime, str]], now: datetime
) -> list[Notice]:
    """Do as the table does, and note what a channel that always works has told."""
    changed = [_changed(verdict, each, told, now) for each in current]
    kept = [each for each in changed if each.ended is None or each.ended > now - DAY]
    for word in verdict.begun:
        told.append((now, word.kind))
        written = orjson.dumps(word.message).decode()
        kept.append(Notice(1000 + len(told), word.kind, "main", now, None, written))
    return kept


def _changed(
    verdict: Verdict, notice: Notice, told: list[tuple[datetime, str]], now: datetime
) -> Notice:
    number = notice.number
    if number in verdict.reopened:
        notice = replace(notice, ended=None)
    if word := verdict.reworded.get(number):
        told.append((now, word.kind))
        notice = replace(notice, kind=word.kind, written=orjson.dumps(word.message).decode())
    for end in verdict.ended:
        if end.number == number:
            notice = replace(notice, ended=now, written=orjson.dumps(end.message).decode())
    calm = datetime.fromisoformat(notice.message.get("calm_until", now.isoformat()))
    if notice.ended and not notice.ended_told and calm <= now:
        told.append((now, "over"))
        notice = replace(notice, ended_told=("mail",))
    return notice


MET = {"main": ({"unreadable_record": 4, "missing_control_number": 1}, 17)}
KNOWN = {"count": 5, "reasons": MET["main"][0], "newest": 17}


def test_new_rejects_are_told_with_how_many_there_are_of_each_reason():
    [word] = judged(standing(stream()), rejects=MET).begun

    assert Word("new_rejects", "main", KNOWN) == word
    assert NOTHING == judged(standing(stream()), notice("new_rejects", known=KNOWN), rejects=MET)


@pytest.mark.parametrize(
    ("document", "wishes"),
    [
        (standing(stream(), activity="running"), ALL),
        (standing(stream(), activity="backfilling"), ALL),
        (standing(stream(), health="paused"), ALL),
        (standing(stream()), only("failing")),
    ],
)
def test_new_rejects_wait_for_the_end_of_the_run(document: Mapping[str, Any], wishes: Wishes):
    assert NOTHING == judged(document, rejects=MET, wishes=wishes)


def test_rejects_that_come_before_the_others_were_told_are_told_with_them():
    fewer = notice("new_rejects", known=KNOWN | {"newest": 12, "count": 3})

    verdict = judged(standing(stream()), fewer, rejects=MET)

    assert {1: Word("new_rejects", "main", KNOWN)} == verdict.reworded


def test_rejects_that_somebody_has_settled_meanwhile_are_not_told():
    [end] = judged(standing(stream()), notice("new_rejects", known=KNOWN)).ended

    assert end.silently
