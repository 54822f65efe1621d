"""Cancellations that must not get lost.

Before Python 3.13 a task group forgets one that comes together with an error; before Python 3.12
`asyncio.wait_for`, by which asyncpg and redis wait, drops one that comes together with its result.
Work that went on then would do so after its lease was lost, or after it was told to stop.
"""

import asyncio


def count() -> int:
    """Return how many cancellations the current task was asked for and hasn't taken back."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def go_on(since: int = 0) -> None:
    """Go on with a cancellation that came after there were `since`.

    It counts right only where a block that has task groups or time-outs in it waits for its tasks
    itself, as every block here does.
    """
    if count() > since:
        raise asyncio.CancelledError
