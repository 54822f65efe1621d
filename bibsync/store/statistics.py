"""Table statistics: the newest count of everything, kept because counting takes a while."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from bibsync.store import Connection

KEEP = """
insert into statistics as s (made_at, document) values ($1, $2)
on conflict (only_one) do update set made_at = excluded.made_at, document = excluded.document
where s.made_at <= excluded.made_at
"""
NEWEST = "select document from statistics"


async def keep(conn: Connection, document: Mapping[str, Any]) -> None:
    """Keep a document in place of the one that is kept, unless that one is newer."""
    made_at = datetime.fromisoformat(document["made_at"])
    await conn.execute(KEEP, made_at, orjson.dumps(document).decode())


async def newest(conn: Connection) -> dict[str, Any] | None:
    """Return the document that is kept, None where none was ever made."""
    kept = await conn.fetchval(NEWEST)
    document: dict[str, Any] | None = orjson.loads(kept) if kept else None
    return document
