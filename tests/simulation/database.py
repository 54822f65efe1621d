"""A real PostgreSQL inside the simulated world.

Every statement is executed by the real server, on a real connection, while virtual time stands
still. What happens on its way is made up: it travels there and its answer back, and on each way the
connection may be lost, the task be cancelled, its host be paused or crash. A session that is lost
has its transaction rolled back, as the server does it, and its connection serves another one.

Of one collection only one transaction is open at a time: the first statement of each takes the
fence's row. `Row` says who has it and who waits, with the time-outs that PostgreSQL has for that;
so no statement ever waits in the server itself, which would stop the world.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from datetime import datetime
from random import Random
from typing import Any

import asyncpg
from asyncpg.pool import PoolAcquireContext
from asyncpg.transaction import Transaction

from bibsync.store import fences, schema, windows
from tests import journal
from tests.simulation.loop import Stuck

PREPARE = """
create schema simulated;
create function simulated.clock_timestamp() returns timestamptz language sql volatile as $$
    select coalesce(nullif(current_setting('simulated.now', true), '')::timestamptz,
                    pg_catalog.clock_timestamp())
$$;
"""
SET_CLOCK = "select set_config('simulated.now', $1, false)"
SET_WRITER = "select set_config('journal.writer', $1, false)"
EMPTY = "truncate collections, journal restart identity cascade"
EMPTIED_EVERY = 200
"""Seeds between which the tables are emptied: else they would grow, and each seed take longer."""
SETTINGS = {
    "search_path": "simulated, public, pg_catalog",
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
ANSWER_S = 30.0
"""A statement that isn't answered within so many real seconds waits for what never comes."""
LOCKING = frozenset({fences.RAISE, fences.ADVANCE, fences.READ, windows.CHECKPOINT_ALONE})
"""The statements that take the fence's row."""
STATEMENTS = ("commit", "alone", "other")
"""What a lost connection may take with it: a COMMIT, a statement that commits, any other one."""
SLOWEST_S = 0.004
AT_ONCE = 4
"""Connections of a replica's pool."""

Work = Coroutine[Any, Any, Any]


class Server:
    """The server, and the connections to it, which are used for one seed after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._free: list[tuple[str, Any]] = []
        self.served = 0
        self.statements: Counter[str] = Counter()

    def run(self, work: Work) -> Any:
        """Have it done by the real loop while the one that runs, the virtual one, stands still.

        Raises:
            Stuck: the server gives no answer.
        """
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        except TimeoutError:
            raise Stuck("a statement waits in the server for what never comes") from None
        finally:
            asyncio._set_running_loop(running)

    def prepare(self) -> None:
        """Make a migrated database fit for simulations."""
        conn = self.run(asyncpg.connect(self._url))
        self.run(schema.upgrade(conn))
        self.run(journal.switch_on(conn))
        self.run(conn.execute(PREPARE))
        self.run(conn.close())

    def lend(self, writer: str) -> Any:
        """Return a connection on which `writer` is known to the journal by its name."""
        place = next((n for n, (name, _) in enumerate(self._free) if name == writer), -1)
        name, conn = self._free.pop(place) if self._free else ("", self._connect())
        if name != writer:
            self.run(conn.execute(SET_WRITER, writer))
        return conn

    def take_back(self, writer: str, conn: Any) -> None:
        """Have the connection back for another."""
        self._free.append((writer, conn))

    def empty(self) -> None:
        """Forget what earlier seeds stored, now and then."""
        if self.served % EMPTIED_EVERY == 0:
            conn = self.lend("")
            self.run(conn.execute(EMPTY))
            self.take_back("", conn)
        self.served += 1

    def close(self) -> None:
        for _, conn in self._free:
            self.run(conn.close())
        self._loop.close()

    def _connect(self) -> Any:
        return self.run(
            asyncpg.connect(
                self._url, server_settings=SETTINGS, command_timeout=ANSWER_S, timeout=ANSWER_S
            )
        )


class Row:
    """The fence's row: which session's transaction holds it, and which ones wait for it."""

    def __init__(self) -> None:
        self.holder: Session | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, session: "Session", wait_s: float | None) -> None:
        """Wait in turn.

        Raises:
            LockNotAvailableError: `wait_s` passed.
        """
        while self.holder not in (None, session):
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            try:
                async with asyncio.timeout(wait_s):
                    await freed
            except TimeoutError:
                raise asyncpg.LockNotAvailableError("lock timeout") from None
            finally:
                if freed in self._waiting:
                    self._waiting.remove(freed)
        session.demand_open()
        self.holder = session

    def free(self, session: "Session") -> None:
        """Let the next one have it."""
        if self.holder is session:
            self.holder = None
            for freed in self._waiting:
                if not freed.done():
                    freed.set_result(None)

    def end_holder(self) -> list[dict[str, int]]:
        """End the session that others wait for, as pg_terminate_backend does."""
        if self.holder is None or not self._waiting:
            return []
        self.holder.end(asyncpg.AdminShutdownError("terminating connection"))
        return [{"pid": 0}]


Lost = Callable[[str], str | None]
"""Tells of a statement, by its kind, whether its connection is lost: `before` it, or `after`."""
Noted = Callable[[str, str], None]
"""Hears who committed, and by which kind of statement."""


class Database:
    """What a replica's sessions share: the server, its row and clock, and what may go wrong."""

    def __init__(
        self,
        server: Server,
        random: Random,
        *,
        clock: Callable[[], datetime],
        lost: Lost,
        noted: Noted,
    ) -> None:
        self.server = server
        self.row = Row()
        self.clock = clock
        self.lost = lost
        self.noted = noted
        self.away_until = 0.0
        self._random = random

    def latency_s(self) -> float:
        """Return how long a statement, or its answer, is on its way."""
        return self._random.random() * SLOWEST_S


