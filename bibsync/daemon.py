"""The daemon: one process that keeps every collection in step, on any number of hosts.

    configuration ─► side tasks: web, watchdog, lag ─► ready for systemd
                  └► database, Redis (waited for) ─► enrol, seed ─► rounds:
                         timetable ─ dispatch ─ its heartbeat ─ this replica's word ─ reload

Promises: it starts while PostgreSQL or Redis is away, and works when they are there. A reload swaps
one frozen configuration for another, or none of it: a bad one leaves what is in force, and says so.
Stopping is cancellation: what is in flight commits or rolls back, what was begun is given back,
leases are freed, all within `drain`. A defect in any task ends the process: whoever supervises it
starts it anew.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from bibsync import __version__, at_work, dump, events, lag, lease, replicas, store
from bibsync.at_work import AtWork, Word
from bibsync.config import Config, reloaded
from bibsync.dispatch import Dispatch
from bibsync.errors import (
    BibsyncError,
    ConfigInvalid,
    RedisUnavailable,
    SchemaUnfit,
    StoreUnavailable,
    first_of,
)
from bibsync.harvest import Means
from bibsync.metrics import Metrics
from bibsync.notify import Bell
from bibsync.rounds import Database, Reached
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.systemd import Supervisor

CONNECT_AGAIN_S = (0.5, 1.0, 2.0, 5.0)
HALT_S = 30.0
"""How long the embedded PostgreSQL may take to halt, after all else has stopped."""
AWAY: tuple[type[BaseException], ...] = (
    StoreUnavailable,
    RedisUnavailable,
    *store.DISCONNECTED,
)
"""What says at the start that database or Redis are away: they are waited for."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the daemon is given: the configuration anew, the database, who supervises it.

    `load` raises ConfigInvalid; `reach` connects for the length of a block, and brings the schema
    up to date.
    """

    load: Callable[[], Config]
    reach: Callable[[Config], AbstractAsyncContextManager[Reached]]
    supervisor: Supervisor
    metrics: Metrics


class Stop(Exception):
    """The process was asked to stop."""


Side = Callable[["Daemon"], AbstractAsyncContextManager[None]]
"""What goes on beside the work for the length of a block; it raises where it can't begin."""


