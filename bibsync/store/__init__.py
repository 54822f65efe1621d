"""PostgreSQL: one module per table, and how a pool of connections is opened here.

Functions of the table modules take `conn` first and never open a transaction: the caller decides
what is atomic. Statements are constants, so that a test prepares each against the schema.
Whatever asyncpg raises when a server is away is one of DISCONNECTED.
"""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from bibsync import cancellation
from bibsync.errors import StoreUnavailable

Connection = Any
"""An asyncpg connection; the library ships no type information."""
Pool = Any

ACQUIRE_S = 10.0
"""The longest wait for a free connection; asyncpg by itself would wait for ever."""
TAKEN_S = 0.02
"""How soon a connection is asked for again where the server has no more than are lent."""
COMMAND_S = 60.0
IDLE_S, INTERVAL_S, PROBES = 30, 10, 3
"""A connection over a network is probed after this silence, this often, this many times, from both
ends: else a peer that vanished would keep the other's connection, locks included, for hours."""
ON_SERVER = {
    "tcp_keepalives_idle": str(IDLE_S),
    "tcp_keepalives_interval": str(INTERVAL_S),
    "tcp_keepalives_count": str(PROBES),
}
ON_CLIENT = (("TCP_KEEPIDLE", IDLE_S), ("TCP_KEEPINTVL", INTERVAL_S), ("TCP_KEEPCNT", PROBES))
IDENTITY = """
select oid || ' ' || datname || ' ' || (select min(applied_at) from schema_migrations)
from pg_database where datname = current_database()
"""
CLOCK = "select clock_timestamp()"
LET_GO = "set_config('idle_in_transaction_session_timeout', '10s', true)"
"""Part of a statement that takes a lock all processes share: one that was stopped with it has its
session ended, and stops no other for long."""
OLDEST = 14
"""The first major version with multiranges, which coverage is kept in."""

DISCONNECTED: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a session that got lost raises this too
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # a deadlock, or a clash where all is serializable
    asyncpg.InsufficientResourcesError,  # the disk is full, memory or connections ran out
    asyncpg.QueryCanceledError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.PostgresSystemError,  # the server's disk or file system fails
    asyncpg.InternalServerError,
)
LOST = (*(kind for kind in DISCONNECTED if kind is not OSError), ConnectionError)
"""DISCONNECTED where other files and sockets are used beside: not every OSError is PostgreSQL's."""
FORBIDDEN = asyncpg.InsufficientPrivilegeError
"""What PostgreSQL says to a user who may not make or write bibsync's tables."""
GONE = asyncpg.ForeignKeyViolationError
"""What PostgreSQL says where the collection itself was forgotten meanwhile."""
FORGOTTEN = "The collection was forgotten meanwhile."

REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (socket.gaierror, "its host's name can't be found"),
    (ConnectionRefusedError, "nothing listens at its address"),
    (FileNotFoundError, "its socket isn't there"),
    (TimeoutError, "it gave no answer in time"),
    ((ConnectionError, asyncpg.PostgresConnectionError), "it broke the connection off"),
    (asyncpg.TooManyConnectionsError, "it has no connection left"),
    (asyncpg.OutOfMemoryError, "it has no memory left"),
    (asyncpg.CannotConnectNowError, "it is starting up or shutting down"),
    ((asyncpg.AdminShutdownError, asyncpg.CrashShutdownError), "it was shut down or restarted"),
)

Told = tuple[type[BaseException] | tuple[type[BaseException], ...], str, str | None]
TOLD: tuple[Told, ...] = (
    (
        asyncpg.ReadOnlySQLTransactionError,
        "The database is read-only.",
        "Point [database] url at the primary server.",
    ),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "The database refuses the user or the password of [database] url.",
        None,
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "The database that [database] url names does not exist.",
        "Create it: createdb bibsync, or name another.",
    ),
    (
        FORBIDDEN,
        "The database's user may not do what bibsync needs: make its tables and write them.",
        "Make that user the owner of the database.",
    ),
    (
        (ValueError, asyncpg.ClientConfigurationError),
        "[database] url is not a PostgreSQL address.",
        'Write it as "postgresql://user@host/database".',
    ),
    (asyncpg.DiskFullError, "The database's disk is full.", "Free some space there."),
    (
        (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError),
        "Other work in the database kept its rows locked for too long.",
        "Run again; if it comes each time, see who holds locks there (pg_stat_activity, pg_locks).",
    ),
    (
        asyncpg.QueryCanceledError,
        "The database broke a statement off: it took too long there, or somebody cancelled it.",
        "Run again; if it comes each time, see the user's statement_timeout.",
    ),
    (
        (asyncpg.PostgresSystemError, asyncpg.InternalServerError),
        "The database met an error of its own.",
        "See the log of the PostgreSQL server.",
    ),
)
"""Errors with a sentence and a remedy of their own; a remedy of None is StoreUnavailable's."""

