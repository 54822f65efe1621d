"""What runs now, for the log: tasks and where they wait, requests, leases, memory if traced."""

import asyncio
import tracemalloc
from collections.abc import Iterable
from typing import Any

from bibsync.jobs import Task
from bibsync.lease import Key

MOST_LINES = 20


def taken(tasks: Iterable[Task], leases: Iterable[Key]) -> dict[str, Any]:
    """Return the fields of the event; `memory` is None where PYTHONTRACEMALLOC isn't set."""
    return {
        "tasks": sorted(_where(each) for each in asyncio.all_tasks()),
        "requests": [_told(each) for each in tasks],
        "leases": [{"collection": number, "stream": stream} for number, stream in leases],
        "memory": _memory(),
    }


def _where(task: asyncio.Task[Any]) -> str:
    """Name a task and the function and line that it waits in."""
    frames = task.get_stack(limit=1)
    if not frames:
        return task.get_name()
    code = frames[0].f_code
    return f"{task.get_name()}: {code.co_name} at line {frames[0].f_lineno}"


def _told(task: Task) -> dict[str, Any]:
    return {
        "request": task.row["request"],
        "job": task.row["job"],
        "collection": task.collection.name if task.collection else None,
        "tallies": {
            stream: {"received": tally.received, "requests": tally.requests}
            for stream, tally in task.tallies.items()
        },
    }


def _memory() -> list[str] | None:
    if not tracemalloc.is_tracing():
        return None
    statistics = tracemalloc.take_snapshot().statistics("lineno")
    return [str(each) for each in statistics[:MOST_LINES]]
