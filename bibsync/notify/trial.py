"""A trial of every channel: does a message go, and what is wrong where it doesn't."""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import datetime

from bibsync.config import Notify
from bibsync.notify import channels, mail, web, wording
from bibsync.notify.channel import LIMIT_S, Channel, Undelivered, attempt


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one channel; `failed` is None where the message went."""

    channel: str
    failed: Undelivered | None
    duration_s: float

    def as_json(self) -> dict[str, object]:
        """Return the line of `notify test --json`."""
        failed = self.failed
        return {
            "type": "channel",
            "channel": self.channel,
            "state": "failed" if failed else "passed",
            "message": failed.message if failed else None,
            "remedy": failed.remedy if failed else None,
            "code": failed.code if failed else None,
            "duration_s": round(self.duration_s, 3),
        }


async def try_all(notify: Notify, *, now: datetime, limit_s: float = LIMIT_S) -> list[Tried]:
    """Send a test message over every channel that is configured, all at the same time."""
    message = wording.trial(id_=f"test-{os.urandom(8).hex()}", host=mail.here(), now=now)

    async def tried(channel: Channel) -> Tried:
        began = time.monotonic()
        failed: Undelivered | None = None
        try:
            await attempt(channel, [message], limit_s=limit_s)
        except Undelivered as error:
            failed = error
        return Tried(channel.name, failed, time.monotonic() - began)

    async with web.session() as http:
        found = [*channels.told_over(notify, http, domain="test.bibsync.invalid").values()]
        if heartbeat := channels.heartbeat(notify, http):
            found.append(heartbeat)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(tried(each), name=f"test of {each.name}") for each in found]
    return [task.result() for task in tasks]
