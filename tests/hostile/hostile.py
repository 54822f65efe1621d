"""A hostile vendor of raw bytes: each request meets the next script, byte by byte.

Where no script is left it answers as a good vendor does, so that a test sees the next good answer
taken. It counts what it was asked and what it got rid of: a fault that never came proves nothing.
"""

import asyncio
import itertools
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

NAMESPACE = "http://www.loc.gov/MARC21/slim"
PAGE_SIZE = 50
STEP_S = 0.005
"""How long a slow server waits between two bytes."""


class Caller:
    """The other end of a connection, which may have had enough at any time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.sent = 0

    async def send(self, data: bytes) -> None:
        """Send as quickly as it takes it; raises ConnectionError once it is gone."""
        self._writer.write(data)
        self.sent += len(data)
        await self._writer.drain()

    async def slowly(self, data: Iterable[int]) -> None:
        """Send byte by byte until it is gone."""
        for each in data:
            await self.send(bytes([each]))
            await asyncio.sleep(STEP_S)

    async def for_ever(self, piece: bytes | Iterator[bytes]) -> None:
        """Send a piece again and again, or all of many pieces, until it is gone."""
        for each in itertools.repeat(piece) if isinstance(piece, bytes) else piece:
            await self.send(each)
            await asyncio.sleep(0)

    async def silent(self) -> None:
        """Say nothing more until it is gone."""
        await self._reader.read()

    def hang_up(self) -> None:
        """End the connection behind what was sent."""
        self._writer.close()

    def peer(self) -> tuple[str, int]:
        """Return its address."""
        host, port = self._writer.get_extra_info("peername")
        return str(host), int(port)


Script = Callable[[Caller], Awaitable[None]]


class Hostile:
    """A server on the loopback. `records` are what the library holds, once the scripts are used up.

    `heads` are the requests it got, in order; `played` counts the scripts that came to their turn,
    `sent` what they sent in all.
    """

    def __init__(self, records: Iterable[bytes] = ()) -> None:
        self.records = list(records)
        self.heads: list[str] = []
        self.connections = 0
        self.played = 0
        self.sent = 0
        self.callers: list[Caller] = []
        self._scripts: deque[Script] = deque()
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
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

    def play(self, *scripts: Script | bytes) -> None:
        """Let the next requests meet these; bytes are sent as they are."""
        self._scripts += [said(each) if isinstance(each, bytes) else each for each in scripts]

    def forget(self) -> None:
        """Be a good vendor from now on."""
        self._scripts.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                caller = Caller(reader, writer)
                self.callers.append(caller)
                await self._answer(caller, head)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, caller: Caller, head: str) -> None:
        if not self._scripts:
            await caller.send(answer(self._good(head)))
            return
        self.played += 1
        try:
            await self._scripts.popleft()(caller)
        finally:
            self.sent += caller.sent

    def _good(self, head: str) -> bytes:
        if "/items/" in head:
            return b"<ArrayOfItem/>"
        offset = re.search(r"[?&]offset=(\d+)", head)
        start = int(offset[1]) - 1 if offset else 0
        return page(self.records[start : start + PAGE_SIZE])


def said(data: bytes, *, close: bool = False) -> Script:
    """Send these bytes, and end the connection where told."""

    async def script(caller: Caller) -> None:
        await caller.send(data)
        if close:
            caller.hang_up()

    return script


def head(headers: Mapping[str, str], status: str = "200 OK", version: str = "1.1") -> bytes:
    """Return the head of an answer, its end included."""
    lines = [f"HTTP/{version} {status}", *(f"{name}: {each}" for name, each in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(body: bytes, headers: Mapping[str, str] | None = None, status: str = "200 OK") -> bytes:
    """Return an honest answer; `headers` may change what it says of itself."""
    return head({"Content-Length": str(len(body)), **(headers or {})}, status) + body


def chunked(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """Return a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + last


def page(records: Iterable[bytes]) -> bytes:
    """Return a page as the vendor makes it."""
    opening = f'<marc:collection xmlns:marc="{NAMESPACE}">'.encode()
    return opening + b"".join(records) + b"</marc:collection>"


def record(control_number: str, title: bytes = b"A title") -> bytes:
    """Return a record; the title stands in it as it is."""
    return (
        b"<marc:record><marc:leader>00000nam a2200000   4500</marc:leader>"
        b'<marc:controlfield tag="001">%b</marc:controlfield>'
        b'<marc:datafield tag="245" ind1="1" ind2="0"><marc:subfield code="a">%b</marc:subfield>'
        b"</marc:datafield></marc:record>" % (control_number.encode(), title)
    )


def most_memory(process: int) -> int:
    """Return the most bytes of memory that a living process has had."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def caller_of(port: int) -> int:
    """Return the process whose connection has this port at its end."""
    inode = next(
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}")
    )
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == f"socket:[{inode}]" and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:
            continue
    raise LookupError(port)
