"""The right to run: take it, renew it, notice its loss.

A lease saves work; it doesn't decide whose work counts (`fence` does). One run of a stream of a
collection holds it, renews it every third of its time to live, and is cancelled when it is lost
or when it couldn't be renewed in time. A process that was stopped for so long finds that out before
it asks a vendor again: `Tenure.in_force`. States:

    free ──take──> held ──renew──> held ... ──release──> free
                    │ renewal refused, or too late: the work is cancelled
                    └──> lost

A holder that died frees its lease after `ttl`; one that was a process of this same machine, boot
and process namespace and no longer exists is replaced at once. A cancelled or unanswered take is
followed by a release of the same token, so that no lease is left without a holder.

Back ends are `Leases`: PostgreSQL here, Redis in `replicas`, behind the same protocol and tests.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import astuple
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Protocol

import orjson
import psutil
import structlog

from bibsync import cancellation, events, store
from bibsync.errors import LeaseHeld, LeaseLost, first_of
from bibsync.store import Connection, Pool, leases
from bibsync.store.leases import Held, Holder

POLL_S = 0.5
"""How often a waiting run looks whether the lease came free."""
MISSED_AT_MOST_S = 30.0
"""How long a waiting run bears with a database that is away."""
STOPPED_S = 5.0
"""How long a process that was stopped may take, at least, to learn whether it still holds."""
LASTING = 5 / 6
"""How much of its time to live a lease that isn't renewed is relied upon."""
START_TOLERANCE_S = 2.0
"""A process that began this much before or after the holder did is the holder."""

BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

Key = tuple[int, str]
"""Collection and stream."""
Clock = Callable[[], float]
"""Counts seconds from any moment on, and never jumps."""
Aside = Callable[[], AbstractAsyncContextManager[object]]
"""Makes a block in which a run merely waits."""

log = structlog.get_logger()


class Leases(Protocol):
    """Where leases are kept."""

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        """Take the lease: None, or who holds it. Taking again with the same token succeeds."""

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        """Prolong the lease; False: it was lost."""

    async def release(self, key: Key, holder: Holder) -> None:
        """Free the lease; nothing happens where it isn't this holder's."""


class Tenure:
    """A lease that is held: by whom, and whether it is still in force.

    `ttl` is the lease's time to live.
    """

    def __init__(self, holder: Holder, *, ttl: timedelta, clock: Clock | None = None) -> None:
        self.holder = holder
        self._lasting_s = ttl.total_seconds() * LASTING
        self._clock = clock or seconds
        self._renewed = self._clock()
        self._word = asyncio.Event()
        self._over = False
        self.lost = False

    @property
    def left_s(self) -> float:
        """Seconds until the lease must be taken for lost; below 0 when it must be already."""
        return self._renewed + self._lasting_s - self._clock()

    def renewed(self, began: float) -> None:
        """Note a good renewal; what counts is when it `began`."""
        self._renewed = began
        self._word.set()

    def end(self) -> None:
        """Note that nobody renews it any more."""
        self._over = True
        self._word.set()

    async def in_force(self) -> bool:
        """Return when the lease is surely held: True at once, False after it had to be renewed.

        Raises:
            LeaseLost: nobody renews it any more. The block that holds it was cancelled then.
        """
        at_once = True
        while not self._over and self.left_s <= 0:
            at_once = False
            self._word.clear()
            await self._word.wait()
        if self._over:
            raise LeaseLost("The lease is not renewed any more.")
        return at_once


class PostgresLeases:
    """Leases in a table, for installations without Redis."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        """Take the lease, also from a holder of this machine that no longer exists.

        Raises:
            LeaseLost: the collection is gone.
        """
        dead: str | None = None
        try:
            async with store.acquire(self._pool) as conn:
                while not await leases.take(conn, key, holder, ttl=ttl, instead_of=dead):
                    held = await leases.held(conn, key)
                    if held is not None and not is_dead(held.holder):
                        return held
                    dead = held.holder.token if held else None
        except store.GONE:
            raise LeaseLost(store.FORGOTTEN) from None
        if dead:
            log.info(events.LEASE_TAKEN_OVER, stream=key[1], because="its process is gone")
        return None

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        """Prolong the lease by the server's clock."""
        async with store.acquire(self._pool) as conn:
            return await leases.renew(conn, key, holder.token, ttl=ttl)

    async def release(self, key: Key, holder: Holder) -> None:
        """Free the lease at once."""
        async with store.acquire(self._pool) as conn:
            await leases.release(conn, key, holder.token)


