"""Events: what happened to the titles, told in batches that lose what doesn't fit.

A batch holds at most a hundred events, the oldest first, and the moment of its last one, from
which the client goes on. A request for more than 72 hours gets a spurious answer, as in life.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from bibsync.simulator.answers import Answer
from bibsync.simulator.chance import Chance
from bibsync.simulator.history import REACH
from bibsync.simulator.library import Library
from bibsync.simulator.purchase import Purchase
from bibsync.simulator.request import DATES, Stretch

MOST: Final = 100
LONGEST: Final = timedelta(hours=72)
_LOAN: Final = timedelta(days=14)
_Event = tuple[datetime, str, str, datetime | None]


def events(library: Library, stretch: Stretch, at: datetime) -> Answer:
    """Return the batch of events of a stretch of time."""
    end = min(stretch.end, at)
    since = stretch.start - 2 * REACH  # whatever happens to a title happens by then
    bought = library.bought.between(since, end) if stretch.start < end else ()
    found = sorted(
        event for purchase in bought for event in _of(purchase) if stretch.start <= event[0] < end
    )
    if end - stretch.start > LONGEST:
        found = found[::2]
    batch = found[:MOST]
    last = batch[-1][0] if batch else stretch.start
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<LibraryEventBatch xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"<PublishDateTimeInUTC>{at.strftime(DATES)}</PublishDateTimeInUTC>"
        f"<LastEventDateTimeInUTC>{last.strftime(DATES)}</LastEventDateTimeInUTC>"
        f"<Events>{''.join(_element(library, event) for event in batch)}</Events>"
        "</LibraryEventBatch>"
    )
    return Answer(kind="events", body=body.encode(), records=len(batch))


def _of(purchase: Purchase) -> Iterator[_Event]:
    """Yield what happened to a title: it was bought, perhaps lent and withdrawn."""
    item, chance = purchase.control_number, Chance("loan", purchase.control_number)
    yield purchase.moment, "PURCHASE", item, None
    if chance.happens(0.5):
        lent = purchase.moment + chance.share() * LONGEST
        lent = lent.replace(microsecond=0)
        yield lent, "CHECKOUT", item, None
        yield lent + _LOAN, "CHECKIN", item, lent + _LOAN
    if purchase.removed_at is not None:
        yield purchase.removed_at, "REMOVED", item, None


def _element(library: Library, event: _Event) -> str:
    at, kind, item, end = event
    closed = end.strftime(DATES) if end else ""
    return (
        f"<CloudLibraryEvent><LibraryId>{library.library_id}</LibraryId>"
        f"<EventId>{item}-{kind.lower()}</EventId><EventType>{kind}</EventType>"
        f"<EventStartDateTimeInUTC>{at.strftime(DATES)}</EventStartDateTimeInUTC>"
        f"<EventEndDateTimeInUTC>{closed}</EventEndDateTimeInUTC>"
        f"<ItemId>{item}</ItemId><PatronId>patron-{item}</PatronId></CloudLibraryEvent>"
    )
