"""Redis and whether it answers: opening a client, bounding what it may take, its errors.

No error of the library leaves this package. At the start whatever is wrong is a RedisUnavailable
with a sentence of its own; later it is `Away`, which the callers here turn into what they do
without Redis. While Redis is away it isn't asked again for RETRY_S, then by one caller alone,
so that a Redis that swallows everything costs one time-out and not one per call.

The library's own retries are off: they would repeat a renewal for a minute, long after the lease
is gone. The second version of the protocol is used: every server speaks it, and it has no pushes.
"""

import asyncio
import errno
import hashlib
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff

from bibsync import cancellation, events
from bibsync.errors import RedisUnavailable
from bibsync.replicas.address import Address

LIMIT_S: Final = 1.0
"""The longest that an answer is ever waited for, connecting included."""
LIMIT_SHARE: Final = 1 / 12
"""The same as a share of a lease's time to live: a renewal must have time for PostgreSQL too."""
START_S: Final = 5.0
"""The same for the first answer of all."""
SENTINEL_S: Final = 0.3
"""The same for one Sentinel: while one is silent the next can still be asked within LIMIT_S."""
RETRY_S: Final = 5.0
"""How long a Redis that is away isn't asked again."""
AT_ONCE: Final = 16
"""Questions, and so connections, at the same time."""

KEEPALIVE: Final = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
FAILURES: Final = (exceptions.RedisError, OSError, EOFError, RuntimeError)
"""What the library raises of a server; time-outs are OSErrors. RuntimeError is uvloop's word where
something is sent through a connection that was reset while nobody used it."""

TRIAL: Final = "return redis.call('SET', KEYS[1], 'written', 'PX', 1000)"
TRIAL_KEY: Final = "bibsync:trial"

Answer = TypeVar("Answer")
Given = Sequence[str | bytes | int | float]
"""What a script is given beside its keys."""

log = structlog.get_logger()


class Away(ConnectionError):
    """Redis can't be asked now; do without."""


class Script:
    """A script that the server runs as one; running it again must change nothing more."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Contact:
    """A Redis, and whether it answers: said once when it is lost and once when it is back.

    `limit_s` is the longest that an answer is waited for; `clock` counts seconds and never jumps.
    """

    def __init__(
        self,
        client: Redis,
        *,
        limit_s: float = LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._limit_s = limit_s
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._not_before = -float("inf")
        self.lost = False

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Given,
        *,
        insist: bool = False,
    ) -> Any:
        """Run a script and return its answer, text as bytes.

        `insist`: ask although Redis was away a moment ago.

        Raises:
            Away: there was no answer; the script may have been run.
        """

        async def ask() -> Any:
            given = (len(keys), *keys, *arguments)
            try:
                return await self._client.evalsha(script.sha, *given)  # type: ignore[arg-type]  # numbers are sent as text
            except exceptions.NoScriptError:
                return await self._client.eval(script.text, *given)  # type: ignore[arg-type]  # the same

        return await self._asked(ask, insist=insist)

    async def lasting_s(self, key: str) -> float:
        """Return the seconds that a key has left, 0 where there is none.

        Raises:
            Away: there was no answer.
        """

        async def ask() -> int:
            return await self._client.pttl(key)

        return max(await self._asked(ask), 0) / 1000

    async def _asked(self, ask: Callable[[], Awaitable[Answer]], *, insist: bool = False) -> Answer:
        now = self._clock()
        if now < self._not_before and not insist:
            raise Away
        before = cancellation.count()
        if self.lost:  # this call alone finds out whether it is back
            self._not_before = now + RETRY_S
        try:
            async with asyncio.timeout(self._limit_s), self._places:
                answer = await ask()
        except FAILURES as error:
            self._lose(error)
            raise Away from None
        cancellation.go_on(before)
        self._not_before = -float("inf")
        if self.lost:
            self.lost = False
            log.info(events.REDIS_RECOVERED)
        return answer

    def _lose(self, error: BaseException) -> None:
        self._not_before = self._clock() + RETRY_S
        if not self.lost:
            self.lost = True
            log.warning(events.REDIS_LOST, because=type(error).__name__)


@asynccontextmanager
async def connected(address: Address, *, limit_s: float = LIMIT_S) -> AsyncIterator[Contact]:
    """Connect, try whether bibsync's keys can be written, and close at the end.

    Raises:
        RedisUnavailable: they can't.
    """
    async with AsyncExitStack() as closing:
        client = _client(address, closing)
        failed: BaseException | None = None
        try:
            async with asyncio.timeout(START_S):
                await client.ping()
                await client.eval(TRIAL, 1, TRIAL_KEY)
        except FAILURES as error:
            failed = error
        if failed:
            raise unavailable(failed, address) from None
        yield Contact(client, limit_s=limit_s)


def _client(address: Address, closing: AsyncExitStack) -> Redis:
    """Make a client that `closing` closes."""
    settings: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": START_S,
        "socket_connect_timeout": START_S,
        "protocol": 2,
        "driver_info": None,
    }
    tcp = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    server = {**settings, **address.login, "db": address.db, "max_connections": 2 * AT_ONCE}
    if address.service is not None:
        brief = {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S}
        tls: dict[str, Any] = {"ssl": True, **address.options} if address.tls else {}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # the library gives it no types
            address.servers,
            sentinel_kwargs={**settings, **tcp, **tls, **brief, **address.sentinel_login},
        )
        closing.push_async_callback(sentinel.aclose)
        client: Redis = sentinel.master_for(address.service, **{**server, **tcp, **tls})
    elif address.path is not None:
        server |= {"connection_class": UnixDomainSocketConnection, "path": address.path}
        client = Redis.from_pool(ConnectionPool(**server))
    else:
        [(host, port)] = address.servers
        kind = SSLConnection if address.tls else Connection
        server |= {"connection_class": kind, "host": host, "port": port, **tcp, **address.options}
        client = Redis.from_pool(ConnectionPool(**server))
    closing.push_async_callback(client.aclose)
    return client


IN_CLEAR: Final = (
    "Check that the server runs and speaks TLS at this port; where it doesn't, write redis:// for "
    "rediss://."
)
"""A server without TLS says nothing to whoever begins with it."""


class Told(NamedTuple):
    """What is said of a kind of error; a remedy of None is RedisUnavailable's."""

    kinds: tuple[type[BaseException], ...]
    sentence: str
    remedy: str | None = None


