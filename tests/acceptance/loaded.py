"""The program, loaded once: most commands of the tests are forked from a process that has it.

Loading takes ten times as long as what most commands then do. A forked command is a process like
any other, with its own words, folder, environment and streams, and what it runs is what
`python -m bibsync` runs; it only finds the modules loaded. Whatever loading itself could break is
seen by those that are started from nothing, `Installation.start` and `run_on_a_terminal`: each
command is, in one test at least.

The module is also the program of that process, which serves one socket until its other end is
closed: a request is JSON, sent with three descriptors, of stdout, stderr and a pipe that is told
the command's process, and how it ended.
"""

import asyncio
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

LENGTH = struct.Struct("!I")
DESCRIPTORS = 3
MOST_DESCRIPTORS = 4096


class Forked:
    """A command that was forked: what the tests need of asyncio's own `Process`."""

    def __init__(self, pid: int, *readers: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._out, self._err, self._told = readers

    def send_signal(self, number: int) -> None:
        """Send a signal; raises ProcessLookupError where it has ended."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Wait for the end; return stdout and stderr."""
        out, err, _ = await asyncio.gather(self._out.read(), self._err.read(), self.wait())
        return out, err

    async def wait(self) -> int:
        """Wait for the end; return the exit code, below zero for a signal."""
        if self.returncode is None:
            self.returncode = int(await self._told.readline())
        return self.returncode


class Loaded:
    """The process that has the program loaded; `bytecode` is where compiled modules are kept."""

    def __init__(self, server: socket.socket, bytecode: Path) -> None:
        self._server = server
        self.bytecode = bytecode

    async def fork(
        self, words: Sequence[str], *, folder: Path, environment: Mapping[str, str]
    ) -> Forked:
        """Have a process run a command."""
        pipes = [os.pipe() for _ in range(DESCRIPTORS)]
        request = json.dumps([words, str(folder), dict(environment)]).encode()
        socket.send_fds(self._server, [LENGTH.pack(len(request))], [ours for _, ours in pipes])
        self._server.sendall(request)
        for _, ours in pipes:
            os.close(ours)
        out, err, told = [await _reading(theirs) for theirs, _ in pipes]
        pid = await told.readline()
        assert pid, "the program can't be loaded"
        return Forked(int(pid), out, err, told)


def environment(bytecode: Path) -> dict[str, str]:
    """Return what every process of bibsync needs.

    The vendor here speaks plain HTTP: to read every authority would cost a start 0.1 s.
    """
    elsewhere = {name: os.environ[name] for name in ["PYTHONPATH"] if name in os.environ}
    return {
        **elsewhere,
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "SSL_CERT_FILE": os.devnull,
        "SSL_CERT_DIR": os.devnull,
    }


@contextmanager
def opened(bytecode: Path) -> Iterator[Loaded]:
    """Load the program for the time of the block."""
    ours, theirs = socket.socketpair()
    with (
        subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(bytecode),
            pass_fds=[theirs.fileno()],
        ) as process,
        ours,
    ):
        theirs.close()
        yield Loaded(ours, bytecode)
        ours.close()
        _, err = process.communicate()
        assert (process.returncode, err) == (0, b"")


async def _reading(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    return reader


def _serve(server: socket.socket) -> list[str] | None:
    """Fork a process for each request; return its words there, and None where the end has come."""
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.set_wakeup_fd(ending)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then leaves
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tell: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([server, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell_ended(tell)
        if server in ready:
            header, descriptors, *_ = socket.recv_fds(server, LENGTH.size, DESCRIPTORS)
            if not header:
                return None
            request = server.recv(LENGTH.unpack(header)[0], socket.MSG_WAITALL)
            process = os.fork()
            if not process:
                return _become(server, request, descriptors)
            *others, tell[process] = descriptors
            _write(tell[process], process)
            for each in others:
                os.close(each)


def _tell_ended(tell: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            process, status = found
            _write(tell[process], os.waitstatus_to_exitcode(status))
            os.close(tell.pop(process))


def _write(descriptor: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits any longer
        os.write(descriptor, b"%d\n" % number)


def _become(server: socket.socket, request: bytes, descriptors: list[int]) -> list[str]:
    """Turn this process into the one that was asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, each in enumerate(descriptors[:2], start=1):
        os.dup2(each, number)
    server.detach()
    os.closerange(3, MOST_DESCRIPTORS)
    words, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    return [str(word) for word in words]


def main() -> None:
    """Load the program, and in each forked process run it."""
    cli = import_module("bibsync.cli")
    for name in cli.COMMANDS:
        import_module(f"bibsync.cli.{name.replace('-', '_')}")
    gc.freeze()
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is None:
        return
    sys.path[0] = str(Path.cwd())
    sys.argv = ["", *words]
    runpy.run_module("bibsync", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
