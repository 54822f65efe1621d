"""A vendor made of raw bytes: each request gets the next answer, with all its faults."""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Self

Then = Literal["keep", "close", "reset", "hang", "drip"]


@dataclass(frozen=True)
class Said:
    """Bytes to send, and what then becomes of the connection."""

    data: bytes = b""
    then: Then = "keep"


def answer(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    length: int | None = None,
    then: Then = "keep",
) -> Said:
    """Return an answer with a Content-Length, `length` where it shall lie."""
    fields = {"Content-Length": str(len(body) if length is None else length), **(headers or {})}
    return Said(head(status, fields) + body, then)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the head of an answer."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Wire:
    """A server on the loopback; `heads` are the requests it got, in order."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._ssl = tls
        self.answers: deque[Said] = deque()
        self.heads: list[str] = []
        self.arrived = asyncio.Event()
        self.connections = 0
        self.most_at_once = 0
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def targets(self) -> list[str]:
        """Path and query of each request."""
        return [head.split(" ", 2)[1] for head in self.heads]

    def field(self, name: str) -> str:
        """Return a header of the last request."""
        for line in self.heads[-1].splitlines():
            if line.lower().startswith(f"{name.lower()}: "):
                return line.split(": ", 1)[1]
        raise KeyError(name)

    def say(self, *answers: Said) -> None:
        """Have the next requests answered so."""
        self.answers.extend(answers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        self.most_at_once = max(self.most_at_once, len(self._open))
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        self.arrived.set()
        said = self.answers.popleft()
        if said.then == "drip":
            await _drip(said.data, reader, writer)
            return False
        writer.write(said.data)
        await writer.drain()
        if said.then == "hang":
            await reader.read()
        if said.then == "reset":
            linger_not = struct.pack("ii", 1, 0)  # closing sends RST, not FIN
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger_not
            )
        if said.then == "close":
            writer.close()
            await writer.wait_closed()
        return said.then == "keep"


async def _drip(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send byte by byte until the client has had enough."""
    at = data.find(b"\r\n\r\n") + 4
    writer.write(data[:at])
    while not reader.at_eof():
        writer.write(data[at : at + 1])
        at += 1
        try:
            await asyncio.wait_for(reader.read(1), 0.01)
        except TimeoutError:
            continue