UNSTORABLE: tuple[type[BaseException], ...] = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    UnicodeEncodeError,
)
"""What PostgreSQL or its client says of one record that it can't hold."""

UNREACHABLE = (
    *DISCONNECTED,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    ValueError,
)


@asynccontextmanager
async def open_pool(url: str, *, size: int = 4) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; close it at the end.

    `statement_cache_size=0` in the URL's query suits a pooler in transaction mode.

    Raises:
        StoreUnavailable: no connection could be made, or the server is too old.
    """
    try:
        try:
            pool = await _pool(url, size, ON_SERVER)
        except asyncpg.ProtocolViolationError:  # a pooler that keeps its own connections alive
            pool = await _pool(url, size, {})
    except UNREACHABLE as error:
        raise unavailable(error) from None
    try:
        await _refuse_old(pool)
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), ACQUIRE_S)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """Borrow a connection for at most one block, waiting no longer than ACQUIRE_S for it.

    A server that has fewer connections to give than the pool has places is no failure: those that
    there are go round.

    A cancellation stays one, also where it comes together with the connection, and where asyncpg
    can't clean up after it because the server is silent: what that raises would look like an error
    of the database, to be tried again.
    """
    before = cancellation.count()
    try:
        conn = await _borrowed(pool)
        try:
            cancellation.go_on(before)
            yield conn
        finally:
            await pool.release(conn)
    except DISCONNECTED:
        if cancellation.count() > before:
            raise asyncio.CancelledError from None
        raise


async def _borrowed(pool: Pool) -> Connection:
    loop = asyncio.get_running_loop()
    until = loop.time() + ACQUIRE_S
    while True:
        try:
            return await pool.acquire(timeout=ACQUIRE_S)
        except asyncpg.TooManyConnectionsError:
            if loop.time() > until or not pool.get_size():
                raise
        await asyncio.sleep(TAKEN_S)


async def identity(conn: Connection) -> str:
    """Return a word for this database, the same for all who use it, in a migrated database."""
    told = await conn.fetchval(IDENTITY)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


async def clock(conn: Connection) -> datetime:
    """Return what time it is for the database, whose clock all replicas share."""
    now: datetime = await conn.fetchval(CLOCK)
    return now


async def _pool(url: str, size: int, settings: Mapping[str, str]) -> Pool:
    url, cached = _without_cache_size(url)
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=ACQUIRE_S,
        command_timeout=COMMAND_S,
        statement_cache_size=cached,
        server_settings={"application_name": "bibsync", "timezone": "UTC", **settings},
        init=_keep_alive,
        reset=_keep_settings,
    )


async def _keep_alive(conn: Connection) -> None:
    """Have the kernel probe a connection over a network; asyncpg has no setting for that."""
    wire = conn._transport.get_extra_info("socket")  # noqa: SLF001 - the only way to it
    if wire is None or wire.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, setting in ON_CLIENT:
        if option := getattr(socket, name, None):
            wire.setsockopt(socket.IPPROTO_TCP, option, setting)


async def _keep_settings(_: Connection) -> None:
    """Spare asyncpg's round trip at each release: no setting here outlives its transaction."""


async def _refuse_old(pool: Pool) -> None:
    async with acquire(pool) as conn:
        major = conn.get_server_version().major
    if major < OLDEST:
        raise StoreUnavailable(
            f"The database server is PostgreSQL {major}; bibsync needs {OLDEST} or newer.",
            remedy="Upgrade the server, or leave [database] url out to use the embedded one.",
        )


async def recover(pool: Pool, error: BaseException) -> None:
    """Make the pool fit again after one of DISCONNECTED.

    A primary that became read-only was demoted: every connection to it has to be made anew.
    """
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        await pool.expire_connections()


def unavailable(error: BaseException) -> StoreUnavailable:
    """Say in a sentence that the database can't be used; no part of its URL is repeated."""
    for kinds, sentence, remedy in TOLD:
        if isinstance(error, kinds):
            return StoreUnavailable(sentence, remedy=remedy)
    why = next((words for kind, words in REASONS if isinstance(error, kind)), None)
    return StoreUnavailable(f"The database can't be reached: {why or type(error).__name__}.")


def _without_cache_size(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    size = query.pop("statement_cache_size", "100")
    rest = urlencode(query, safe="/:")
    return urlunsplit(parts._replace(query=rest)), int(size) if size.isdigit() else 100
