"""Cleanup: what is older than it has to be kept is deleted; what is in force never is.

Each batch is a short transaction of its own, so that no row stays locked for long and a cleanup
may be stopped anywhere: the next one goes on. What may go and what stays, however old, is told in
`store.leftovers`. "Older" is measured by the database's clock: one machine whose clock is years
ahead would otherwise delete all history.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bibsync import store
from bibsync.run import utc_text
from bibsync.store import Pool, collections, leftovers
from bibsync.store.leftovers import LEFTOVERS, Leftover

SCHEMA = "bibsync.cleanup/1"
BATCH = 500
KEYS_KEPT = timedelta(days=1)
REPLICAS_KEPT = timedelta(days=7)
"""A replica says every few seconds that it is there."""


async def clean(
    pool: Pool, days_to_keep: int, *, dry_run: bool = False, batch: int = BATCH
) -> dict[str, Any]:
    """Delete what is older than `days_to_keep` days and no longer needed; the job `cleanup`.

    Results of requests, idempotency keys and replicas have times of their own. With `dry_run` the
    rows are counted and nothing is written. The `counts` of the document are of deleted rows; of
    `results`, which are emptied, their rows stay.
    """
    async with store.acquire(pool) as conn:
        now = await store.clock(conn)
    since = now - timedelta(days=days_to_keep)
    if not dry_run:
        async with store.acquire(pool) as conn, conn.transaction():
            await collections.keep_since(conn, since)
    limits = _limits(now)
    counts = {
        name: await _swept(pool, kind, limits.get(name, since), dry_run=dry_run, batch=batch)
        for name, kind in LEFTOVERS.items()
    }
    return {
        "schema": SCHEMA,
        "days_to_keep": days_to_keep,
        "kept_since": utc_text(since),
        "dry_run": dry_run,
        "counts": counts,
    }


def _limits(now: datetime) -> Mapping[str, datetime]:
    """Return up to when those go that have a time of their own."""
    return {
        "results": now,
        "idempotency_keys": now - KEYS_KEPT,
        "replicas": now - REPLICAS_KEPT,
    }


async def _swept(pool: Pool, kind: Leftover, before: datetime, *, dry_run: bool, batch: int) -> int:
    """Go through one kind of leftovers in the order of their keys; return how many there were."""
    count, after = 0, kind.first
    while True:
        async with store.acquire(pool) as conn, conn.transaction():
            keys = await leftovers.stale(conn, kind, before, after=after, limit=batch)
            if not keys:
                return count
            count += len(keys) if dry_run else await leftovers.remove(conn, kind, before, keys)
        after = keys[-1]
