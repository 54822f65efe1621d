"""A PostgreSQL server behind a wire that breaks at a COMMIT, or at another message.

The embedded test server listens on a Unix socket only; clients reach it here through TCP.
"""

import asyncio
from enum import Enum, auto
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

BEGIN, COMMIT = b"BEGIN;\0", b"COMMIT;\0"


class Fault(Enum):
    """What becomes of the next COMMIT."""

    ANSWER_LOST = auto()
    """The server gets and does it; the client hears nothing and loses its connection."""
    NEVER_SENT = auto()
    """Both connections break before the server gets it."""
    SERVER_UNAWARE = auto()
    """The client loses its connection; the server goes on waiting inside the transaction."""
    LATE = auto()
    """The client loses its connection; the server gets it when `deliver` is set."""


class FaultProxy:
    """Forwards bytes; `fault` befalls the next COMMIT and is None after it. `met` counts them.

    `upon` is what it befalls instead, known by its bytes, and `answer` how its answer ends.
    `begun` counts the transactions that clients began.
    """

    def __init__(self, server: str, *, upon: bytes = COMMIT, answer: bytes = b"COMMIT\0") -> None:
        self._server = urlsplit(server)
        self._upon, self._answer = upon, answer
        self.deliver = asyncio.Event()
        self.begun = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: list[asyncio.StreamWriter] = []
        self.fault: Fault | None = None
        self.met = 0

    @property
    def url(self) -> str:
        """The server's URL with this proxy's address."""
        user, password = self._server.username, self._server.password
        login = f"{quote(user)}:{quote(password or '')}@" if user else ""
        query = {k: v for k, v in parse_qsl(self._server.query) if k not in {"host", "port"}}
        address = f"{login}127.0.0.1:{self._port}{self._server.path}"
        return f"postgresql://{address}?{urlencode(query | {'sslmode': 'disable'})}"

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._kept:
            writer.transport.abort()
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure

    async def _connected(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self._tasks.add(asyncio.current_task())
        from_server, to_server = await self._open()
        back = asyncio.create_task(_forward(from_server, to_client), name="answers")
        try:
            while received := await from_client.read(65536):
                self.begun += received.count(BEGIN)
                if self.fault and self._upon in received:
                    fault, self.fault = self.fault, None
                    self.met += 1
                    back.cancel()
                    await asyncio.wait([back])  # else two would read the answer
                    if fault is Fault.ANSWER_LOST:
                        to_server.write(received)
                        await from_server.readuntil(self._answer)
                    if fault is Fault.SERVER_UNAWARE:
                        self._kept.append(to_server)
                    if fault is Fault.LATE:
                        to_client.transport.abort()
                        await self.deliver.wait()
                        to_server.write(received)
                        await from_server.readuntil(self._answer)
                    return
                to_server.write(received)
                await to_server.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            back.cancel()
            to_client.transport.abort()
            if to_server not in self._kept:
                to_server.transport.abort()
            await asyncio.gather(back, return_exceptions=True)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = dict(parse_qsl(self._server.query))
        host = query.get("host") or self._server.hostname or "localhost"
        port = int(query.get("port") or self._server.port or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(65536):
        writer.write(received)
        await writer.drain()
    writer.close()
