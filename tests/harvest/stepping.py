"""Cancelling a task at an exact step of its own or of any task that it started.

Wall time decides nothing: every resumption of every task is one step, and the task is cancelled
when the given number of them was made. In which order the database answers two connections may
differ from run to run, so a step is a place in the work, not a line of it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Work = Coroutine[Any, Any, Any]


class Steps:
    """Runs work, counts its steps in `made`, and may cut it short."""

    def __init__(self) -> None:
        self.made = 0
        self._last: int | None = None
        self._task: asyncio.Task[Any] | None = None

    async def run(self, work: Work, *, cancelled_at: int | None = None) -> Any:
        """Return what `work` returns; None where it was cancelled at that step."""
        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory()
        self.made, self._last = 0, cancelled_at
        loop.set_task_factory(self._counting)
        try:
            self._task = loop.create_task(work)
            await asyncio.wait([self._task])
        finally:
            loop.set_task_factory(factory)
        return None if self._task.cancelled() else self._task.result()

    def _counting(
        self, loop: asyncio.AbstractEventLoop, work: Work, **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(_counted(work, self._step), loop=loop, **options)

    def _step(self) -> None:
        self.made += 1
        if self.made == self._last and self._task is not None:
            self._task.cancel()


async def _counted(work: Work, step: Callable[[], None]) -> Any:
    return await _Counted(work, step)


class _Counted:
    """Work that calls `step` whenever it is resumed."""

    def __init__(self, work: Work, step: Callable[[], None]) -> None:
        self._work = work
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[[Any], Any] = self._work.send
        value: Any = None
        while True:
            self._step()
            try:
                waiting = resume(value)
            except StopIteration as done:
                return done.value
            try:
                value = yield waiting
                resume = self._work.send
            except BaseException as error:  # noqa: BLE001 - the work decides what it means
                value, resume = error, self._work.throw
