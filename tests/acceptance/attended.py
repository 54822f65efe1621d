"""A daemon that is attended: its log is read while it runs, and a test waits for what it tells."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from installation import QUICK, Installation, Running, keeps_silent

WITHIN_S = 120.0
"""Far more than anything takes, also on a machine without breath."""
JOBS = ("purchases", "metadata", "statistics", "snapshot", "cleanup", "health")
SETTINGS = '[daemon]\nlease_ttl = "2s"\n[web]\nlisten = "127.0.0.1:0"\n'
RESTING = "".join(f'[[schedules]]\njob = "{job}"\nenabled = false\n' for job in JOBS)
"""Whatever the time of day, nothing begins but what a test begins."""
FIRE_SOON = """
update schedules
set once_at = clock_timestamp() + interval '0.5 s', cron = null, enabled = true,
    counted_from = clock_timestamp(), version = version + 1, edited_at = clock_timestamp()
where schedule = $1
"""


class Attended:
    """A daemon, and what it has told so far."""

    def __init__(self, running: Running) -> None:
        self.process = running.process
        self.events: list[dict[str, Any]] = []
        self.said = ""
        self._over = asyncio.Event()
        self._more = asyncio.Condition()

    @property
    def replica(self) -> str:
        """The name that it gives itself."""
        return next(each["replica"] for each in self.events if each["event"] == "daemon.started")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def forget(self, *events: str) -> None:
        """Wait from now on for what is told of these events from now on."""
        self.events = [each for each in self.events if each["event"] not in events]

    async def told(self, event: str, *, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until it has told of something so often; return the last of them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = [each for each in self.events if _is(each, {"event": event} | fields)]
            return len(found) >= times or self._over.is_set()

        async with asyncio.timeout(WITHIN_S), self._more:
            await self._more.wait_for(enough)
        assert len(found) >= times, (event, fields, self.said)
        return found[times - 1]

    async def ended(self, *, within_s: float = WITHIN_S) -> int:
        """Wait until it has ended; return its exit code."""
        async with asyncio.timeout(within_s):
            await self._over.wait()
        code: int = self.process.returncode
        return code

    async def stop(self, *, within_s: float = WITHIN_S) -> int:
        """Stop it as systemd does, and return its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within_s=within_s)

    async def read(self) -> None:
        """Read its log until its end."""
        stream = self.process._err if hasattr(self.process, "_err") else self.process.stderr
        rest = b""
        while piece := await stream.read(1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            async with self._more:
                self.events += [json.loads(each) for each in lines if each.startswith(b"{")]
                self.said += "\n".join(each.decode() for each in [*lines, b""])
                self._more.notify_all()
        self.said += rest.decode()
        await self.process.wait()
        self._over.set()
        async with self._more:
            self._more.notify_all()


@asynccontextmanager
async def attending(
    installation: Installation, *, loaded: bool = True, **environ: str
) -> AsyncIterator[Attended]:
    """Run a daemon for the time of the block; it met no defect and has shown no secret."""
    begin = installation.fork if loaded else installation.start
    daemon = Attended(await begin("daemon", **environ))
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.read(), name="log of a daemon")
        try:
            yield daemon
        finally:
            Running(daemon.process).kill()
    keeps_silent(daemon.said)
    assert [] == [each for each in daemon.events if "exception" in each]


def configure(
    installation: Installation,
    collections: list[dict[str, object]],
    *,
    more: str = "",
    sync: str = QUICK,
    resting: str = RESTING,
) -> None:
    """Write a configuration in which nothing is due by itself; `more` are tables in full."""
    settings = SETTINGS if "[daemon]" not in more else '[web]\nlisten = "127.0.0.1:0"\n'
    installation.configure(collections, sync=sync, more=f"{settings}{more}\n{resting}")


@asynccontextmanager
async def looking(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Look at the database while the daemons work, and change it as other processes do."""
    conn = await asyncpg.connect(database)
    try:
        yield conn
    finally:
        await conn.close()


async def fire(conn: asyncpg.Connection, schedule: str = "purchases") -> None:
    """Let a schedule be due in a moment, as an edit by the interface does."""
    await conn.execute(FIRE_SOON, schedule)


def _is(told: Mapping[str, Any], wanted: Mapping[str, object]) -> bool:
    return all(told.get(name) == value for name, value in wanted.items())
