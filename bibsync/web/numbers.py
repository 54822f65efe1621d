"""Numbers: what there is, and what each day came to."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bibsync import census
from bibsync.errors import UsageWrong
from bibsync.settings.moments import moment
from bibsync.store import collections, snapshots, statistics
from bibsync.web import fields
from bibsync.web.route import Answer, Asked

PAGE, MOST = 500, 5000
RECENT: Final = timedelta(days=30)
SPAN = {
    "since": fields.text("Days from here on: a date, or 7d."),
    "until": fields.text("Days before this: a date, or 7d."),
}
LISTED = SPAN | {
    "collection": fields.text("Of this collection only."),
    "limit": fields.whole_in_query(f"At most so many; left out: {PAGE}.", least=1, most=MOST),
    "after": fields.text("What `next` said on the page before."),
}


async def stats(asked: Asked) -> Answer:
    """Answer the newest count of everything; with a span, the sums of its days."""
    since, until = _days(asked)
    if asked.query:
        return Answer(await census.ranged(asked.conn, since, until))
    kept = await statistics.newest(asked.conn)
    return Answer(kept or await census.statistics(asked.conn))


async def days(asked: Asked) -> Answer:
    """Answer what each day of each collection came to, a page at a time; left out: 30 days."""
    since, until = _days(asked)
    named = asked.query.get("collection")
    limit = asked.query.get("limit", PAGE)
    rows = await snapshots.listed(
        asked.conn,
        since or (until or asked.now.astimezone(UTC).date()) - RECENT,
        until,
        (await collections.named(asked.conn, named)).number if named else None,
        after=_last_seen(asked.query.get("after")),
        limit=limit + 1,
    )
    shown = rows[:limit]
    return Answer(
        {
            "snapshots": [snapshots.document(row) for row in shown],
            "next": _cursor(shown[-1]) if len(rows) > limit else None,
        }
    )


def _days(asked: Asked) -> tuple[date | None, date | None]:
    """Read the days that are meant, as the command line does.

    Raises:
        UsageWrong: one is no time, or there is no day between them.
    """

    def read(name: str) -> datetime | None:
        return moment(asked.query.get(name), name=name, now=asked.now)

    since, until = census.day_of(read("since")), census.day_after(read("until"))
    if since and until and since >= until:
        raise UsageWrong("No day lies between since and until.", remedy="Correct one of them.")
    return since, until


def _cursor(row: Any) -> str:
    return f"{row['day'].isoformat()}_{row['name']}"


def _last_seen(cursor: str | None) -> tuple[date, str]:
    if cursor is None:
        return snapshots.FIRST
    day, _, name = cursor.partition("_")
    with suppress(ValueError):
        return date.fromisoformat(day), name
    raise UsageWrong("after is no `next` of this list.", remedy="Give it as it was told.")
