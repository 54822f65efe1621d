"""What is worth telling: from how collections stand, which notices begin and which are over.

Pure: no clock is read and nothing is awaited. A collection has one trouble at a time, the gravest
of TROUBLES that holds and that somebody wants to hear of; a graver one takes the place of the one
that was told, a lesser one never does. It is over when the stream that it is about has succeeded
again: a run that was merely stopped proves nothing. What comes and goes is told ever more slowly,
see CALM.

A pause is a person's own doing: nothing begins and nothing ends meanwhile. Only a change that was
refused for safety is told all the same, since that pauses a collection by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bibsync.errors import RefusedForSafety, SourceRefused
from bibsync.run import PURCHASES, Outcome
from bibsync.store.notices import NEW_REJECTS, End, Notice, Word

LATE: Final = "late"
FAILING: Final = "failing"
CREDENTIALS_REFUSED: Final = "credentials_refused"
REFUSED_FOR_SAFETY: Final = "refused_for_safety"
RECOVERED: Final = "recovered"
TROUBLES: Final = (LATE, FAILING, REFUSED_FOR_SAFETY, CREDENTIALS_REFUSED)
"""Ascending by how much a person's hand is needed."""
GRAVE: Final[Mapping[str, str]] = {
    SourceRefused.code: CREDENTIALS_REFUSED,
    RefusedForSafety.code: REFUSED_FOR_SAFETY,
}
"""Problem codes that are troubles of their own."""
DAY: Final = timedelta(days=1)
CALM: Final = (timedelta(0), timedelta(hours=1), timedelta(hours=4), DAY)
"""How long all must be well before an end is told, by how many notices of the same collection have
begun in the day before: four problems and four ends a day are the most that anybody hears of it."""
FAR_BEHIND: Final = timedelta(days=7)
"""A collection whose syncs succeed, yet reach no further than this, is late as well."""
AT_REST: Final = frozenset({"idle", "waiting_to_retry"})
"""Activities in which no new rejects are met: those of a run are told together, at its end."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of what somebody wants to hear, and after which time each collection is late."""

    on: frozenset[str]
    late_after: Mapping[str, timedelta]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be changed in the table of notices; `reworded` is by the notice's number."""

    begun: tuple[Word, ...]
    reworded: Mapping[int, Word]
    ended: tuple[End, ...]
    reopened: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """One decision: a word to begin with, or what becomes of the notice of this number."""

    word: Word | None = None
    number: int | None = None
    end: End | None = None
    reopened: bool = False


def judge(
    document: Mapping[str, Any],
    current: Sequence[Notice],
    rejects: Mapping[str, tuple[Mapping[str, int], int]],
    wishes: Wishes,
    *,
    now: datetime,
) -> Verdict:
    """Compare how all stands (the document of `status`) with what was told.

    `current` are the notices that are open or ended within the last day; `rejects` are those of
    each collection that nobody was told of: how many of each reason, and the newest one's number.
    """
    found = [*_of_gone(document, current, now)]
    for each in document["collections"]:
        if each["health"] != "disabled":
            own = [notice for notice in current if notice.subject == each["name"]]
            found += _of_trouble(each, [n for n in own if n.kind in TROUBLES], wishes, now)
            found += _of_rejects(each, own, rejects.get(each["name"]), wishes, now)
    words = [each for each in found if each.word]
    return Verdict(
        begun=tuple(each.word for each in words if each.word and each.number is None),
        reworded={each.number: each.word for each in words if each.word and each.number},
        ended=tuple(each.end for each in found if each.end),
        reopened=tuple(each.number for each in found if each.reopened and each.number),
    )


def _of_gone(
    document: Mapping[str, Any], current: Sequence[Notice], now: datetime
) -> Iterator[_Found]:
    """End what is about collections that left the configuration; nobody waits to hear of it."""
    there = {each["name"] for each in document["collections"] if each["health"] != "disabled"}
    for notice in current:
        if notice.ended is None and notice.subject not in there:
            yield _Found(end=_ended(notice, now, silently=True))