TOLD: Final = (
    Told(
        (MasterNotFoundError,),
        "No Sentinel of [redis] url answers, or none knows a sound server of that service.",
        "Check hosts, service, and sentinel_password in the query if the Sentinels want one.",
    ),
    Told((exceptions.BusyLoadingError,), "Redis is still loading its data.", "Try again soon."),
    Told(
        (exceptions.ReadOnlyError,),
        "Redis is a read-only replica.",
        "Point [redis] url at the primary server, or at its Sentinels (redis+sentinel://).",
    ),
    Told(
        (exceptions.NoPermissionError, exceptions.AuthorizationError),
        "The user of [redis] url may not do what bibsync needs.",
        "Allow it the keys bibsync:* and the commands ping, eval, evalsha, get, set, del, pttl, "
        "pexpire and time.",
    ),
    Told((exceptions.OutOfMemoryError,), "The memory of Redis is full.", "Free some there."),
    Told((exceptions.InvalidResponse,), "What answers at [redis] url isn't Redis.", None),
    Told(
        (ssl.SSLCertVerificationError,),
        "The certificate of Redis isn't valid for this machine.",
        "Name its authority's file in the query of [redis] url: ?ssl_ca_certs=/path/ca.pem",
    ),
    Told(
        (ssl.SSLError,),
        "No secure connection to Redis could be made.",
        IN_CLEAR,
    ),
    Told((socket.gaierror,), "Redis can't be reached: its host's name can't be found."),
    Told(
        (ConnectionRefusedError,),
        "Redis can't be reached: nothing listens at its address.",
    ),
    Told((PermissionError,), "Redis can't be reached: this user may not open its socket."),
    Told(
        (TimeoutError, exceptions.TimeoutError),
        "Redis can't be reached: it gave no answer in time.",
    ),
)
"""In the order of preference: several may be found in one chain of errors."""


def unavailable(error: BaseException, address: Address) -> RedisUnavailable:
    """Say in a sentence why Redis can't be used; no part of its address is repeated."""
    chain = list(_chain(error))
    if any(isinstance(each, exceptions.AuthenticationError) for each in chain):
        if "password" in address.login:
            return RedisUnavailable("Redis refuses the user or the password of [redis] url.")
        return RedisUnavailable(
            "Redis wants a password.", remedy="Write it as redis://:password@host in [redis] url."
        )
    for kinds, sentence, remedy in TOLD:
        if any(isinstance(each, kinds) for each in chain):
            silent = address.tls and TimeoutError in kinds
            return RedisUnavailable(sentence, remedy=IN_CLEAR if silent else remedy)
    return RedisUnavailable(f"Redis can't be {_otherwise(chain, address)}.")


def _otherwise(chain: Sequence[BaseException], address: Address) -> str:
    """Say what the kind of the errors doesn't tell."""
    if any(isinstance(each, FileNotFoundError) for each in chain):
        missing = "its socket isn't there" if address.path else "a file of its TLS isn't there"
        return f"reached: {missing}"
    if any(_all_refused(each) for each in chain):
        return "reached: nothing listens at its address"
    if "max number of clients" in str(chain[0]):
        return "reached: it has no connection left"
    if isinstance(chain[-1], ConnectionError) or "closed by server" in str(chain[-1]):
        return "reached: it broke the connection off"
    if "out of range" in str(chain[0]):
        return "used: it has no database of the number in [redis] url"
    word = str(chain[0]).partition(" ")[0]
    said = isinstance(chain[0], exceptions.ResponseError) and word.isalpha() and word.isupper()
    return f"used: it says {word}" if said else f"used: {type(chain[-1]).__name__}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what it was made from; the library keeps that as its context."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _all_refused(error: BaseException) -> bool:
    """Tell whether a name's addresses all refused; asyncio puts that into a text."""
    numbers = re.findall(r"\[Errno (\d+)\]", str(error)) if isinstance(error, OSError) else []
    return bool(numbers) and set(numbers) == {str(errno.ECONNREFUSED)}
