"""Table replicas: the processes that serve, as they last said of themselves."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from bibsync.run import utc_text
from bibsync.store import Connection

SAY = """
insert into replicas (
    replica, version, started, seen, configured_at, config_problem, redis_lost, loop_lag_s
)
values ($1, $2, $3, clock_timestamp(), $4, $5::text::json, $6, $7)
on conflict (replica) do update
set version = excluded.version, started = excluded.started, seen = excluded.seen,
    configured_at = excluded.configured_at, config_problem = excluded.config_problem,
    redis_lost = excluded.redis_lost, loop_lag_s = excluded.loop_lag_s
"""
LEAVE = "delete from replicas where replica = $1"
SEEN = """
select * from replicas where seen > clock_timestamp() - $1::interval order by replica
"""

GONE_AFTER = timedelta(seconds=60)
"""Who has said nothing for so long is gone."""


async def say(
    conn: Connection,
    replica: str,
    *,
    version: str,
    started: datetime,
    configured_at: datetime,
    config_problem: Mapping[str, object] | None,
    redis_lost: bool,
    loop_lag_s: float,
) -> None:
    """Say that this process serves, and how it is."""
    problem = orjson.dumps(config_problem).decode() if config_problem else None
    await conn.execute(
        SAY, replica, version, started, configured_at, problem, redis_lost, loop_lag_s
    )


async def leave(conn: Connection, replica: str) -> None:
    """Say that this process serves no longer."""
    await conn.execute(LEAVE, replica)


def document(row: Any) -> dict[str, Any]:
    """Return what status says of a process that serves."""
    return {
        "replica": row["replica"],
        "version": row["version"],
        "started": utc_text(row["started"]),
        "seen": utc_text(row["seen"]),
        "configured_at": utc_text(row["configured_at"]),
        "config_problem": orjson.loads(row["config_problem"]) if row["config_problem"] else None,
        "redis_lost": row["redis_lost"],
        "loop_lag_s": round(row["loop_lag_s"], 3),
    }


async def seen(conn: Connection) -> list[Any]:
    """Return the processes that serve."""
    rows: list[Any] = await conn.fetch(SEEN, GONE_AFTER)
    return rows
