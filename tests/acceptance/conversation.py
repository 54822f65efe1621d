"""A person at a terminal: reads what a command says there, types answers, presses keys."""

import asyncio
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import ioctl

from installation import WITHIN_S, Ended, Installation, keeps_silent

CTRL_C, CTRL_D = "\x03", "\x04"


def _make_it_ours() -> None:
    """Have Ctrl-C on this terminal mean this process, as a shell does."""
    ioctl(0, termios.TIOCSCTTY, 0)


class Conversation:
    """A command on a terminal of its own; `screen` is all that the terminal was sent."""

    def __init__(self, terminal: int, process: asyncio.subprocess.Process) -> None:
        self._terminal = terminal
        self._process = process
        self._read_so_far = 0
        self._more = asyncio.Event()
        self.screen = ""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(terminal, self._receive)

    async def sees(self, text: str) -> None:
        """Wait until this appears behind what was seen before."""
        async with asyncio.timeout(WITHIN_S):
            while (at := self.screen.find(text, self._read_so_far)) < 0:
                assert self._terminal >= 0, f"{text!r} never came, but:\n{self.screen}"
                self._more.clear()
                await self._more.wait()
        self._read_so_far = at + len(text)

    def presses(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    async def answers(self, question: str, answer: str) -> None:
        """Wait for a question and type the answer to it."""
        await self.sees(f"{question}: " if not question.endswith("]: ") else question)
        self.presses(f"{answer}\n")

    async def ended(self) -> Ended:
        """Wait for the end."""
        async with asyncio.timeout(WITHIN_S):
            code = await self._process.wait()
            while self._terminal >= 0:
                self._more.clear()
                await self._more.wait()
        keeps_silent(self.screen)
        return Ended(code, self.screen.replace("\r\n", "\n"), "")

    def echoes(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def leave(self) -> None:
        """Close the terminal, which ends what still runs in it."""
        if self._terminal >= 0:
            self._loop.remove_reader(self._terminal)
            os.close(self._terminal)
            self._terminal = -1

    def _receive(self) -> None:
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # Linux's way of saying that the last process has left
            piece = b""
        self.screen += piece.decode()
        if not piece:
            self.leave()
        self._more.set()


@asynccontextmanager
async def conversation(
    installation: Installation, *arguments: object, **environ: str
) -> AsyncIterator[Conversation]:
    """Start a command on a terminal of its own, and see that it ends with the block."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bibsync", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=installation.folder,
        env=installation.environment() | {"TERM": "xterm-256color"} | environ,
        start_new_session=True,
        preexec_fn=_make_it_ours,
    )
    os.close(theirs)
    talk = Conversation(ours, process)
    try:
        yield talk
    finally:
        talk.leave()
        if process.returncode is None:
            process.kill()
        await process.wait()