@dataclass(slots=True)
class Daemon:
    """The process, as its side tasks see it: what is in force, and what is reached by now."""

    config: Config
    outside: Outside
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    configured_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    config_problem: dict[str, Any] | None = None
    loop_lag_s: float = 0.0
    at_work: AtWork | None = None
    bell: Bell = field(default_factory=Bell)
    stopping: bool = False
    replica: str = field(default_factory=lambda: lease.this_process().replica)
    _reload: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether the database answers, its schema is current, and Redis was reached once."""
        return self.at_work is not None and not self.at_work.database.lost

    @property
    def database(self) -> Database | None:
        """The database that was reached, which may be lost again."""
        return self.at_work.database if self.at_work else None

    @property
    def dispatch(self) -> Dispatch | None:
        """What this replica carries out, once it can."""
        return self.at_work.dispatch if self.at_work else None

    @property
    def redis_lost(self) -> bool:
        """Whether a Redis is configured and doesn't answer now."""
        return self.at_work is not None and self.at_work.redis_lost

    def reload(self) -> None:
        """Ask for the configuration to be read again."""
        self._reload.set()

    def stop(self) -> None:
        """Ask for the end."""
        self._stop.set()

    async def serve(self, sides: Sequence["Side"]) -> None:
        """Serve until asked to stop; `sides` are there all the time, whatever is reached.

        Raises:
            SchemaUnfit: the database is newer than this program, or may not be brought up to date.
            ConfigInvalid: a collection means another library than the database knows by its name.
        """
        self._hear_signals()
        supervisor = self.outside.supervisor
        log.info(events.DAEMON_STARTED, version=__version__, replica=self.replica)
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for side in sides:
                    await stack.enter_async_context(side(self))
                group.create_task(supervisor.beat(), name="watchdog")
                group.create_task(lag.watch(self._lagged), name="lag")
                group.create_task(self._work(), name="work")
                group.create_task(self._reload_when_asked(), name="reload")
                group.create_task(self._end_when_asked(), name="end")
                self._tell_supervisor(ready=True)
        except BaseExceptionGroup as failed:
            if not (self.stopping and _is_stop(failed)):
                raise _told(first_of(failed)) from None
        log.info(events.DAEMON_STOPPED)

    async def _work(self) -> None:
        """Reach the database and Redis, however long that takes, then make rounds."""
        waits = iter(CONNECT_AGAIN_S)
        said: str | None = None
        while True:
            try:
                async with self._reached() as working:
                    await working.make_rounds()
            except SchemaUnfit:
                raise
            except AWAY as failed:
                away = failed if isinstance(failed, BibsyncError) else store.unavailable(failed)
                if away.message != said:
                    said = away.message
                    self._tell_waiting(away)
                with suppress(TimeoutError):
                    async with asyncio.timeout(next(waits, CONNECT_AGAIN_S[-1])):
                        await self._reload.wait()

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[AtWork]:
        """Reach database and Redis for the length of a block."""
        config, metrics = self.config, self.outside.metrics
        async with (
            self.outside.reach(config) as reached,
            replicas.coordinated(
                config.redis.url, reached.pool, ttl=config.daemon.lease_ttl
            ) as coordination,
            Hosts(shared=coordination.turns, took=metrics.took) as hosts,
        ):
            metrics.follow(reached.pool, coordination.redis)
            leases = lease.Counted(coordination.leases, metrics.held)
            means = Means(
                pool=reached.pool,
                leases=leases,
                source=lambda each, permit: open_source(each, hosts, permit),
                lease_ttl=config.daemon.lease_ttl,
                witness=metrics,
            )
            duty = await at_work.enrolled(config, means, by=self.replica)
            while config is not self.config:  # it was reloaded meanwhile
                config = self.config
                duty = await at_work.enrolled(config, means, by=self.replica)
            database = Database(reached)
            self.at_work = AtWork(
                name=self.replica,
                database=database,
                coordination=coordination,
                leases=leases,
                dispatch=Dispatch(database, duty, heard=self.bell.run_ended, begun=metrics.fired),
                metrics=metrics,
                bell=self.bell,
                word=self._word,
            )
            self._tell_supervisor()
            try:
                yield self.at_work
            finally:
                self.at_work = None

    async def _reload_when_asked(self) -> None:
        """Read the configuration again each time that is asked, once for many askings at a time."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            self.outside.supervisor.reloading()
            try:
                config = await asyncio.to_thread(self.outside.load)
                await self._take_up(config)
            except ConfigInvalid as error:
                self._refuse(error)
            self._tell_supervisor(ready=True)
            if self.at_work:
                self.at_work.changed.set()

    async def _take_up(self, config: Config) -> None:
        """Go by another configuration, as far as that can be without a restart."""
        config, kept = reloaded(self.config, config)
        if kept:
            log.warning(events.CONFIG_NEEDS_RESTART, settings=kept)
        stopped = await self.at_work.take_up(config) if self.at_work else []
        self.config = config
        self.config_problem, self.configured_at = None, datetime.now(UTC)
        events.configure(config.log.level, config.log.format)
        self.outside.metrics.reloaded(successful=True)
        log.info(events.CONFIG_RELOADED, collections=len(config.collections), begun_anew=stopped)

    def _refuse(self, error: ConfigInvalid) -> None:
        """Keep what is in force, and say why."""
        self.config_problem = error.problem.as_json() | {"problems": list(error.problems)}
        self.outside.metrics.reloaded(successful=False)
        log.error(events.CONFIG_REFUSED, problems=list(error.problems), remedy=error.remedy)

    async def _end_when_asked(self) -> None:
        await self._stop.wait()
        self.stopping = True
        drain_s = self.config.daemon.drain.total_seconds()
        self.outside.supervisor.stopping(within_s=drain_s + HALT_S)
        log.info(events.DAEMON_STOPPING, within_s=drain_s)
        asyncio.get_running_loop().call_later(drain_s, _give_up)
        raise Stop

    def _lagged(self, late_s: float) -> None:
        self.loop_lag_s = max(self.loop_lag_s, late_s)
        self.outside.metrics.lagged(late_s)

    def _word(self) -> Word:
        """Say how the process is, and how its loop has lagged since this was asked last."""
        self._tell_supervisor()
        lag_s, self.loop_lag_s = self.loop_lag_s, 0.0
        return Word(
            started=self.started,
            configured_at=self.configured_at,
            config_problem=self.config_problem,
            loop_lag_s=lag_s,
        )

    def _tell_waiting(self, error: BibsyncError) -> None:
        log.error(events.DAEMON_WAITING, problem=error.problem.as_json())
        self.outside.supervisor.status(f"Waiting: {error.message}")

    def _tell_supervisor(self, *, ready: bool = False) -> None:
        supervisor = self.outside.supervisor
        dispatch = self.dispatch
        if dispatch is None:
            status = "Waiting for the database"
        else:
            status = f"{len(dispatch.held)} at work, {len(dispatch.duty.numbers)} collections"
        if self.config_problem:
            status += "; the configuration was refused, the one before is in force"
        supervisor.ready(status) if ready else supervisor.status(status)

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        loop.add_signal_handler(signal.SIGUSR1, self.dump)

    def dump(self) -> None:
        """Write what runs now to the log."""
        working = self.at_work
        held = working.dispatch.held.values() if working else ()
        keys = working.leases.held if working else []
        log.info(events.DAEMON_DUMPED, **dump.taken([each.task for each in held], keys))


def _told(error: BaseException) -> BaseException:
    """Tell of a defect that ends the process, with its traceback; return it."""
    if isinstance(error, Exception) and not isinstance(error, BibsyncError):
        log.critical(events.DAEMON_CRASHED, exc_info=error)
    return error


def _is_stop(failed: BaseExceptionGroup[BaseException]) -> bool:
    """Tell whether nothing but the stop ended the group, and servers that went away meanwhile."""
    _, rest = failed.split((Stop, BibsyncError, *store.DISCONNECTED))
    return rest is None


def _give_up() -> None:
    """End at once: what was not finished by now is another replica's to go on with."""
    log.error(events.DAEMON_STOPPED, because="drain is over; what was left is gone on with later")
    sys.stderr.flush()
    os._exit(0)
