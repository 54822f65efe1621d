"""Cancelling a task at an exact step of its own or of any task that it started.

Wall time decides nothing: every resumption of every task is one step, and the task is cancelled
when the given number of them has been made. What the database answers first may still differ from
run to run, so a step is a place in the work, not a fixed line of it.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Steps:
    """Counts the steps of all tasks that are started while it is in force."""

    def __init__(self) -> None:
        self.made = 0
        self._last: int | None = None
        self._target: asyncio.Task[Any] | None = None

    async def cancelled_after(self, steps: int | None, work: Coroutine[Any, Any, Any]) -> bool:
        """Run `work`, cancel it at that step (None: never) and tell whether it was cut short."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()
        self.made, self._last = 0, steps
        loop.set_task_factory(self._task)
        try:
            self._target = loop.create_task(work)
        finally:
            inner = self._target
        try:
            await asyncio.wait([inner])
        finally:
            loop.set_task_factory(before)
        if inner.cancelled():
            return True
        inner.result()
        return False

    def _task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(self._counted(work), loop=loop, **options)

    async def _counted(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await _Stepped(work, self._step)

    def _step(self) -> None:
        self.made += 1
        if self.made == self._last and self._target is not None:
            self._target.cancel()


class _Stepped:
    """Drives a coroutine and calls `step` whenever it is resumed."""

    def __init__(self, work: Coroutine[Any, Any, Any], step: Any) -> None:
        self._work = work
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Any = lambda: self._work.send(None)  # noqa: E731
        while True:
            self._step()
            try:
                waiting = resume()
            except StopIteration as done:
                return done.value
            try:
                value = yield waiting
                resume = lambda value=value: self._work.send(value)  # noqa: E731
            except BaseException as error:  # noqa: BLE001
                resume = lambda error=error: self._work.throw(error)  # noqa: E731
