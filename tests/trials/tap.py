"""A wire between a process and PostgreSQL that knows what passes, and lets a test act just then.

The product has no marks in it: a moment of its work is told by the statement that passes, in words
of `STATEMENTS`, and a COMMIT by what its transaction did. A trap waits for such a point, acts, and
says whether the wire goes on or is cut.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from bibsync.store import fences, lanes, leases, records, runs, schema, titles, windows
from tests.fault_proxy import FaultProxy

STATEMENTS = {
    fences.RAISE: "take-over",
    fences.ADVANCE: "fence",
    windows.DROP_EACH: "preparation",
    records.UNLIKE: "comparison",
    records.STORE: "records",
    windows.CHECKPOINT: "checkpoint",
    windows.CHECKPOINT_ALONE: "checkpoint alone",
    lanes.COVER: "coverage",
    runs.START: "run's begin",
    runs.END: "run's end",
    titles.DESCRIBE: "descriptions",
    leases.TAKE: "lease",
    leases.RELEASE: "lease's release",
    schema.LOCK: "migration's lock",
    schema.CREATE: "migration's table",
    schema.NOTE: "migration's note",
    **{each.sql: f"migration {each.version}" for each in schema.migrations()},
}
DOES = {
    "take-over": "a take-over",
    "preparation": "a preparation",
    "records": "a page",
    "coverage": "a window",
    "run's end": "a run",
    "descriptions": "descriptions",
    "migration's note": "a migration",
}
"""What a transaction is called that holds this statement."""
ALONE = "checkpoint alone"
OTHER = "another statement"
BEGIN, COMMIT = "BEGIN;", "COMMIT;"
LENGTH = struct.Struct("!I")
CANCEL = 80877102
"""The code of a connection that only asks the server to cancel what another one does."""
LAST_OF_A_BATCH = b"SHQXpcd"
"""Messages with which a client has said for now what it wants: sync, flush, query, end, ..."""
SYNC = 5
"""Bytes of the message that ends a batch."""


class When(StrEnum):
    """Where the wire stands in a statement."""

    BEFORE = "before"
    """Nothing of it was sent on."""
    HALFWAY = "inside"
    """The server has it, but not its end: it may have been done, and locks what it touched."""
    UNANSWERED = "unanswered"
    """The server has done it and answered; nobody has heard that."""
    AFTER = "after"
    """The answer was sent on."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment on the wire; `what` None stands for any statement."""

    what: str | None
    when: When

    def __str__(self) -> str:
        return f"{self.what or 'any statement'}, {self.when}"


class Then(Enum):
    """What becomes of the wire when a trap has acted."""

    GOES_ON = "goes on"
    CUT = "cut"


@dataclass(slots=True)
class Trap:
    """Acts once, when one of its points was met for the `nth` time; `struck` tells which then."""

    points: Collection[Point]
    nth: int
    act: Callable[[], Awaitable[Then]] | None = None
    struck: Point | None = None

    def waits_for(self, what: str, when: When) -> bool:
        """Tell whether this is one of its points, however often it was met."""
        wanted = {Point(what, when), Point(None, when)}
        return self.struck is None and not wanted.isdisjoint(self.points)

    def shuts(self, what: str, when: When) -> bool:
        """Tell whether this is the moment."""
        if not self.waits_for(what, when):
            return False
        self.nth -= 1
        if self.nth:
            return False
        self.struck = Point(what, when)
        return True


@dataclass(slots=True)
class _Connection:
    """What is known of one connection."""

    prepared: dict[bytes, str] = field(default_factory=dict)
    does: str = "nothing"
    said: str | None = None
    """The statement that waits for its answer."""


