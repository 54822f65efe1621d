"""Sending what there is to be told over one channel: each message once, and again if need be.

One replica at a time sends over a channel: it holds a lock of the database, in the transaction that
then notes what was sent. Where that note is lost, or a server takes a message and breaks off, the
message comes twice, under the same id; it is never left out. A channel that fails is left alone for
a growing while, its failure logged once, and so is that it works again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from random import Random
from typing import Final

import structlog

from bibsync import cancellation, events, store
from bibsync.notify import channel as channels, wording
from bibsync.notify.channel import LIMIT_S, Channel, Undelivered
from bibsync.store import Connection, Pool, notices
from bibsync.store.notices import KEPT, Notice

FIRST_WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 3600.0
APART: Final = 5
"""More messages than this at once go as one, where the channel can do that."""
MOST: Final = 200
"""The most messages that wait for a channel; the oldest of more are given up."""
LOOKED_AT: Final = 2000

log = structlog.get_logger()


@dataclass(slots=True)
class Pace:
    """When a channel may be tried again; `clock` counts seconds that never jump."""

    clock: Callable[[], float]
    random: Random
    failures: int = 0
    not_before: float = field(default=float("-inf"))

    def is_due(self) -> bool:
        """Tell whether it may be tried now."""
        return self.clock() >= self.not_before

    def failed(self) -> bool:
        """Note a failure; tell whether it is the first in a row."""
        longest = min(FIRST_WAIT_S * 2.0**self.failures, LONGEST_WAIT_S)
        self.not_before = self.clock() + longest * self.random.uniform(0.75, 1.0)
        self.failures = min(self.failures + 1, 10)
        return self.failures == 1

    def went(self) -> bool:
        """Note that it works; tell whether it didn't before."""
        was_failing = self.failures > 0
        self.failures, self.not_before = 0, float("-inf")
        return was_failing


@dataclass(frozen=True, slots=True)
class Style:
    """How messages are worded: times in `zone`, from the machine `host`."""

    zone: tzinfo
    host: str


async def deliver(
    pool: Pool,
    channel: Channel,
    pace: Pace,
    style: Style,
    *,
    now: Callable[[], datetime],
    limit_s: float = LIMIT_S,
) -> None:
    """Send all that is to be told over the channel by now, as long as it works.

    Raises nothing of the channel's; what the database says leaves it.
    """
    while pace.is_due():
        async with store.acquire(pool) as conn, conn.transaction():
            if not await notices.turn(conn, channel.name):
                return
            at = now()
            waiting = await _waiting(conn, channel, at)
            batch = waiting[: channel.most if len(waiting) > APART else 1]
            if not batch:
                return
            messages = [wording.of(each, zone=style.zone, host=style.host) for each in batch]
            if await sent(channel, messages, pace, limit_s=limit_s):
                await notices.mark(conn, channel.name, batch, now=at)
                _log_told(channel, batch)
            else:
                old = [each for each in waiting if (each.ended or each.began) <= at - KEPT]
                await _give_up(conn, channel, old, at)
        cancellation.go_on()  # before Python 3.12 a mail that is just sent swallows that


async def sent(
    channel: Channel, messages: Sequence[wording.Message], pace: Pace, *, limit_s: float = LIMIT_S
) -> bool:
    """Send messages as one; tell whether that went, and log it where it didn't before."""
    try:
        await channels.attempt(channel, messages, limit_s=limit_s)
    except Undelivered as error:
        if error.partly:
            log.warning(
                events.NOTICE_UNDELIVERED, channel=channel.name, problem=error.problem.as_json()
            )
            return True
        if pace.failed():
            log.warning(
                events.NOTICE_UNDELIVERED, channel=channel.name, problem=error.problem.as_json()
            )
        return False
    if pace.went():
        log.info(events.CHANNEL_RECOVERED, channel=channel.name)
    return True


async def _waiting(conn: Connection, channel: Channel, at: datetime) -> list[Notice]:
    """Return what is to be sent; what is too much to be kept is given up."""
    waiting = await notices.pending(conn, channel.name, now=at, limit=LOOKED_AT)
    kept = waiting[-MOST:]
    await _give_up(conn, channel, waiting[: len(waiting) - len(kept)], at)
    return kept


async def _give_up(
    conn: Connection, channel: Channel, given_up: Sequence[Notice], at: datetime
) -> None:
    """Note of messages that they will not be sent any more."""
    if given_up:
        await notices.mark(conn, channel.name, given_up, now=at)
        log.error(events.NOTICE_GIVEN_UP, channel=channel.name, messages=len(given_up))


def _log_told(channel: Channel, batch: Sequence[Notice]) -> None:
    for each in batch:
        log.info(
            events.NOTICE_TOLD,
            channel=channel.name,
            kind=each.kind,
            collection=each.subject,
            over=each.over,
        )
