"""Leases in Redis, and in Redis and PostgreSQL at once.

Redis is asked first, which keeps replicas that merely wait away from PostgreSQL; PostgreSQL's row
confirms, so that a Redis that was flushed, restarted or failed over never lets two run. Whatever
becomes of Redis costs no more than waiting:

    Redis       PostgreSQL        the lease
    held        not asked         is held
    taken       taken             is ours
    taken       held by another   is held; Redis's key is given back
    away        decides           as there

A lease's key holds `since token holder`: the server's microseconds, the word of this acquisition,
and the holder as JSON. It always expires. Each script is safe to be run twice, as an answer may get
lost, and replaces a dead holder only if the key still says what was seen.
"""

import asyncio
import json
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from bibsync import lease, store
from bibsync.errors import first_of
from bibsync.lease import Key, Leases
from bibsync.replicas.client import Away, Contact, Given, Script
from bibsync.store.leases import Held, Holder

TAKE: Final = Script("""
local value = redis.call('GET', KEYS[1])
local since, token
if value then since, token = string.match(value, '^(%d+) (%S+) ') end
if value and token ~= ARGV[1] and value ~= ARGV[4] then return value end
if token ~= ARGV[1] then
    local time = redis.call('TIME')
    since = time[1] .. string.format('%06d', time[2])
end
redis.call('SET', KEYS[1], since .. ' ' .. ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return false
""")
"""Take a free key, our own, or the one that says what ARGV[4] does; else return what it says."""
RENEW: Final = Script("""
local value = redis.call('GET', KEYS[1])
if not value or string.match(value, '^%d+ (%S+) ') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
RELEASE: Final = Script("""
local value = redis.call('GET', KEYS[1])
if not value or string.match(value, '^%d+ (%S+) ') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

One = TypeVar("One")
Other = TypeVar("Other")


class RedisLeases:
    """Leases in Redis alone. Every method raises Away where Redis can't be asked.

    `scope` tells leases of one database from those of another that uses the same Redis.
    """

    def __init__(self, contact: Contact, *, scope: str) -> None:
        self._contact = contact
        self._scope = scope

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        """Take the lease, also from a holder of this machine that no longer exists."""
        seen = b""
        while True:
            told = json.dumps(asdict(holder))
            given: Given = [holder.token, told, _ms(ttl), seen]
            found = await self._contact.run(TAKE, [self._name(key)], given)
            if found is None:
                return None
            held = _held(found)
            if held is not None and not lease.is_dead(held.holder):
                return held
            seen = found

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        """Prolong the lease by the server's clock."""
        given: Given = [holder.token, _ms(ttl)]
        return bool(await self._contact.run(RENEW, [self._name(key)], given))

    async def release(self, key: Key, holder: Holder) -> None:
        """Free the lease at once; tried even where Redis was away a moment ago."""
        await self._contact.run(RELEASE, [self._name(key)], [holder.token], insist=True)

    def _name(self, key: Key) -> str:
        return f"bibsync:lease:{self._scope}:{key[0]}:{key[1]}"


class BothLeases:
    """Leases in Redis that PostgreSQL confirms. Raises what PostgreSQL's leases raise."""

    def __init__(self, redis: Leases, postgres: Leases) -> None:
        self._redis = redis
        self._postgres = postgres

    async def take(self, key: Key, holder: Holder, *, ttl: timedelta) -> Held | None:
        """Take the lease in both, or say who holds it in either."""
        in_redis = False
        with suppress(Away):
            if held := await self._redis.take(key, holder, ttl=ttl):
                return held
            in_redis = True
        held = await self._postgres.take(key, holder, ttl=ttl)
        if held and in_redis:
            with suppress(Away):
                await self._redis.release(key, holder)
        return held

    async def renew(self, key: Key, holder: Holder, *, ttl: timedelta) -> bool:
        """Prolong the lease in both at once; PostgreSQL's word counts where it gives one."""
        in_redis, in_postgres = await _both(
            self._redis.renew(key, holder, ttl=ttl),
            _within(ttl.total_seconds() / 8, self._postgres.renew(key, holder, ttl=ttl)),
        )
        if isinstance(in_postgres, BaseException):
            if in_redis is True:
                return True
            raise in_postgres
        if in_postgres and in_redis is False:  # flushed or restarted
            with suppress(Away):
                await self._redis.take(key, holder, ttl=ttl)
        return in_postgres

    async def release(self, key: Key, holder: Holder) -> None:
        """Free the lease in both, in each whatever becomes of the other."""
        _, in_postgres = await _both(
            self._redis.release(key, holder), self._postgres.release(key, holder)
        )
        if isinstance(in_postgres, BaseException):
            raise in_postgres


async def _both(
    in_redis: Coroutine[Any, Any, One], in_postgres: Coroutine[Any, Any, Other]
) -> tuple[One | BaseException, Other | BaseException]:
    """Await both at once; where one can't be reached, its error is what it came to."""
    try:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(_outcome(in_redis), name="lease in Redis")
            other = group.create_task(_outcome(in_postgres), name="lease in PostgreSQL")
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
    return one.result(), other.result()


async def _outcome(asked: Awaitable[One]) -> One | BaseException:
    try:
        return await asked
    except store.DISCONNECTED as error:  # Away is one of them
        return error


async def _within(seconds: float, asked: Awaitable[One]) -> One:
    async with lease.within(seconds):
        return await asked


def _ms(ttl: timedelta) -> int:
    return max(1, round(ttl.total_seconds() * 1000))


def _held(found: bytes) -> Held | None:
    """Read a key's value; None where it can't be read: PostgreSQL will say who holds it."""
    try:
        since, _, holder = found.decode().split(" ", 2)
        return Held(Holder(**json.loads(holder)), datetime.fromtimestamp(int(since) / 1e6, UTC))
    except (ValueError, TypeError):
        return None
