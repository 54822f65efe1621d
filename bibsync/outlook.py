"""The outlook of one stream: what the tables say of it, gathered for `choice`; only reading.

Also the plan of a run that isn't made: what it would ask for.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from bibsync import choice
from bibsync.choice import LIVE, Known, Lane, Piece
from bibsync.collection import Sync
from bibsync.run import Order
from bibsync.store import Connection, blanks, days, lanes, windows
from bibsync.window import Window, midnight_before, whole_seconds


async def look(
    conn: Connection,
    key: tuple[int, str],
    sync: Sync,
    order: Order,
    *,
    now: datetime,
    cutoff: datetime,
    days_due: tuple[Window, ...] | None = None,
) -> Known:
    """Read what is known of (collection, stream) now; its live lane must have been opened.

    Ages are counted up to `cutoff`, the present by the earlier clock. `days_due` are asked for
    unless they are given: looking over all days is the costly part, and a run's own memory knows
    which of them it has read since.
    """
    if days_due is None:
        start = midnight_before(sync.start_date)
        days_due = await days.due(conn, key, sync.reread, start=start, now=cutoff)
    return Known(
        sync=sync,
        now=now,
        cutoff=cutoff,
        lanes=await lanes.unfinished(conn, key),
        open_windows=await windows.begun(conn, key),
        days_due=days_due,
        blanks_due=await blanks.due(conn, key, sync.reread, cutoff),
        since=order.since,
        until=order.until,
    )


def unseen(sync: Sync, order: Order, *, now: datetime) -> Known:
    """Return the outlook of a stream that was never run."""
    return Known(
        sync=sync,
        now=now,
        cutoff=whole_seconds(now),
        lanes=(Lane(LIVE, "live", sync.start_date, None, ()),),
        open_windows=(),
        days_due=(),
        blanks_due=(),
        since=order.since,
        until=order.until,
    )


def span(known: Known, order: Order) -> Window | None:
    """Return what a forced re-import reads again; None where that is nothing."""
    start = max(known.sync.start_date, order.since or known.sync.start_date)
    end = min(known.cutoff, order.until or known.cutoff)
    return Window(start, end) if start < end else None


def plan(known: Known, order: Order) -> Iterator[Piece]:
    """Yield what a run of this order would read if every window came back small."""
    forced = span(known, order) if order.force_reimport else None
    joined = any(forced and lane.start == forced.start for lane in known.lanes[1:])
    if forced and not joined:
        number = max(lane.number for lane in known.lanes) + 1
        lane = Lane(number, order.lane, forced.start, forced.end, ())
        known = replace(known, lanes=(*known.lanes, lane))
    gone = choice.superseded(known)
    open_windows = tuple(each for each in known.open_windows if each not in gone)
    yield from choice.plan(replace(known, open_windows=open_windows))


def lag(caught_up_to: datetime, now: datetime) -> timedelta:
    """Return how far behind the present a stream is, never less than nothing."""
    return max(now - caught_up_to, timedelta(0))
