"""What was asked for: what became of it, and its cancellation."""

from typing import Any

import orjson

from bibsync.errors import NotFound
from bibsync.run import utc_text
from bibsync.store import Connection, requests
from bibsync.web.problems import ENDED, Refused
from bibsync.web.route import Answer, Asked, number


async def show(asked: Asked) -> Answer:
    """Answer how a request stands."""
    return Answer(await _one(asked.conn, number(asked.path["id"], "request")))


async def cancel(asked: Asked) -> Answer:
    """Cancel a request that waits; have one that runs stopped, which takes a moment: 202."""
    which = number(asked.path["id"], "request")
    state = await requests.cancel(asked.conn, which)
    now = await _one(asked.conn, which)
    if state is None:
        raise Refused(ENDED, f"Request {which} has ended already.", more={"request": now})
    return Answer(now, 202 if state == "running" else 200)


async def accepted(conn: Connection, which: int) -> Answer:
    """Answer that a request is accepted, and where to look what becomes of it."""
    return Answer(await _one(conn, which), 202, location_of(which))


def location_of(which: int) -> str:
    """Return where a request is shown."""
    return f"/v1/requests/{which}"


def document(row: Any) -> dict[str, Any]:
    """Return what is told of a request."""
    return {
        "id": row["request"],
        "job": row["job"],
        "collection": row["name"],
        "state": row["state"],
        "outcome": row["outcome"],
        "trigger": row["trigger"],
        "requested_by": row["requested_by"],
        "requested_at": utc_text(row["requested_at"]),
        "since": utc_text(row["since"]),
        "until": utc_text(row["until"]),
        "force_reimport": row["force_reimport"],
        "due_at": utc_text(row["due_at"]),
        "expires_at": utc_text(row["expires_at"]),
        "attempts": row["attempts"],
        "replica": row["replica"],
        "cancel_asked": row["cancel_asked"],
        "started": utc_text(row["started"]),
        "finished": utc_text(row["finished"]),
        "run": row["run"],
        "problem": orjson.loads(row["problem"]) if row["problem"] else None,
        "result": orjson.loads(row["result"]) if row["result"] else None,
    }


async def _one(conn: Connection, which: int) -> dict[str, Any]:
    row = await requests.one(conn, which)
    if row is None:
        raise NotFound(
            f"There is no request {which}.", remedy="Those that ended are kept for a while only."
        )
    return document(row)