class Counted:
    """Leases of which this process holds so many: `told` hears their number when it changes."""

    def __init__(self, where: Leases, told: Callable[[int], object]) -> None:
        self._where = where
        self._told = told
        self._held: set[tuple[Key, str]] = set()

    @property
    def held(self) -> list[Key]:
        """Of which collections and streams, in order."""
        return sorted(key for key, _ in self._held)

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        """Take the lease: None, or who holds it."""
        held = await self._where.take(key, holder, ttl=ttl)
        self._note(self._held if held else self._held | {(key, holder.token)})
        return held

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        """Prolong the lease; False: it was lost."""
        in_force = await self._where.renew(key, holder, ttl=ttl)
        if not in_force:
            self._note(self._held - {(key, holder.token)})
        return in_force

    async def release(self, key: Key, holder: Holder) -> None:
        """Free the lease; what couldn't be freed isn't relied upon any more either."""
        try:
            await self._where.release(key, holder)
        finally:
            self._note(self._held - {(key, holder.token)})

    def _note(self, held: set[tuple[Key, str]]) -> None:
        changed = len(held) != len(self._held)
        self._held = held
        if changed:
            self._told(len(held))


def seconds() -> float:
    """Count seconds that no change of the clock moves, and that a suspended machine counts too."""
    return time.clock_gettime(BOOT_CLOCK)


@asynccontextmanager
async def hold(
    where: Leases,
    key: Key,
    *,
    ttl: timedelta,
    wait: timedelta = timedelta(0),
    random: Random,
    clock: Clock = seconds,
    aside: Aside = nullcontext,
) -> AsyncIterator[Tenure]:
    """Hold the lease for the time of the block, waiting at most `wait` for it.

    Between two looks it stands `aside`: whatever else the waiting run has is others' meanwhile.

    Raises:
        LeaseHeld: another run holds it.
        LeaseLost: it was lost meanwhile; the block was cancelled.
        StoreUnavailable: it could not be renewed in time.
    """
    holder = this_process()
    try:
        tenure = await _take(where, key, holder, ttl=ttl, wait=wait, clock=clock, aside=aside)
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(
                _keep(where, key, tenure, ttl=ttl, random=random, clock=clock), name=f"lease {key}"
            )
            keeper.add_done_callback(lambda _: tenure.end())
            yield tenure
            keeper.cancel()
            await asyncio.wait([keeper])
    except BaseExceptionGroup as failed:
        cancellation.go_on()
        raise first_of(failed) from None
    finally:
        try:
            await _release(where, key, holder, ttl=ttl)
        except asyncio.CancelledError:  # perhaps before it was sent: nobody else would free it
            await _release(where, key, holder, ttl=ttl)
            raise


