"""A loop whose time is virtual: when nothing can go on, the clock jumps to the next timer.

Nothing here waits, and nothing comes from outside: what happens next is said by what was started
and by the seed alone. So one seed is one history, and 64 days pass in no time. That it went on for
ever, or that nothing can ever happen again, is told as Stuck; no watch on the wall is needed.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from itertools import count
from typing import Any, Protocol

TURNS_AT_MOST = 500_000
"""A seed takes a few thousand turns of the loop; past this one it goes round in circles."""


class Stuck(Exception):
    """Nothing will ever happen again, or it never ends."""


class Host(Protocol):
    """What tasks belong to: it may stop them for a while, or for ever."""

    tasks: list["Task"]

    def hosted(self, work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Return the work as it is done there."""


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)
"""Where the current task runs; the tasks that it starts run there too."""


class Task(asyncio.Task[Any]):
    """A task with a number of its loop, so that a set of tasks has the same order each time."""

    def __init__(self, work: Coroutine[Any, Any, Any], number: int, **options: Any) -> None:
        self._number = number
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets, whose seconds begin at 0 and are counted by its timers."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        self._turns = 0
        self._numbers = count()
        self._clock_resolution = 1e-6
        self._selector = self
        self.set_task_factory(VirtualLoop._task)

    def time(self) -> float:
        return self._seconds

    def select(self, timeout: float | None) -> list[Any]:
        """Jump over the time in which nothing happens: BaseEventLoop waits for sockets here."""
        if timeout is None:
            raise Stuck("nothing will ever happen again: every task waits for another")
        self._turns += 1
        if self._turns > TURNS_AT_MOST:
            raise Stuck(f"it goes on after {self._turns} turns of the loop")
        self._seconds += timeout
        return []

    def _process_events(self, _: list[Any]) -> None:
        """Do nothing: no socket is watched."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes this loop."""

    def _task(self, work: Coroutine[Any, Any, Any], **options: Any) -> Task:
        host = HOST.get()
        if host is not None:
            work = host.hosted(work)
        task = Task(work, next(self._numbers), loop=self, **options)
        if host is not None:
            host.tasks.append(task)
        return task
