"""How everything stands, and the three views that Flower has: active, scheduled, registered."""

from dataclasses import asdict
from typing import Any, Final

from bibsync import lease, status, timetable
from bibsync.jobs import JOBS
from bibsync.run import Tally, utc_text
from bibsync.store import collections, replicas, requests, schedules
from bibsync.web import requests as asked_for
from bibsync.web.route import Answer, Asked
from bibsync.web.served import Served

MOST: Final = 1000
"""Requests that a view shows: those that come first."""


async def show(asked: Asked) -> Answer:
    """Answer how every collection stands, as `status --json` does."""
    tables = await status.read(asked.conn)
    return Answer(status.document(tables, asked.daemon.config.collections, now=asked.now))


async def serving(asked: Asked) -> Answer:
    """Answer which replicas serve, and how each is."""
    rows = await replicas.seen(asked.conn)
    return Answer({"replicas": [replicas.document(row) for row in rows]})


async def active(asked: Asked) -> Answer:
    """Answer what is being done, by all replicas, and who holds what.

    `counts` are those of this replica's work only: others' stand in their answers.
    """
    rows = await requests.listed(asked.conn, ["running"], limit=MOST)
    held = await lease.alive(asked.conn)
    names = {row.number: row.name for row in await collections.all_rows(asked.conn)}
    return Answer(
        {
            "requests": [
                asked_for.document(row) | {"counts": _counts(asked.daemon, row["request"])}
                for row in rows
            ],
            "leases": [
                {
                    "collection": names.get(number),
                    "stream": stream,
                    "holder": each.holder.replica,
                    "since": utc_text(each.since),
                }
                for (number, stream), each in sorted(held.items())
            ],
        }
    )


async def scheduled(asked: Asked) -> Answer:
    """Answer what is to come: requests that wait, and when each schedule is due."""
    rows = await schedules.all_rows(asked.conn)
    waiting = await requests.listed(asked.conn, ["waiting"], limit=MOST)
    words = ("name", "job", "enabled", "timezone", "words", "next_due", "next_times")
    return Answer(
        {
            "requests": [asked_for.document(row) for row in waiting],
            "schedules": [
                {word: each[word] for word in words}
                for each in timetable.documents(rows, asked.now)
            ],
        }
    )


async def registered(_: Served) -> Answer:
    """Answer which jobs there are."""
    return Answer(
        {
            "jobs": [
                {"job": name, "words": job.words, "of_each": job.of_each}
                for name, job in JOBS.items()
            ]
        }
    )


def _counts(daemon: Served, request: int) -> dict[str, Any] | None:
    """Return what a request that this replica carries out has counted so far, by stream."""
    held = daemon.dispatch.held.get(request) if daemon.dispatch else None
    if held is None:
        return None
    return {stream: _counted(tally) for stream, tally in held.task.tallies.items()}


def _counted(tally: Tally) -> dict[str, Any]:
    whole = {name: value for name, value in asdict(tally).items() if isinstance(value, int)}
    return whole | {"share": round(tally.share, 3)}
