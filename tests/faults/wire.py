"""A wire that breaks as it is told, before PostgreSQL, Redis or the vendor.

It forwards bytes and knows no protocol: a *message* is what a client sends at once, an *answer* is
what comes back next. A fault that is told to `strike` befalls every message from the one it begins
at, until it is used up or mended. `fired` counts what was befallen.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing sends RST, not FIN."""


class Fault(Enum):
    """What becomes of a message, of its answer and of their connection."""

    REFUSE = auto()
    """Every connection is reset, and nothing listens any more."""
    CUT = auto()
    """The connection is reset, before the server gets the message or `after` bytes of answer."""
    BLACK_HOLE = auto()
    """Connections are taken and stay open; nothing passes in either direction."""
    DELAY = auto()
    """The answer comes `delay_s` later."""
    TRUNCATE = auto()
    """The answer ends, in good order, after half of its first piece or `after` bytes."""
    DROP_ANSWER = auto()
    """The server does as it is told; the answer is thrown away, the connection reset."""
    INSTEAD = auto()
    """The server never gets the message; `words` are the answer."""


@dataclass(eq=False)
class Line:
    """One client's connection; `due` befalls its next answer, of which `left` bytes pass."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    due: Fault | None = None
    left: int | None = None

    def reset(self) -> None:
        wire = self.to_client.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.abort()

    def abort(self) -> None:
        self.to_client.transport.abort()
        self.to_server.transport.abort()


@dataclass
class Wire:
    """Forwards what is sent to the server of this URL; `url` is the way through it."""

    server: str
    delay_s: float = 0.05
    words: bytes = b""
    fired: int = 0
    connections: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first message that is befallen."""
    _fault: Fault | None = None
    _at: bytes = b""
    _after: int | None = None
    _times: float = 0
    _lines: set[Line] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: asyncio.Server | None = None
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._place = _bound(0)  # never listens, so the port stays ours while nothing does
        self.port = self._place.getsockname()[1]
        self._open.set()
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._deafen()
        self._place.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The server's URL with this wire's address."""
        parts = urlsplit(self.server)
        login, at, _ = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query))
        if parts.scheme == "postgresql":
            query = {k: v for k, v in query.items() if k not in {"host", "port"}}
            query["sslmode"] = "disable"
        here = f"{login}{at}127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=here, query=urlencode(query)))

    def strike(
        self,
        fault: Fault,
        *,
        at: bytes = b"",
        after: int | None = None,
        times: float = float("inf"),
    ) -> None:
        """Let the next messages be befallen, `times` of them, from one that holds `at` on."""
        self._fault, self._at, self._after, self._times = fault, at, after, times
        if fault is Fault.REFUSE:
            self._deafen()
            for line in self._lines:
                self._befell()
                line.reset()
        if fault is Fault.BLACK_HOLE and not at:
            self._open.clear()

    async def mend(self) -> None:
        """Be a good wire again; connections that were swallowed don't come back."""
        self._fault = None
        if not self._open.is_set():
            for line in self._lines:
                line.reset()
            self._open.set()
        if self._listening is None:
            await self._listen()

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._connected, sock=_bound(self.port))

    def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _befell(self) -> None:
        self.fired += 1
        self.struck.set()

    def _befalls(self, message: bytes) -> Fault | None:
        """Return what befalls this message."""
        if self._fault is None or self._at not in message:
            return None
        self._at = b""
        self._befell()
        fault, self._times = self._fault, self._times - 1
        if self._times < 1:
            self._fault = None
        if fault is Fault.BLACK_HOLE:
            self._open.clear()
        return fault

    async def _connected(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            line = Line(from_client, to_client, *await _to(self.server))
        except OSError:  # the server itself is gone
            to_client.transport.abort()
            self._tasks.discard(task)
            return
        self._lines.add(line)
        both = [
            asyncio.create_task(self._forward(line), name="messages"),
            asyncio.create_task(self._return(line), name="answers"),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the wire is taken down; asyncio's server would complain of it
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._lines.discard(line)
            self._tasks.discard(task)
            line.abort()

    async def _forward(self, line: Line) -> None:
        while message := await line.from_client.read(65536):
            fault = self._befalls(message)
            await self._open.wait()
            if fault is Fault.CUT and self._after is None:
                line.reset()
                return
            if fault is Fault.INSTEAD:
                line.to_client.write(self.words)
                continue
            if fault is not None:
                line.due, line.left = fault, self._after
            line.to_server.write(message)
            await line.to_server.drain()

    async def _return(self, line: Line) -> None:
        while answer := await line.from_server.read(65536):
            await self._open.wait()
            if line.due in {Fault.CUT, Fault.TRUNCATE, Fault.DROP_ANSWER}:
                if await _broken_off(line, answer):
                    return
                continue
            if line.due is Fault.DELAY:
                await asyncio.sleep(self.delay_s)
            line.due = None
            line.to_client.write(answer)
            await line.to_client.drain()


async def _broken_off(line: Line, answer: bytes) -> bool:
    """Deliver what may pass of the answer; True: that was its end, and the connection's."""
    if line.due is Fault.DROP_ANSWER:
        line.left = 0
    elif line.left is None:
        line.left = len(answer) // 2
    line.to_client.write(answer[: line.left])
    await line.to_client.drain()
    line.left = max(line.left - len(answer), 0)
    if line.left:
        return False
    if line.due is Fault.TRUNCATE:
        line.to_client.close()
        await line.to_client.wait_closed()
    else:
        line.reset()
    return True


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


async def _to(server: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the server, through the socket that a PostgreSQL's URL may name."""
    parts = urlsplit(server)
    query = dict(parse_qsl(parts.query))
    host = query.get("host") or parts.hostname or "localhost"
    port = int(query.get("port") or parts.port or 5432)
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)
