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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import structlog

from bibsync import (
    __version__,
    dump,
    events,
    lag,
    lease,
    notify,
    replicas,
    rounds,
    status,
    store,
    timetable,
)
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
from bibsync.jobs import Duty
from bibsync.metrics import Metrics
from bibsync.notify import Bell
from bibsync.replicas import Coordination
from bibsync.rounds import Database, Reached
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import collections, rejects, replicas as replica_rows, requests
from bibsync.systemd import Supervisor

SOON_S = 2.0
"""The longest wait before the timetable is looked at, so that edits act within 5 s."""
SAID_S = 5.0
STOOD_S = 60.0
"""How often the standing of all collections is read for the metrics; runs count by themselves."""
CONNECT_AGAIN_S = (0.5, 1.0, 2.0, 5.0)
LAST_WORD_S = 3.0
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
    database: Database | None = None
    coordination: Coordination | None = None
    leases: lease.Counted | None = None
    dispatch: Dispatch | None = None
    bell: Bell = field(default_factory=Bell)
    stopping: bool = False
    replica: str = field(default_factory=lambda: lease.this_process().replica)
    _reload: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether the database answers, its schema is current, and Redis was reached once."""
        return self.dispatch is not None and self.database is not None and not self.database.lost

    @property
    def redis_lost(self) -> bool:
        """Whether a Redis is configured and doesn't answer now."""
        redis = self.coordination.redis if self.coordination else None
        return redis is not None and redis.lost

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
                raise first_of(failed) from None
        log.info(events.DAEMON_STOPPED)

    async def _work(self) -> None:
        """Reach the database and Redis, however long that takes, then make rounds."""
        waits = iter(CONNECT_AGAIN_S)
        said: str | None = None
        while True:
            try:
                async with self._reached():
                    await self._make_rounds()
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
    async def _reached(self) -> AsyncIterator[None]:
        config, metrics = self.config, self.outside.metrics
        async with (
            self.outside.reach(config) as reached,
            replicas.coordinated(
                config.redis.url, reached.pool, ttl=config.daemon.lease_ttl
            ) as coordination,
            Hosts(shared=coordination.turns, took=metrics.took) as hosts,
        ):
            self.database = Database(reached)
            self.coordination = coordination
            self.leases = lease.Counted(coordination.leases, metrics.held)
            metrics.follow(reached.pool, coordination.redis)
            means = Means(
                pool=reached.pool,
                leases=self.leases,
                source=lambda each, permit: open_source(each, hosts, permit),
                lease_ttl=config.daemon.lease_ttl,
                witness=metrics,
            )
            duty = await self._enrolled(config, means)
            while config is not self.config:  # it was reloaded meanwhile
                config = self.config
                duty = await self._enrolled(config, means)
            self.dispatch = Dispatch(self.database, duty, heard=self.bell.run_ended)
            try:
                yield
            finally:
                self.dispatch = None

    async def _make_rounds(self) -> None:
        """Do what there is to do until cancelled."""
        database, dispatch = self.database, self.dispatch
        assert database is not None  # noqa: S101 - it was reached
        assert dispatch is not None  # noqa: S101 - the same
        log.info(events.DAEMON_READY, collections=len(dispatch.duty.numbers))
        self._tell_supervisor()
        try:
            async with asyncio.TaskGroup() as group:
                for name, act, woken in (
                    ("timetable", self._fire, None),
                    ("heartbeat", dispatch.keep, None),
                    ("word", self._say, None),
                    ("standing", self._stand, None),
                ):
                    group.create_task(rounds.go(database, act, woken=woken), name=name)
                told = notify.keep(
                    database.pool,
                    self.bell,
                    config=lambda: self.config,
                    random=Random(),  # noqa: S311 - for waits
                )
                group.create_task(told, name="notices")
                await dispatch.serve(
                    lambda: rounds.go(database, dispatch.look, woken=dispatch.woken)
                )
        except BaseExceptionGroup as failed:
            raise first_of(failed) from None
        finally:
            await self._leave(database)

    async def _fire(self) -> float:
        assert self.database is not None  # noqa: S101 - rounds are made where it was reached
        tick = await timetable.fire_due(self.database.pool, by=self.replica)
        for each in tick.fired:
            self.outside.metrics.fired(timedelta(seconds=each.late_s))
        if tick.fired and self.dispatch is not None:
            self.dispatch.woken.set()
        wait_s = SOON_S if tick.wait is None else tick.wait.total_seconds()
        return max(0.0, min(wait_s, SOON_S))

    async def _say(self) -> float:
        """Leave word of this replica for others to see."""
        assert self.database is not None  # noqa: S101 - rounds are made where it was reached
        async with store.acquire(self.database.pool) as conn:
            await replica_rows.say(
                conn,
                self.replica,
                version=__version__,
                started=self.started,
                configured_at=self.configured_at,
                config_problem=self.config_problem,
                redis_lost=self.redis_lost,
                loop_lag_s=self.loop_lag_s,
            )
        self.loop_lag_s = 0.0
        self._tell_supervisor()
        return SAID_S

    async def _stand(self) -> float:
        """Show in the metrics how everything stands."""
        assert self.database is not None  # noqa: S101 - rounds are made where it was reached
        async with store.acquire(self.database.pool) as conn:
            tables = await status.read(conn)
            open_ = await rejects.count_open_by_reason(conn)
        now, configured = datetime.now(UTC), self.config.collections
        document = status.document(tables, configured, now=now)
        self.outside.metrics.stand(document, configured, rejects=open_, now=now)
        return STOOD_S

    async def _leave(self, database: Database) -> None:
        with suppress(*store.DISCONNECTED):
            async with asyncio.timeout(LAST_WORD_S), store.acquire(database.pool) as conn:
                await replica_rows.leave(conn, self.replica)

    async def _enrolled(self, config: Config, means: Means) -> Duty:
        """Bring the tables in step with a configuration and return what to go by.

        Raises:
            ConfigInvalid: a collection means another library than before; nothing was changed.
        """
        async with store.acquire(means.pool) as conn, conn.transaction():
            numbers = await collections.enrol(conn, config.collections)
            await timetable.seed(conn, config)
            await requests.ask_never_succeeded(conn, [*numbers.values()], by=self.replica)
        return Duty(
            config=config,
            numbers={numbers[each.name]: each for each in config.collections},
            means=replace(means, lease_ttl=config.daemon.lease_ttl),
        )

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

    async def _take_up(self, config: Config) -> None:
        """Go by another configuration, as far as that can be without a restart."""
        config, kept = reloaded(self.config, config)
        if kept:
            log.warning(events.CONFIG_NEEDS_RESTART, settings=kept)
        stopped: list[str] = []
        if self.dispatch is not None:
            duty = await self._enrolled_at_last(config, self.dispatch.duty.means)
            stopped = await self.dispatch.take_up(duty)
        self.config = config
        self.config_problem, self.configured_at = None, datetime.now(UTC)
        events.configure(config.log.level, config.log.format)
        self.outside.metrics.reloaded(successful=True)
        log.info(events.CONFIG_RELOADED, collections=len(config.collections), begun_anew=stopped)

    async def _enrolled_at_last(self, config: Config, means: Means) -> Duty:
        """Enrol, trying until the database answers."""
        while True:
            try:
                return await self._enrolled(config, means)
            except store.DISCONNECTED as error:
                assert self.database is not None  # noqa: S101 - it was reached
                await self.database.failed(error)

    def _refuse(self, error: ConfigInvalid) -> None:
        """Keep what is in force, and say why."""
        self.config_problem = error.problem.as_json() | {"problems": list(error.problems)}
        self.outside.metrics.reloaded(successful=False)
        log.error(events.CONFIG_REFUSED, problems=list(error.problems), remedy=error.remedy)

    async def _end_when_asked(self) -> None:
        await self._stop.wait()
        self.stopping = True
        drain_s = self.config.daemon.drain.total_seconds()
        self.outside.supervisor.stopping(within_s=drain_s)
        log.info(events.DAEMON_STOPPING, within_s=drain_s)
        asyncio.get_running_loop().call_later(drain_s, _give_up)
        raise Stop

    def _lagged(self, late_s: float) -> None:
        self.loop_lag_s = max(self.loop_lag_s, late_s)
        self.outside.metrics.lagged(late_s)

    def _tell_waiting(self, error: BibsyncError) -> None:
        log.error(events.DAEMON_WAITING, problem=error.problem.as_json())
        self.outside.supervisor.status(f"Waiting: {error.message}")

    def _tell_supervisor(self, *, ready: bool = False) -> None:
        supervisor = self.outside.supervisor
        if self.dispatch is None:
            status = "Waiting for the database"
        else:
            count, all_of_them = len(self.dispatch.held), len(self.dispatch.duty.numbers)
            status = f"{count} at work, {all_of_them} collections"
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
        held = self.dispatch.held.values() if self.dispatch else ()
        keys = self.leases.held if self.leases else []
        log.info(events.DAEMON_DUMPED, **dump.taken([each.task for each in held], keys))


def _is_stop(failed: BaseExceptionGroup[BaseException]) -> bool:
    """Tell whether nothing but the stop ended the group, and servers that went away meanwhile."""
    _, rest = failed.split((Stop, BibsyncError, *store.DISCONNECTED))
    return rest is None


def _give_up() -> None:
    """End at once: what was not finished by now is another replica's to go on with."""
    log.error(events.DAEMON_STOPPED, because="drain is over; what was left is gone on with later")
    sys.stderr.flush()
    os._exit(0)