class Tap(FaultProxy):
    """The wire; `trap` waits on it. `cancelled` is set when a client has a statement cancelled."""

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.trap: Trap | None = None
        self.cancelled = asyncio.Event()

    async def _connected(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self._tasks.add(asyncio.current_task())
        from_server, to_server = await self._open()
        known = _Connection()
        answers = asyncio.create_task(
            self._answers(known, from_server, to_client), name="answers of the server"
        )
        requests = asyncio.create_task(
            self._requests(known, from_client, to_server), name="requests of the client"
        )
        try:
            await asyncio.wait({answers, requests}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for each in (answers, requests):
                each.cancel()
            for writer in (to_client, to_server):
                writer.transport.abort()
            ended = await asyncio.gather(answers, requests, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure

    async def _requests(
        self, known: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            opening = await _with_length(reader)
            if LENGTH.unpack_from(opening, 4)[0] == CANCEL:
                self.cancelled.set()
            writer.write(opening)
            while True:
                batch, what = await _batch(known, reader)
                if what and await self._met(what, When.BEFORE) is Then.CUT:
                    return
                known.said = what
                if what and self._is_due(what, When.HALFWAY):
                    writer.write(batch[:-SYNC])
                    if await self._act() is Then.CUT:
                        return
                    batch = batch[-SYNC:]
                writer.write(batch)
                await writer.drain()

    async def _answers(
        self, known: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            waiting = b""
            while chunk := await reader.read(65536):
                waiting += chunk
                what = known.said
                length, is_ready = _whole(waiting)
                answered = what is not None and is_ready
                if what and not answered and self._waits_for(what, When.UNANSWERED):
                    continue
                if answered:
                    known.said = None
                    if await self._met(what, When.UNANSWERED) is Then.CUT:
                        return
                writer.write(waiting[:length])
                waiting = waiting[length:]
                await writer.drain()
                if answered and await self._met(what, When.AFTER) is Then.CUT:
                    return

    def _waits_for(self, what: str, when: When) -> bool:
        return self.trap is not None and self.trap.waits_for(what, when)

    def _is_due(self, what: str, when: When) -> bool:
        return self.trap is not None and self.trap.shuts(what, when)

    async def _met(self, what: str, when: When) -> Then:
        return await self._act() if self._is_due(what, when) else Then.GOES_ON

    async def _act(self) -> Then:
        assert self.trap is not None
        assert self.trap.act is not None
        return await self.trap.act()


async def _with_length(reader: asyncio.StreamReader) -> bytes:
    """Read a message that begins with its length."""
    head = await reader.readexactly(LENGTH.size)
    return head + await reader.readexactly(LENGTH.unpack(head)[0] - LENGTH.size)


async def _batch(known: _Connection, reader: asyncio.StreamReader) -> tuple[bytes, str | None]:
    """Read messages up to one that asks for an answer; tell which statement they execute."""
    batch, what = b"", None
    while True:
        kind = await reader.readexactly(1)
        message = await _with_length(reader)
        batch += kind + message
        body = message[LENGTH.size :]
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            known.prepared[name] = STATEMENTS.get(sql.decode(), OTHER)
        elif kind == b"B":
            what = known.prepared[body.split(b"\0", 2)[1]]
        elif kind == b"Q":
            what = _simple(known, body[:-1].decode())
        if kind in LAST_OF_A_BATCH:
            known.does = DOES.get(what or "", known.does)
            return batch, what


def _simple(known: _Connection, sql: str) -> str:
    """Return what a statement without parameters is called."""
    if sql == BEGIN:
        known.does = "nothing"
    return f"commit of {known.does}" if sql == COMMIT else STATEMENTS.get(sql, OTHER)


def _whole(waiting: bytes) -> tuple[int, bool]:
    """Return how many bytes are whole messages, and whether the last says: ready for the next."""
    place, last = 0, b""
    while len(waiting) - place > LENGTH.size:
        end = place + 1 + LENGTH.unpack_from(waiting, place + 1)[0]
        if end > len(waiting):
            break
        place, last = end, waiting[place : place + 1]
    return place, last == b"Z"
