"""What a page holds, as it concerns the store: opened by comparing first and parsing what differs.

Most records of most pages are unchanged; their bytes are compared by hash and never parsed. The
rest is parsed in slices, so that other work goes on, and all of it before the first write.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from bibsync import marc, store
from bibsync.fence import Fence
from bibsync.reading import Name
from bibsync.record import RawRecord, Record
from bibsync.reject import Reason, Reject, sentence
from bibsync.source import Page
from bibsync.store import Connection, records, rejects, titles
from bibsync.store.records import Asked
from bibsync.window import Window

SLICE = 10
"""Records parsed before the event loop gets its turn."""
SUSPICIOUS = 10
"""A page of this many records, none of them readable, is asked for once more."""


class Item(NamedTuple):
    """One record of a page: a record to be stored, a reject, or None where nothing changed.

    `control_number` is empty for a reject. `stale` tells that `last_seen` is due.
    """

    raw: RawRecord
    what: Record | Reject | None
    control_number: str
    stale: bool = False

    @property
    def name(self) -> Name:
        """The item as a reading sees it."""
        return (
            f"#{self.what.identity.hex()}" if isinstance(self.what, Reject) else self.control_number
        )


Contents = Sequence[Item]


@dataclass(frozen=True, slots=True)
class Written:
    """What storing a page came to; `new_rejects` are rows of rejects that weren't known before."""

    received: int = 0
    new: int = 0
    changed: int = 0
    rejected: int = 0
    doubles: int = 0
    new_rejects: tuple[tuple[str, int, str], ...] = ()

    @property
    def unchanged(self) -> int:
        """Records that were stored with equal content before, doubles among them."""
        return self.received - self.new - self.changed - self.rejected


async def opened(page: Page, fence: Fence, *, now: datetime) -> Contents:
    """Compare a page with the store and parse what differs."""
    collection = fence.key[0]
    answered = [(raw.key or "", raw.raw_hash) for raw in page.records]
    unlike = (
        await fence.read(lambda conn: records.unlike(conn, collection, answered, now))
        if answered
        else {}
    )
    items = []
    parsed = 0
    for place, raw in enumerate(page.records):
        if raw.key and unlike.get(place, True):
            items.append(Item(raw, None, raw.key, place in unlike))
            continue
        what = marc.read(raw)
        items.append(Item(raw, what, what.control_number if isinstance(what, Record) else ""))
        parsed += 1
        if parsed % SLICE == 0:
            await asyncio.sleep(0)
    return items


def is_suspicious(contents: Contents) -> bool:
    """Tell whether so much is unreadable that the page itself may be damaged."""
    return len(contents) >= SUSPICIOUS and all(
        isinstance(item.what, Reject) and item.what.reason is Reason.UNREADABLE_RECORD
        for item in contents
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands: run, window, position of its first item from 1, when it was asked for.

    `checked` has each record stored by itself, so that one that PostgreSQL can't hold costs only
    itself.
    """

    run: int
    window: Window
    first: int
    asked: Asked
    now: datetime
    stream: str
    checked: bool = False


def unchanged(contents: Contents) -> Written | None:
    """Return what storing comes to where nothing is to be written, None where something is."""
    if any(item.what is not None or item.stale for item in contents):
        return None
    distinct = {item.control_number for item in contents}
    return Written(received=len(contents), doubles=len(contents) - len(distinct))


async def write(conn: Connection, collection: int, contents: Contents, place: Place) -> Written:
    """Store a page's records, rejects and new titles, inside the caller's transaction."""
    if place.checked:
        contents = [await _fitting(conn, collection, item, place) for item in contents]
    named = sum(1 for item in contents if item.control_number)
    last = {item.control_number: item for item in contents if item.control_number}
    stored = await records.store(
        conn,
        collection,
        [item.what for item in last.values() if isinstance(item.what, Record)],
        asked=place.asked,
        run=place.run,
        now=place.now,
    )
    await records.touch(conn, collection, _stale(contents), place.now)
    await titles.want(conn, collection, stored.new, place.now)
    set_aside = [
        replace(item.what, position=place.first + position)
        for position, item in enumerate(contents)
        if isinstance(item.what, Reject)
    ]
    fresh = await rejects.store(
        conn,
        (collection, place.stream),
        set_aside,
        run=place.run,
        window=place.window,
        now=place.now,
    )
    return Written(
        received=len(contents),
        new=len(stored.new),
        changed=len(stored.changed),
        rejected=len(set_aside),
        doubles=named - len(last),
        new_rejects=tuple((row["reason"], row["position"], row["message"]) for row in fresh),
    )


def _stale(contents: Contents) -> list[str]:
    return [item.control_number for item in contents if item.stale]


async def _fitting(conn: Connection, collection: int, item: Item, place: Place) -> Item:
    """Try to store a record, in a savepoint that is rolled back; what can't be is a reject."""
    if not isinstance(item.what, Record):
        return item
    trial = conn.transaction()
    await trial.start()
    try:
        await records.store(
            conn, collection, [item.what], asked=place.asked, run=place.run, now=place.now
        )
    except store.UNSTORABLE as error:
        cause = f"{type(error).__name__}, record {item.control_number[:100]!a}"
        why = sentence(Reason.UNREADABLE_RECORD, f"PostgreSQL can't hold it: {cause}")
        raw = item.raw
        reject = Reject(Reason.UNREADABLE_RECORD, why, raw.data, marc.identity(raw), raw.position)
        return Item(raw, reject, "")
    finally:
        await trial.rollback()
    return item
