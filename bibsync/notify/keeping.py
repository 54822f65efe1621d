"""The side task of the daemon: it judges, opens and ends notices, and has them delivered.

It judges at its start, when a run has ended, and every `every_s`, in one transaction that replicas
make one after the other: each sees what the one before has decided. Each channel and the heartbeat
is a task of its own, so that one which hangs delays no other. A database that is away is borne
with: the next look is soon. It ends only when it is cancelled, or of a defect.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import aiohttp
import structlog

from bibsync import cancellation, events, lease, status, store
from bibsync.config import Config
from bibsync.notify import channels, judgement, mail, web
from bibsync.notify.channel import LIMIT_S, Channel
from bibsync.notify.delivery import Pace, Style, deliver, sent
from bibsync.notify.judgement import Verdict, Wishes
from bibsync.run import Outcome, Summary
from bibsync.store import Connection, Pool, notices, rejects

EVERYTHING: Final = ""
"""The subject of the notice that says after which reject of any collection all are new."""

log = structlog.get_logger()


class Bell:
    """Where the daemon says that a run has ended; ringing it never waits and never fails."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.good = asyncio.Event()

    def run_ended(self, summary: Summary) -> None:
        """Have all judged soon, and a good run told to the heartbeat."""
        self.ended.set()
        if summary.outcome is Outcome.SUCCEEDED:
            self.good.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often things are done, in seconds.

    Attributes:
        every_s: all is judged, and looked at what waits, at least as often.
        rest_s: however many runs end, it is not judged more often.
        beat_s: the heartbeat is not asked for more often.
        limit_s: the longest that one sending takes.
    """

    every_s: float = 30.0
    rest_s: float = 5.0
    beat_s: float = 60.0
    limit_s: float = LIMIT_S


@dataclass(slots=True, kw_only=True)
class _Keeper:
    """What the tasks share; `news` wakes the channels."""

    pool: Pool
    http: aiohttp.ClientSession
    config: Callable[[], Config]
    timing: Timing
    now: Callable[[], datetime]
    clock: lease.Clock
    random: Random
    domain: str | None = None
    news: dict[str, asyncio.Event] = field(
        default_factory=lambda: {name: asyncio.Event() for name in channels.NAMES}
    )

    def pace(self) -> Pace:
        """Return the pace of a channel that hasn't failed yet."""
        return Pace(self.clock, self.random)

    async def bear(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what needs the database; where that is away, the next look comes soon."""
        try:
            await work
        except store.DISCONNECTED as error:
            await store.recover(self.pool, error)
        cancellation.go_on()


async def keep(
    pool: Pool,
    bell: Bell,
    *,
    config: Callable[[], Config],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: lease.Clock = lease.seconds,
    random: Random,
    timing: Timing | None = None,
) -> None:
    """Tell whoever is to be told, until cancelled; `config` returns what is in force now."""
    async with web.session() as http, asyncio.TaskGroup() as group:
        keeper = _Keeper(
            pool=pool,
            http=http,
            config=config,
            timing=timing or Timing(),
            now=now,
            clock=clock,
            random=random,
        )
        group.create_task(_judge_on(keeper, bell), name="notices")
        group.create_task(_beat_on(keeper, bell), name="heartbeat")
        for name in channels.NAMES:
            group.create_task(_deliver_on(keeper, name), name=f"notices by {name}")


async def judge_now(pool: Pool, config: Config, *, now: datetime) -> Verdict:
    """Judge how all stands at `now` and bring the notices in step with that."""
    notify = config.notify
    late_after = {each.name: each.sync.late_after for each in config.collections}
    wishes = Wishes(frozenset(notify.on), late_after)
    async with store.acquire(pool) as conn, conn.transaction():
        await notices.lock(conn)
        document = status.document(await status.read(conn), config.collections, now=now)
        current = await notices.current(conn, since=now - judgement.DAY)
        met = await _new_rejects(conn, now)
        verdict = judgement.judge(document, current, met, wishes, now=now)
        await notices.begin(conn, verdict.begun, now=now)
        await notices.reopen(conn, verdict.reopened)
        await notices.reword(conn, verdict.reworded)
        await notices.end(conn, verdict.ended, now=now)
    _log(verdict)
    return verdict


async def _judge_on(keeper: _Keeper, bell: Bell) -> None:
    async def judge() -> None:
        config = keeper.config()
        if channels.told_over(config.notify, keeper.http, domain=""):
            await judge_now(keeper.pool, config, now=keeper.now())
            for news in keeper.news.values():
                news.set()

    while True:
        bell.ended.clear()
        await keeper.bear(judge())
        await asyncio.sleep(keeper.timing.rest_s)
        await _rung(bell.ended, keeper.timing.every_s)


async def _deliver_on(keeper: _Keeper, name: str) -> None:
    """Deliver over one channel; one that is configured anew is tried at once."""
    pace = keeper.pace()
    before: Channel | None = None

    async def tell() -> None:
        nonlocal pace, before
        config = keeper.config()
        domain = await _domain(keeper)
        channel = channels.told_over(config.notify, keeper.http, domain=domain).get(name)
        if channel != before:
            pace, before = keeper.pace(), channel
        if channel:
            style = Style(config.timezone, mail.here())
            limit_s = keeper.timing.limit_s
            await deliver(keeper.pool, channel, pace, style, now=keeper.now, limit_s=limit_s)

    while True:
        await _rung(keeper.news[name], keeper.timing.every_s)
        keeper.news[name].clear()
        await keeper.bear(tell())


async def _beat_on(keeper: _Keeper, bell: Bell) -> None:
    """Ask for the heartbeat after good runs; those that come soon after each other share one."""
    pace = keeper.pace()
    before: Channel | None = None
    beaten = float("-inf")
    while True:
        await bell.good.wait()
        heartbeat = channels.heartbeat(keeper.config().notify, keeper.http)
        if heartbeat != before:
            pace, before = keeper.pace(), heartbeat
        wait_s = max(pace.not_before, beaten + keeper.timing.beat_s) - keeper.clock()
        if heartbeat and wait_s > 0:
            await asyncio.sleep(min(wait_s, keeper.timing.every_s))
            continue
        bell.good.clear()
        if heartbeat and not await sent(heartbeat, (), pace, limit_s=keeper.timing.limit_s):
            bell.good.set()
        cancellation.go_on()
        beaten = keeper.clock()


async def _new_rejects(conn: Connection, now: datetime) -> dict[str, tuple[dict[str, int], int]]:
    """Return the rejects of each collection that nobody was told of.

    The first time, those that are there already are taken for known.
    """
    known = await notices.newest_rejects(conn)
    if EVERYTHING not in known:
        known[EVERYTHING] = await rejects.newest(conn)
        await notices.start(conn, newest=known[EVERYTHING], now=now)
    at_least = known.pop(EVERYTHING)
    return await rejects.met_after(conn, known, at_least=at_least)


async def _domain(keeper: _Keeper) -> str:
    """Return what the ids of mails end in, the same for all replicas."""
    if keeper.domain is None:
        async with store.acquire(keeper.pool) as conn:
            keeper.domain = f"{await store.identity(conn)}.bibsync.invalid"
    return keeper.domain


async def _rung(event: asyncio.Event, within_s: float) -> None:
    """Wait for an event, no longer than that."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return


def _log(verdict: Verdict) -> None:
    for word in (*verdict.begun, *verdict.reworded.values()):
        log.info(events.NOTICE_OPENED, kind=word.kind, collection=word.subject)
    for end in verdict.ended:
        log.info(events.NOTICE_ENDED, notice=end.number, silently=end.silently)
