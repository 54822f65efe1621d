"""A PostgreSQL server that lets nobody in, and is so careless as to repeat the password it got."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from canary import PASSWORD

TLS = struct.pack("!II", 8, 80877103)
ASK_IN_PLAIN = b"R" + struct.pack("!II", 8, 3)


@dataclass
class Refusing:
    """The server; `passwords` are those that it was given."""

    port: int = 0
    passwords: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/db"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (first := await _message(reader)) == TLS:
                writer.write(b"N")
            assert first
            writer.write(ASK_IN_PLAIN)
            await reader.readexactly(1)
            given = (await _message(reader))[4:-1].decode()
            self.passwords.append(given)
            told = f'password authentication failed for user "me" with "{given}"'
            fields = f"SFATAL\0VFATAL\0C28P01\0M{told}\0D{told}\0\0".encode()
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def refusing() -> AsyncIterator[Refusing]:
    """Serve it as long as the block lasts."""
    server = Refusing()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


async def _message(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length) - 4)
