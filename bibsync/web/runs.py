"""Runs: what was run, by whom, and what came of it."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from bibsync.errors import NotFound, UsageWrong
from bibsync.run import Outcome
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.settings.moments import moment
from bibsync.store import collections, rejects, runs
from bibsync.web import fields
from bibsync.web.fields import is_whole
from bibsync.web.route import Answer, Asked, number

PAGE, MOST = 50, 500
LISTED = {
    "collection": fields.text("Of this collection only."),
    "stream": fields.word("Of this stream, or this job, only.", *JOBS_KNOWN),
    "outcome": fields.word("With this outcome only.", *Outcome, runs.RUNNING),
    "active": fields.yes_or_no_in_query("Only those under way, or only those that ended."),
    "since": fields.text("Begun since: a date, a time (UTC), or 7d."),
    "limit": fields.whole_in_query(f"At most so many; left out: {PAGE}.", least=1, most=MOST),
    "before": fields.text("What `next` said on the page before."),
}


async def listed(asked: Asked) -> Answer:
    """Answer runs, the newest first, a page at a time."""
    query = asked.query
    named = query.get("collection")
    limit = query.get("limit", PAGE)
    rows = await runs.listed(
        asked.conn,
        collection=(await collections.named(asked.conn, named)).number if named else None,
        stream=query.get("stream"),
        outcome=query.get("outcome"),
        active=query.get("active"),
        since=moment(query.get("since"), name="since", now=asked.now),
        before=_last_seen(query.get("before")),
        limit=limit + 1,
    )
    more = len(rows) > limit
    shown = rows[:limit]
    return Answer(
        {
            "runs": [runs.document(row) for row in shown],
            "next": _cursor(shown[-1]) if more else None,
        }
    )


async def show(asked: Asked) -> Answer:
    """Answer one run, and which rejects it met first."""
    which = number(asked.path["id"], "run")
    row = await runs.one(asked.conn, which)
    if row is None:
        raise NotFound(f"There is no run {which}.", remedy="/v1/runs lists those there are.")
    met = await rejects.first_met_by(asked.conn, row["collection"], which)
    return Answer(
        runs.document(row)
        | {
            "records_changed": row["records_changed"],
            "rejects_first_met": len(met),
            "reject_ids": met,
            "result": runs.result(row),
        }
    )


def _cursor(row: Any) -> str:
    return f"{row['started'].isoformat()}_{row['run']}"


def _last_seen(cursor: str | None) -> tuple[datetime, int] | None:
    """Read what `_cursor` wrote; a blank in it was a plus sign of a time zone.

    Raises:
        UsageWrong: it did not write it.
    """
    if cursor is None:
        return None
    written, _, run = cursor.replace(" ", "+").rpartition("_")
    with suppress(ValueError):
        started = datetime.fromisoformat(written)
        if is_whole(run) and started.tzinfo:
            return started, int(run)
    raise UsageWrong("before is no `next` of this list.", remedy="Give it as it was told.")
