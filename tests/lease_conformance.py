"""What every place where leases are kept must do: one suite, passed unchanged.

A back end's test module subclasses `LeaseConformance` and gives two fixtures: `where`, its
`Leases`, and `expire`, a coroutine function that lets the time of a key's lease run out.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bibsync import lease
from bibsync.lease import Key, Leases
from bibsync.store.leases import Holder

TTL = timedelta(seconds=60)
Expire = Callable[[Key], Awaitable[None]]

NEIGHBOUR = """
import dataclasses, json, sys
from bibsync import lease
print(json.dumps(dataclasses.asdict(lease.this_process())), flush=True)
sys.stdin.readline()
"""


@contextmanager
def neighbour() -> Iterator[tuple[Holder, subprocess.Popen[str]]]:
    """Start another process of this machine; yield it and the holder that it says it is."""
    child = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", NEIGHBOUR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield Holder(**json.loads(child.stdout.readline())), child
        finally:
            child.kill()


def _await_state(child: subprocess.Popen[str], state: int) -> None:
    """Wait until the child has ended or stopped, without burying it."""
    os.waitid(os.P_PID, child.pid, state | os.WNOWAIT)


class LeaseConformance:
    """The suite."""

    async def test_a_free_lease_is_taken(self, where: Leases, key: Key):
        assert await where.take(key, lease.this_process(), ttl=TTL) is None

    async def test_the_same_token_takes_it_again(self, where: Leases, key: Key):
        """The answer to the first try may have got lost."""
        holder = lease.this_process()
        await where.take(key, holder, ttl=TTL)

        assert await where.take(key, holder, ttl=TTL) is None
        assert await where.renew(key, holder, ttl=TTL)

    async def test_a_held_lease_tells_by_whom_and_since_when(self, where: Leases, key: Key):
        holder = lease.this_process()
        await where.take(key, holder, ttl=TTL)

        held = await where.take(key, lease.this_process(), ttl=TTL)

        assert holder == held.holder
        assert timedelta(0) <= datetime.now(UTC) - held.since < TTL
        assert await where.renew(key, holder, ttl=TTL)

    async def test_of_many_at_once_one_takes_it(self, where: Leases, key: Key):
        holders = [lease.this_process() for _ in range(12)]

        found = await asyncio.gather(*(where.take(key, each, ttl=TTL) for each in holders))

        (winner,) = (each for each, held in zip(holders, found, strict=True) if held is None)
        assert {winner} == {held.holder for held in found if held}

    async def test_streams_and_collections_have_leases_of_their_own(self, where: Leases, key: Key):
        await where.take(key, lease.this_process(), ttl=TTL)

        assert await where.take((key[0], "another"), lease.this_process(), ttl=TTL) is None

    async def test_a_renewed_lease_is_still_held(self, where: Leases, key: Key):
        holder = lease.this_process()
        await where.take(key, holder, ttl=timedelta(milliseconds=1))
        await where.take(key, holder, ttl=TTL)

        assert await where.renew(key, holder, ttl=TTL)
        assert (await where.take(key, lease.this_process(), ttl=TTL)).holder == holder

    async def test_an_expired_lease_is_taken_over(self, where: Leases, key: Key, expire: Expire):
        late, next_one = lease.this_process(), lease.this_process()
        await where.take(key, late, ttl=TTL)
        await expire(key)

        assert await where.take(key, next_one, ttl=TTL) is None
        assert (await where.take(key, late, ttl=TTL)).holder == next_one

    async def test_an_expired_lease_is_not_renewed(self, where: Leases, key: Key, expire: Expire):
        """Even where nobody took it yet: somebody may have, and be done."""
        holder = lease.this_process()
        await where.take(key, holder, ttl=TTL)
        await expire(key)

        assert not await where.renew(key, holder, ttl=TTL)

    async def test_a_late_holder_renews_nothing_and_releases_nothing(
        self, where: Leases, key: Key, expire: Expire
    ):
        late, holder = lease.this_process(), lease.this_process()
        await where.take(key, late, ttl=TTL)
        await expire(key)
        await where.take(key, holder, ttl=TTL)

        assert not await where.renew(key, late, ttl=TTL)
        await where.release(key, late)

        assert await where.renew(key, holder, ttl=TTL)

    async def test_a_released_lease_is_free(self, where: Leases, key: Key):
        holder = lease.this_process()
        await where.take(key, holder, ttl=TTL)

        await where.release(key, holder)

        assert not await where.renew(key, holder, ttl=TTL)
        assert await where.take(key, lease.this_process(), ttl=TTL) is None

    async def test_releasing_what_nobody_holds_is_nothing(self, where: Leases, key: Key):
        await where.release(key, lease.this_process())

        assert not await where.renew(key, lease.this_process(), ttl=TTL)

    async def test_a_killed_holder_of_this_machine_is_replaced_at_once(
        self, where: Leases, key: Key
    ):
        with neighbour() as (holder, child):
            await where.take(key, holder, ttl=TTL)
            child.kill()
            child.wait()

        assert await where.take(key, lease.this_process(), ttl=TTL) is None

    async def test_a_dead_holder_that_nobody_has_buried_is_replaced_too(
        self, where: Leases, key: Key
    ):
        with neighbour() as (holder, child):
            await where.take(key, holder, ttl=TTL)
            child.kill()
            _await_state(child, os.WEXITED)

            assert await where.take(key, lease.this_process(), ttl=TTL) is None

    async def test_of_many_one_replaces_the_dead(self, where: Leases, key: Key):
        with neighbour() as (holder, _):
            await where.take(key, holder, ttl=TTL)
        holders = [lease.this_process() for _ in range(8)]

        found = await asyncio.gather(*(where.take(key, each, ttl=TTL) for each in holders))

        (winner,) = (each for each, held in zip(holders, found, strict=True) if held is None)
        assert {winner} == {held.holder for held in found if held}

    async def test_a_stopped_process_is_not_dead(self, where: Leases, key: Key):
        with neighbour() as (holder, child):
            await where.take(key, holder, ttl=TTL)
            child.send_signal(signal.SIGSTOP)
            _await_state(child, os.WSTOPPED)

            assert (await where.take(key, lease.this_process(), ttl=TTL)).holder == holder

    async def test_a_process_that_got_the_number_of_a_dead_one_is_not_its_holder(
        self, where: Leases, key: Key
    ):
        ours = lease.this_process()
        await where.take(key, replace(ours, began=ours.began - 60), ttl=TTL)

        assert await where.take(key, lease.this_process(), ttl=TTL) is None

    async def test_of_a_process_of_another_machine_nobody_can_tell(self, where: Leases, key: Key):
        with neighbour() as (holder, _):
            away = replace(holder, machine="another boot of another machine")
            await where.take(key, away, ttl=TTL)

        assert (await where.take(key, lease.this_process(), ttl=TTL)).holder == away