class SimulatedPool:
    """A replica's pool, as `store.acquire` and the table modules know pools of asyncpg."""

    def __init__(self, database: Database, writer: str) -> None:
        self.sessions: dict[Session, None] = {}
        self._database = database
        self._writer = writer
        self._places = asyncio.Semaphore(AT_ONCE)

    def acquire(self, *, timeout: float) -> PoolAcquireContext:
        return PoolAcquireContext(self, timeout)

    async def _acquire(self, timeout: float) -> "Session":  # noqa: ASYNC109 - asyncpg calls it so
        async with asyncio.timeout(timeout):
            await self._places.acquire()
        if asyncio.get_running_loop().time() < self._database.away_until:
            self._places.release()
            raise ConnectionRefusedError("the server is away")
        session = Session(self._database, self._writer)
        self.sessions[session] = None
        return session

    async def release(self, session: "Session") -> None:
        del self.sessions[session]
        session.release()
        self._places.release()

    def get_size(self) -> int:
        return len(self.sessions)

    async def expire_connections(self) -> None:
        """Do nothing: no connection outlives its session."""

    def end(self, error: Exception) -> None:
        """End every session that is in use."""
        for session in list(self.sessions):
            session.end(error)


class Session:
    """One connection, as a replica has it for one block."""

    def __init__(self, database: Database, writer: str) -> None:
        self._database = database
        self._server = database.server
        self._writer = writer
        self._conn: Any = self._server.lend(writer)
        self._error: Exception | None = None
        self._open = False
        self._busy = False
        self._statements = 0
        self._lock_wait_s: float | None = None
        self._idle_s: float | None = None
        self._top_xact: Transaction | None = None
        self._pool_release_ctr = 0
        self._protocol = self

    def is_in_transaction(self) -> bool:
        return self._open

    def is_closed(self) -> bool:
        return self._conn is None

    def transaction(self) -> Transaction:
        return Transaction(self, None, readonly=False, deferrable=False)

    def _get_unique_id(self, prefix: str) -> str:
        return f"{prefix}_{self._statements}"

    async def fetch(self, sql: str, *given: object) -> Any:
        return await self._ask("fetch", sql, given)

    async def fetchrow(self, sql: str, *given: object) -> Any:
        return await self._ask("fetchrow", sql, given)

    async def fetchval(self, sql: str, *given: object) -> Any:
        return await self._ask("fetchval", sql, given)

    async def execute(self, sql: str, *given: object) -> Any:
        return await self._ask("execute", sql, given)

    def release(self) -> None:
        """Give the connection back; the pool rolls back what is still open."""
        if self._conn is not None:
            self._detach()

    def end(self, error: Exception) -> None:
        """Lose the connection: what is open is rolled back, who uses it is told `error`."""
        if self._conn is not None:
            self._error = error
            self._detach()

    def demand_open(self) -> None:
        """Raise what became of the connection."""
        if self._conn is None:
            error, self._error = self._error, None
            raise error or asyncpg.InterfaceError("connection is closed")

    def pause(self, seconds: float) -> None:
        """Let the server end the session where its client is silent for so long."""
        if self._open and self._idle_s is not None and seconds > self._idle_s:
            said = self._statements
            loop = asyncio.get_running_loop()
            loop.call_later(self._idle_s, self._end_if_silent, said)

    def _end_if_silent(self, said: int) -> None:
        if self._open and self._statements == said:
            self.end(asyncpg.IdleInTransactionSessionTimeoutError("idle in transaction"))

    async def _ask(self, method: str, sql: str, given: tuple[object, ...]) -> Any:
        assert not self._busy, "two tasks use one connection at the same time"
        self._busy = True
        try:
            return await self._asked(method, sql, given)
        finally:
            self._busy = False

    async def _asked(self, method: str, sql: str, given: tuple[object, ...]) -> Any:
        self.demand_open()
        kind = _kind(sql)
        lost = self._database.lost(kind)
        await asyncio.sleep(self._database.latency_s())
        self.demand_open()
        if lost == "before":
            self.end(ConnectionResetError("lost on the way there"))
            self.demand_open()
        if sql in LOCKING:
            await self._database.row.take(self, self._lock_wait_s)
        told = self._executed(method, sql, given)
        if kind != "other":
            self._database.noted(self._writer, kind)
        if lost == "after":
            self.end(asyncpg.ConnectionDoesNotExistError("lost on the way back"))
        else:
            await asyncio.sleep(self._database.latency_s())
        self.demand_open()
        return told

    def _executed(self, method: str, sql: str, given: tuple[object, ...]) -> Any:
        self._statements += 1
        if sql == fences.END_BLOCKERS:
            return self._database.row.end_holder()
        if "clock_timestamp" in sql:
            moment = self._database.clock().isoformat()
            self._server.run(self._conn.execute(SET_CLOCK, moment))
        try:
            told = self._server.run(getattr(self._conn, method)(sql, *given))
        finally:
            self._note(sql, given)
        return told

    def _note(self, sql: str, given: tuple[object, ...]) -> None:
        """Follow what the statement did to the transaction and to the session's settings."""
        if sql.startswith("BEGIN"):
            self._open = True
        elif sql.startswith(("COMMIT", "ROLLBACK;")):
            self._end_transaction()
        elif sql == fences.LIMIT_WAIT:
            self._lock_wait_s = _seconds(given[0])
        elif sql == fences.ADVANCE:
            self._idle_s = _seconds(given[5])
        if not self._open:
            self._database.row.free(self)

    def _end_transaction(self) -> None:
        self._open, self._lock_wait_s, self._idle_s = False, None, None

    def _detach(self) -> None:
        if self._open:
            self._server.run(self._conn.execute("ROLLBACK"))
            self._end_transaction()
        self._server.take_back(self._writer, self._conn)
        self._conn = None
        self._database.row.free(self)


def _kind(sql: str) -> str:
    if sql.startswith("COMMIT"):
        return "commit"
    return "alone" if sql == windows.CHECKPOINT_ALONE else "other"


def _seconds(setting: object) -> float:
    assert isinstance(setting, str)
    return int(setting.removesuffix("ms")) / 1000
