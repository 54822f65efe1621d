"""Table idempotency_keys: answers that are given again to whoever sends the same key.

An answer is kept in the transaction that made the change, under `LOCK`: whoever sends a key while
its first request is under way waits for that to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from bibsync.store import Connection

LOCK = "select pg_advisory_xact_lock(hashtext('bibsync.idempotency_keys'), hashtext($1))"
KEPT = """
select digest, status, location, body from idempotency_keys
where key = $1 and kept_since > clock_timestamp() - $2::interval
"""
KEEP = """
insert into idempotency_keys (key, digest, status, location, body, kept_since)
values ($1, $2, $3, $4, $5::text::json, clock_timestamp())
on conflict (key) do update
set digest = excluded.digest, status = excluded.status, location = excluded.location,
    body = excluded.body, kept_since = excluded.kept_since
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and the digest of the request that it answered."""

    digest: bytes
    status: int
    location: str | None
    document: Mapping[str, Any]


async def kept(conn: Connection, key: str, *, within: timedelta) -> Kept | None:
    """Return what was answered to that key, inside one transaction; None: nothing `within` that."""
    await conn.execute(LOCK, key)
    row = await conn.fetchrow(KEPT, key, within)
    if row is None:
        return None
    return Kept(row["digest"], row["status"], row["location"], orjson.loads(row["body"]))


async def keep(conn: Connection, key: str, answer: Kept) -> None:
    """Keep an answer; one to the same key that is too old is replaced."""
    written = orjson.dumps(answer.document).decode()
    await conn.execute(KEEP, key, answer.digest, answer.status, answer.location, written)
