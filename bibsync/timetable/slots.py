"""Slots of schedules: which is due, which comes next. Pure; the present comes in as `now`."""

from collections.abc import Iterable
from datetime import datetime

from bibsync.store.schedules import Row


def due_slot(row: Row, now: datetime) -> datetime | None:
    """Return the latest slot that came and hasn't fired, None where there is none."""
    if not row.terms.enabled:
        return None
    slot = row.terms.timing.latest(now)
    return slot if slot is not None and slot > row.past else None


def next_slot(row: Row, now: datetime) -> datetime | None:
    """Return when the schedule is due next, None where it is disabled or never is."""
    if not row.terms.enabled:
        return None
    return next(row.terms.timing.following(max(now, row.past)), None)


def pending(row: Row, now: datetime) -> datetime | None:
    """Return the slot that fires next: a past one where it is due and no replica was there."""
    return due_slot(row, now) or next_slot(row, now)


def next_due(rows: Iterable[Row], now: datetime, *, job: str, collection: str) -> datetime | None:
    """Return when a collection is due next for a job, None where no schedule has it."""
    slots = [
        slot
        for row in rows
        if row.terms.job == job and collection in (row.terms.collections or (collection,))
        if (slot := pending(row, now)) is not None
    ]
    return min(slots, default=None)
