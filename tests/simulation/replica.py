"""A replica: one process of bibsync in the simulated world, which may be stopped at any step.

A step is one resumption of any of its tasks. Before a given step it is

- cancelled, as by SIGTERM: its run ends in its own way;
- paused, as by SIGSTOP or a suspended machine: no task of it goes on before the pause is over; its
  time-outs and its boot clock run on, and the server ends a session that is silent for too long;
- crashed, as by SIGKILL: its connections are cut and none of its tasks does anything again. Each
  has Crashed thrown in instead of every answer, so what it would clean up reaches nobody.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bibsync.ask import Breakers
from bibsync.collection import Collection
from bibsync.harvest import Means, harvest
from bibsync.lease import Leases, PostgresLeases
from bibsync.run import Order, Summary, Tally
from bibsync.source import Permit, Source
from tests.simulation.database import Database, SimulatedPool
from tests.simulation.loop import HOST, Task

Work = Coroutine[Any, Any, Any]
TTL = timedelta(seconds=30)


class Crashed(BaseException):
    """The process that this runs in is gone."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to a replica before a step of its run: `seconds` are a pause's."""

    step: int
    kind: str
    seconds: float = 0.0


class GrantingAll:
    """A lease back end that lost its mind: everybody gets the lease, nobody loses it."""

    async def take(self, *_: object, **__: object) -> None:
        """Grant it."""

    async def renew(self, *_: object, **__: object) -> bool:
        return True

    async def release(self, *_: object, **__: object) -> None:
        """Forget nothing, as nothing is known."""


@dataclass(eq=False)
class Replica:
    """One process, from its start until it crashes.

    `seconds` are true ones, of the loop; the wall clock is wrong by `skew_s`.
    """

    name: str
    database: Database
    source: Callable[["Replica", Collection, Permit], Source]
    random: Random
    true: Callable[[], datetime]
    skew_s: float = 0.0
    breakers: Breakers = field(default_factory=Breakers)
    steps: int = 0
    crashed: bool = False
    fired: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.pool = SimulatedPool(self.database, self.name)
        self._awake_from = 0.0
        self._blows: list[Blow] = []
        self.tasks: list[Task] = []
        self._root: asyncio.Task[Any] | None = None

    def now(self) -> datetime:
        """Read the replica's wall clock."""
        return self.true() + timedelta(seconds=self.skew_s)

    def start(
        self,
        collection: Collection,
        number: int,
        order: Order,
        *,
        blows: list[Blow],
        wait_lock: timedelta,
        leases: Leases | None = None,
    ) -> "asyncio.Task[Summary | None]":
        """Start a run; None comes of it where the replica crashes."""
        loop = asyncio.get_running_loop()
        means = Means(
            pool=self.pool,
            leases=leases or PostgresLeases(self.pool),
            source=lambda each, permit: self.source(self, each, permit),
            lease_ttl=TTL,
            wait_lock=wait_lock,
            breakers=self.breakers,
            now=self.now,
            clock=loop.time,
            random=self.random,
        )
        self._blows = sorted(blows, key=lambda blow: blow.step)
        self.steps = 0
        work = harvest(collection, number, order, means, tally=Tally())
        context = contextvars.copy_context()
        context.run(HOST.set, self)
        self._root = context.run(loop.create_task, work, name=f"run of {self.name}")
        return self._root

    def hosted(self, work: Work) -> Work:
        """Return the work of a task, which goes on as long as this process lives."""
        return _Hosted(work, self)

    def step(self) -> None:
        """Count a step; what is to happen before it happens."""
        self.steps += 1
        while self._blows and self._blows[0].step <= self.steps:
            self._strike(self._blows.pop(0))

    def paused(self) -> "asyncio.Future[None] | None":
        """Return what ends with the pause; None where there is none."""
        loop = asyncio.get_running_loop()
        if self.crashed or loop.time() >= self._awake_from:
            return None
        over = loop.create_future()
        loop.call_at(self._awake_from, _end, over)
        return over

    def crash(self) -> None:
        """Be gone."""
        self.crashed = True
        self.pool.end(ConnectionResetError("the process is gone"))
        self._blows.clear()
        for task in self.tasks:
            task.cancel()

    def _strike(self, blow: Blow) -> None:
        self.fired(blow.kind)
        match blow.kind:
            case "crash":
                self.crash()
            case "cancellation":
                assert self._root is not None
                self._root.cancel()
            case "pause":
                self._awake_from = asyncio.get_running_loop().time() + blow.seconds
                for session in self.pool.sessions:
                    session.pause(blow.seconds)


class _Hosted(Coroutine[Any, Any, Any]):
    """Work of a task that goes on only while its replica does."""

    def __init__(self, work: Work, replica: Replica) -> None:
        self._work = work
        self._replica = replica
        self._steps = self._go()
        self._begun = False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps

    def send(self, value: Any) -> Any:
        self._begun = True
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        if not self._begun:
            self._work.close()
        return self._steps.throw(*error)

    def close(self) -> None:
        self._work.close()
        self._steps.close()

    def _go(self) -> Generator[Any, Any, Any]:
        replica, resume, value = self._replica, self._work.send, None
        while True:
            replica.step()
            while over := replica.paused():
                try:
                    yield from over
                except asyncio.CancelledError as error:
                    resume, value = self._work.throw, error
            if replica.crashed:
                resume, value = self._work.throw, Crashed()
            try:
                waiting = resume(value)
            except StopIteration as done:
                return done.value
            except Crashed:
                return None
            if replica.crashed:
                continue
            try:
                value = yield waiting
                resume = self._work.send
            except BaseException as error:  # noqa: BLE001 - the work decides what it means
                value, resume = error, self._work.throw


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