def _of_trouble(
    collection: Mapping[str, Any], own: Sequence[Notice], wishes: Wishes, now: datetime
) -> Iterator[_Found]:
    is_open = next((each for each in own if each.ended is None), None)
    trouble = _trouble(collection, wishes, now)
    if trouble is None:
        if is_open and collection["health"] != "paused" and _is_well(collection, is_open):
            silently = RECOVERED not in wishes.on
            yield _Found(end=_ended(is_open, now + _calm(own, is_open, now), silently=silently))
        return
    before = is_open or next((each for each in own if _calm_until(each) > now), None)
    if before is None:
        yield _Found(word=trouble)
        return
    if is_open is None:
        yield _Found(number=before.number, reopened=True)
    if TROUBLES.index(trouble.kind) > TROUBLES.index(before.kind):
        yield _Found(word=trouble, number=before.number)


def _trouble(collection: Mapping[str, Any], wishes: Wishes, now: datetime) -> Word | None:
    """Return the gravest trouble that holds and is wished for."""
    held = {
        kind: stream
        for stream in reversed(collection["streams"])  # what holds of several is told of purchases
        for kind in _kinds(collection, stream, wishes, now)
    }
    kind = next((each for each in reversed(TROUBLES) if each in held and each in wishes.on), None)
    if kind is None:
        return None
    stream = held[kind]
    last = stream["last_run"] or {}
    known = {
        "stream": stream["stream"],
        "run": last.get("run"),
        "outcome": last.get("outcome"),
        "problem": last.get("problem"),
        "last_success": stream["last_success"],
        "caught_up_to": stream["caught_up_to"],
    }
    return Word(kind, collection["name"], known)


def _kinds(
    collection: Mapping[str, Any], stream: Mapping[str, Any], wishes: Wishes, now: datetime
) -> Iterator[str]:
    last = stream["last_run"] or {}
    code = (last.get("problem") or {}).get("code")
    succeeded = last.get("outcome") == Outcome.SUCCEEDED
    if code == RefusedForSafety.code and not succeeded:
        yield REFUSED_FOR_SAFETY
    if collection["health"] == "paused":
        return
    if last.get("outcome") in {Outcome.FAILED, Outcome.PARTIAL}:
        yield GRAVE.get(code or "", FAILING)
        yield FAILING  # for whoever wants to hear of failures, but of none in particular
    if stream["stream"] != PURCHASES:
        return
    late_after = wishes.late_after.get(collection["name"])
    success = stream["last_success"]
    overdue = late_after and success and now - datetime.fromisoformat(success) > late_after
    behind_s = max(late_after or FAR_BEHIND, FAR_BEHIND).total_seconds()
    far_behind = succeeded and not stream["gaps"] and stream["lag_s"] > behind_s
    if overdue or far_behind or collection["health"] == LATE:
        yield LATE


def _is_well(collection: Mapping[str, Any], notice: Notice) -> bool:
    """Tell whether the stream that a notice is about has succeeded since."""
    about = notice.message.get("stream")
    return any(
        each["stream"] == about and (each["last_run"] or {}).get("outcome") == Outcome.SUCCEEDED
        for each in collection["streams"]
    )


def _of_rejects(
    collection: Mapping[str, Any],
    own: Sequence[Notice],
    met: tuple[Mapping[str, int], int] | None,
    wishes: Wishes,
    now: datetime,
) -> Iterator[_Found]:
    is_open = next((each for each in own if each.kind == NEW_REJECTS and not each.ended), None)
    if is_open and (met is None or NEW_REJECTS not in wishes.on):  # somebody was quicker to settle
        yield _Found(end=_ended(is_open, now, silently=True))
    if met is None or NEW_REJECTS not in wishes.on:
        return
    if collection["health"] == "paused" or collection["activity"] not in AT_REST:
        return
    reasons, newest = met
    known = {"count": sum(reasons.values()), "reasons": dict(reasons), "newest": newest}
    if is_open is None:
        yield _Found(word=Word(NEW_REJECTS, collection["name"], known))
    elif is_open.message != known:
        word = Word(NEW_REJECTS, collection["name"], known)
        yield _Found(word=word, number=is_open.number)


def _ended(notice: Notice, calm_until: datetime, *, silently: bool) -> End:
    message = notice.message | {"calm_until": calm_until.isoformat()}
    return End(notice.number, message, silently)


def _calm(own: Sequence[Notice], notice: Notice, now: datetime) -> timedelta:
    """Return how long all must be well before the end of a notice is told."""
    others = [each for each in own if each is not notice and each.began > now - DAY]
    return CALM[min(len(others), len(CALM) - 1)]


def _calm_until(notice: Notice) -> datetime:
    until = notice.message.get("calm_until")
    return datetime.fromisoformat(until) if until else notice.began
