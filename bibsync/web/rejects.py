"""Rejects: records that could not be stored, and another try with today's reader.

A retry is done within the request: the kept bytes are read, no vendor is asked, and thousands take
seconds. Broken off, it may be said again and goes on.
"""

from collections.abc import Sequence
from typing import Any

from bibsync import reconsider
from bibsync.errors import BibsyncError, LeaseHeld, NotFound, StoreUnavailable, UsageWrong
from bibsync.reconsider import Ending
from bibsync.reject import Reason
from bibsync.run import Outcome, Summary
from bibsync.store import Connection, collections, rejects
from bibsync.store.rejects import LAST, Choice
from bibsync.web import fields
from bibsync.web.route import Answer, Asked

PAGE, MOST = 200, 1000
STATES = ("open", "resolved", "dismissed", "all")
LISTED = {
    "collection": fields.text("Of this collection only."),
    "reason": fields.word("For this reason only.", *Reason),
    "state": fields.word("In this state; left out: open.", *STATES),
    "limit": fields.whole_in_query(f"At most so many; left out: {PAGE}.", least=1, most=MOST),
    "after": fields.whole_in_query("What `next` said on the page before.", least=0, most=LAST),
}
RETRY = {
    "ids": fields.ids("These, dismissed ones too."),
    "collection": fields.text("The open ones of this collection."),
    "reason": fields.word("The open ones for this reason.", *Reason),
}


async def listed(asked: Asked) -> Answer:
    """Answer rejects by number, a page at a time."""
    query = asked.query
    state = query.get("state", "open")
    limit = query.get("limit", PAGE)
    rows = await rejects.listed(
        asked.conn,
        collection=await _number(asked.conn, query.get("collection")),
        reason=query.get("reason"),
        state=None if state == "all" else state,
        after=query.get("after", 0),
        limit=limit + 1,
    )
    shown = rows[:limit]
    return Answer(
        {
            "rejects": [rejects.document(row) for row in shown],
            "next": shown[-1]["id"] if len(rows) > limit else None,
        }
    )


async def retry(asked: Asked) -> Answer:
    """Read rejects again and answer what became of each.

    Raises:
        LeaseHeld: all of their collections are being synced.
    """
    dispatch = asked.daemon.dispatch
    assert dispatch is not None  # noqa: S101 - the exchange asks nobody before
    choice = await _choice(asked)
    named = await rejects.among(asked.conn, choice.numbers or ())
    endings: list[Ending] = []
    summaries: list[Summary] = []
    means = reconsider.Means(
        pool=dispatch.duty.means.pool,
        leases=dispatch.duty.means.leases,
        lease_ttl=dispatch.duty.means.lease_ttl,
        heard=endings.extend,
        ended=summaries.append,
        trigger="api",
    )
    for number, name in (await rejects.chosen_by_collection(asked.conn, choice)).items():
        await reconsider.reconsider(number, name, choice, means)
    _demand_one_done(summaries)
    return Answer(
        {
            "rejects": [each.as_json() for each in endings],
            "resolved_before": [row["id"] for row in named if row["state"] == "resolved"],
            "summaries": [each.as_json() for each in summaries],
        }
    )


async def _choice(asked: Asked) -> Choice:
    """Return which rejects are meant.

    Raises:
        UsageWrong: none are named, or in two ways.
        NotFound: there is no such collection, or no such reject.
    """
    ids, collection, reason = (asked.body.get(name) for name in RETRY)
    if (ids is not None) == (collection is not None or reason is not None):
        raise UsageWrong(
            "Say which rejects: either ids, or collection, reason or both.",
            remedy="Nothing was changed; correct it.",
        )
    if ids is None:
        return Choice(await _number(asked.conn, collection), reason)
    unknown = set(ids) - {row["id"] for row in await rejects.among(asked.conn, ids)}
    if unknown:
        these = ", ".join(map(str, sorted(unknown)))
        raise NotFound(
            f"There is no reject {these}; nothing was changed.",
            remedy="/v1/rejects?state=all lists those there are.",
        )
    return Choice(numbers=tuple(sorted(set(ids))))


async def _number(conn: Connection, name: str | None) -> int | None:
    return None if name is None else (await collections.named(conn, name)).number


def _demand_one_done(summaries: Sequence[Summary]) -> None:
    """Refuse where nothing could be read again; what could in part stands in the summaries."""
    if any(each.outcome is Outcome.SUCCEEDED for each in summaries):
        return
    for each in summaries:
        if each.problem is not None:
            raise _error(each, each.problem.message)


def _error(summary: Summary, message: str) -> BibsyncError:
    told: Any = f"{summary.collection}: {message}"
    if summary.outcome is Outcome.FAILED:
        return StoreUnavailable(told)
    return LeaseHeld(told, remedy="Wait for that run to end, then send it again.")
