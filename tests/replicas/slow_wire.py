"""A wire to a server that can be made slow, silent or dead."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class SlowWire:
    """Forwards bytes over TCP; each answer comes after `delay_s`, none at all in a `silent` block.

    With `tls` clients speak that to it, whatever the server speaks.
    """

    def __init__(self, *server: object, tls: ssl.SSLContext | None = None):
        self._server = server
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._speaking = asyncio.Event()
        self._speaking.set()
        self.delay_s = 0.0
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Keep every connection open and forward nothing during the block."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        from_server, to_server = await self._open()
        pair = [
            asyncio.create_task(self._forward(reader, to_server, 0.0)),
            asyncio.create_task(self._forward(from_server, writer, None)),
        ]
        try:
            await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for task in pair:
                task.cancel()
            await asyncio.gather(*pair, return_exceptions=True)
            writer.transport.abort()
            to_server.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if len(self._server) == 1:
            return await asyncio.open_unix_connection(*self._server)
        return await asyncio.open_connection(*self._server)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float | None
    ) -> None:
        while received := await reader.read(65536):
            await self._speaking.wait()
            await asyncio.sleep(self.delay_s if delay_s is None else delay_s)
            writer.write(received)
            await writer.drain()
