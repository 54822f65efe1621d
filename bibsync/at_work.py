"""A replica at work: what a daemon does on a database that it has reached.

    timetable ─ dispatch ─ its heartbeat ─ notices ─ metrics ─ this replica's word

Each is a round of its own beside the others. They end when they are cancelled, or of a defect.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

import structlog

from bibsync import __version__, events, lease, notify, rounds, status, store, timetable
from bibsync.config import Config
from bibsync.dispatch import Dispatch
from bibsync.errors import first_of
from bibsync.harvest import Means
from bibsync.jobs import Duty
from bibsync.metrics import Metrics
from bibsync.notify import Bell
from bibsync.replicas import Coordination
from bibsync.rounds import Database
from bibsync.store import collections, rejects, replicas, requests

SOON_S = 2.0
"""The longest wait before the timetable is looked at, so that edits act within 5 s."""
SAID_S = 5.0
STOOD_S = 60.0
"""How often the standing of all collections is read for the metrics; runs count by themselves."""
LAST_WORD_S = 3.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a replica leaves word of beside its name, for others to see."""

    started: datetime
    configured_at: datetime
    config_problem: Mapping[str, object] | None
    loop_lag_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A replica and what it works with; `word` tells how its process is, whenever it is asked."""

    name: str
    database: Database
    coordination: Coordination
    leases: lease.Counted
    dispatch: Dispatch
    metrics: Metrics
    bell: Bell
    word: Callable[[], Word]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where the word is another now, so that it is left at once."""

    @property
    def redis_lost(self) -> bool:
        """Whether a Redis is configured and doesn't answer now."""
        redis = self.coordination.redis
        return redis is not None and redis.lost

    async def make_rounds(self) -> None:
        """Do what there is to do until cancelled."""
        database, dispatch = self.database, self.dispatch
        log.info(events.DAEMON_READY, collections=len(dispatch.duty.numbers))
        try:
            async with asyncio.TaskGroup() as group:
                for name, act, woken in (
                    ("timetable", self._fire, None),
                    ("heartbeat", dispatch.keep, None),
                    ("word", self._say, self.changed),
                    ("standing", self._stand, None),
                ):
                    group.create_task(rounds.go(database, act, woken=woken), name=name)
                told = notify.keep(
                    database.pool,
                    self.bell,
                    config=lambda: dispatch.duty.config,
                    random=Random(),  # noqa: S311 - for waits
                )
                group.create_task(told, name="notices")
                await dispatch.serve(
                    lambda: rounds.go(database, dispatch.look, woken=dispatch.woken)
                )
        except BaseExceptionGroup as failed:
            raise first_of(failed) from None
        finally:
            await self._leave()

    async def take_up(self, config: Config) -> list[str]:
        """Go by another configuration; return the collections whose work is begun anew.

        Raises:
            ConfigInvalid: a collection means another library than before; nothing was changed.
        """
        means = self.dispatch.duty.means
        duty = await rounds.until_answered(
            self.database, "reload", lambda: enrolled(config, means, by=self.name)
        )
        return await self.dispatch.take_up(duty)

    async def _fire(self) -> float:
        tick = await timetable.fire_due(self.database.pool, by=self.name)
        if tick.fired:
            self.dispatch.woken.set()
        wait_s = SOON_S if tick.wait is None else tick.wait.total_seconds()
        return max(0.0, min(wait_s, SOON_S))

    async def _say(self) -> float:
        """Leave word of this replica for others to see."""
        word = self.word()
        async with store.acquire(self.database.pool) as conn:
            await replicas.say(
                conn,
                self.name,
                version=__version__,
                started=word.started,
                configured_at=word.configured_at,
                config_problem=word.config_problem,
                redis_lost=self.redis_lost,
                loop_lag_s=word.loop_lag_s,
            )
        return SAID_S

    async def _stand(self) -> float:
        """Show in the metrics how everything stands."""
        async with store.acquire(self.database.pool) as conn:
            tables = await status.read(conn)
            open_ = await rejects.count_open_by_reason(conn)
        now, configured = datetime.now(UTC), self.dispatch.duty.config.collections
        document = status.document(tables, configured, now=now)
        self.metrics.stand(document, configured, rejects=open_, now=now)
        return STOOD_S

    async def _leave(self) -> None:
        with suppress(*store.DISCONNECTED):
            async with asyncio.timeout(LAST_WORD_S), store.acquire(self.database.pool) as conn:
                await replicas.leave(conn, self.name)


async def enrolled(config: Config, means: Means, *, by: str) -> Duty:
    """Bring the tables in step with a configuration and return what to go by.

    Raises:
        ConfigInvalid: a collection means another library than before; nothing was changed.
    """
    async with store.acquire(means.pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, config.collections)
        await timetable.seed(conn, config)
        await requests.ask_never_succeeded(conn, [*numbers.values()], by=by)
    return Duty(
        config=config,
        numbers={numbers[each.name]: each for each in config.collections},
        means=replace(means, lease_ttl=config.daemon.lease_ttl),
    )
