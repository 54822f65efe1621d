"""Schedules as people and programs are shown them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from bibsync.config import Config
from bibsync.run import utc_text
from bibsync.settings import values
from bibsync.store.schedules import TERMS, Row, Terms
from bibsync.timetable.slots import pending
from bibsync.timetable.terms import configured

SHOWN = 5
"""How many of the next times are shown."""


def expected(rows: Iterable[Row], config: Config, now: datetime) -> list[Row]:
    """Return the schedules by name, and with them those that a daemon would make from now on."""
    made = {
        name: Row(
            name=name,
            terms=terms,
            configured=orjson.loads(terms.written),
            edited_at=None,
            edited_by=None,
            version=0,
            counted_from=now,
            last_slot=None,
            last_fired=None,
            last_outcome=None,
        )
        for name, terms in configured(config).items()
    }
    each = made | {row.name: row for row in rows}
    return [each[name] for name in sorted(each)]


def documents(rows: Iterable[Row], now: datetime) -> list[dict[str, Any]]:
    """Return what `schedule list --json` says of each."""
    return [_document(row, now) for row in rows]


def _document(row: Row, now: datetime) -> dict[str, Any]:
    terms, edited = row.terms, row.edited_at is not None
    begin = max(now, row.past)
    times = list(islice(terms.timing.following(begin), SHOWN)) if terms.enabled else []
    return {
        "name": row.name,
        **_told(terms),
        "words": terms.timing.words,
        "next_due": utc_text(pending(row, now)),
        "next_times": [utc_text(each) for each in times],
        "last_fired": utc_text(row.last_fired),
        "last_outcome": row.last_outcome,
        "origin": "edited" if edited else "config",
        "in_configuration": row.configured is not None,
        "edited_at": utc_text(row.edited_at),
        "edited_by": row.edited_by,
        "configured": _difference(row) if edited else None,
    }


def _told(terms: Terms) -> dict[str, Any]:
    return {
        "job": terms.job,
        "cron": terms.cron,
        "at": utc_text(terms.once_at),
        "timezone": terms.timezone,
        "enabled": terms.enabled,
        "expires": values.shown(terms.expires) if terms.expires else None,
        "jitter": values.shown(terms.jitter),
        "catch_up": terms.catch_up,
        "retries": terms.retries,
        "retry_delay": values.shown(terms.retry_delay),
        "keep_results": values.shown(terms.keep_results),
        "collections": list(terms.collections),
    }


def _difference(row: Row) -> dict[str, Any]:
    """Return what is configured, of what was edited; empty where nothing is.

    What is kept was written by another process, perhaps of another version: it is shown as it is.
    """
    if row.configured is None:
        return {}
    ours = orjson.loads(row.terms.written)
    configured = {name: row.configured.get(name) for name in TERMS}
    lengths = {"expires", "jitter", "retry_delay", "keep_results"}
    return {
        "at" if name == "once_at" else name: _length(value) if name in lengths else value
        for name, value in configured.items()
        if value != ours[name]
    }


def _length(seconds: float | None) -> str | None:
    return None if seconds is None else values.shown(timedelta(seconds=seconds))