async def _release(where: Leases, key: Key, holder: Holder, *, ttl: timedelta) -> None:
    """Free the lease; where that can't be done now, it runs out by itself."""
    with suppress(*store.DISCONNECTED):
        async with within(ttl.total_seconds() / 3):
            await where.release(key, holder)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bound the block, also where a connection of PostgreSQL is cleaned up after its statement.

    The first time-out ends the statement. asyncpg then waits for the server to confirm that, which
    a server that is gone never does; the second time-out ends that.
    """
    async with asyncio.timeout(seconds), asyncio.timeout(seconds * 0.9):
        yield


def this_process() -> Holder:
    """Describe this process as a holder, with a token of its own for each acquisition."""
    pid = os.getpid()
    return Holder(
        token=uuid.uuid4().hex,
        replica=f"{socket.gethostname()}:{pid}",
        machine=_machine(),
        process=pid,
        began=_began(psutil.Process(pid)),
    )


def is_dead(holder: Holder) -> bool:
    """Tell whether the holder certainly no longer exists; of another machine nobody can tell."""
    if holder.machine != _machine():
        return False
    try:
        process = psutil.Process(holder.process)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return gone or abs(_began(process) - holder.began) > START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return not _is_hidden(holder.process)
    except psutil.Error:
        return False


def written(holder: Holder) -> str:
    """Write a holder as a text that says, to whoever is on its machine, whether it is gone."""
    return orjson.dumps(astuple(holder)).decode()


def is_gone(text: str) -> bool:
    """Tell whether a holder that was `written` certainly no longer exists."""
    with suppress(ValueError, TypeError):
        return is_dead(Holder(*orjson.loads(text)))
    return False


async def alive(conn: Connection) -> dict[Key, Held]:
    """Return the leases that are held, but those whose holder certainly no longer exists."""
    held = await leases.held_now(conn)
    return {key: each for key, each in held.items() if not is_dead(each.holder)}


async def _take(
    where: Leases,
    key: Key,
    holder: Holder,
    *,
    ttl: timedelta,
    wait: timedelta,
    clock: Clock,
    aside: Aside,
) -> Tenure:
    deadline = clock() + wait.total_seconds()
    seen = clock()
    while True:
        tenure = Tenure(holder, ttl=ttl, clock=clock)
        try:
            held = await where.take(key, holder, ttl=ttl)
        except store.DISCONNECTED as error:
            if clock() >= min(deadline, seen + MISSED_AT_MOST_S):
                raise store.unavailable(error) from None
        else:
            if held is None:
                return tenure
            seen = clock()
            if seen >= deadline:
                raise LeaseHeld(held.sentence)
        async with aside():
            await asyncio.sleep(POLL_S)


async def _keep(
    where: Leases, key: Key, tenure: Tenure, *, ttl: timedelta, random: Random, clock: Clock
) -> None:
    """Renew until cancelled; the deadline is counted from when the last good renewal began.

    A process that was stopped beyond the deadline tries once more, also where it was stopped amid a
    renewal: that one's time-out tells nothing of the database. It asks no vendor meanwhile, so that
    may take longer. A lease that ran out or was forgotten, and that nobody holds, is taken again:
    whether another run was there in between is for the fence to say.
    """
    ttl_s = ttl.total_seconds()
    failed: BaseException | None = None
    while True:
        cancellation.go_on()
        await asyncio.sleep(min(ttl_s / 3 * random.uniform(0.8, 1.0), max(tenure.left_s, 0)))
        began = clock()
        left_s = tenure.left_s
        if failed and left_s <= 0:
            raise store.unavailable(failed)
        limit_s = min(ttl_s / 6, left_s) if left_s > 0 else max(ttl_s / 6, STOPPED_S)
        try:
            async with within(limit_s):
                held = await where.renew(key, tenure.holder, ttl=ttl) or not await where.take(
                    key, tenure.holder, ttl=ttl
                )
        except store.DISCONNECTED as error:
            was_stopped = clock() - began > limit_s + ttl_s / 6
            failed = None if was_stopped else error
            continue
        if not held:
            log.warning(events.LEASE_LOST, stream=key[1])
            tenure.lost = True
            raise LeaseLost("The lease was lost: a later run took over this collection.")
        tenure.renewed(began)
        failed = None


def _is_hidden(pid: int) -> bool:
    """Tell whether it is another user's process, which /proc may keep from us (hidepid)."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _began(process: psutil.Process) -> float:
    """Return seconds from the boot to the process's start: no jump of the clock moves that."""
    return process.create_time() - psutil.boot_time()


@cache
def _machine() -> str:
    """Name this host, its boot and its process namespace: within them a pid means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot, namespace = f"{psutil.boot_time():.0f}", ""
    return f"{boot} {namespace}".strip() or socket.gethostname()
