"""An installation of bibsync as its users have it: a configuration, a folder, processes.

Nothing of the program is imported here but its name: every command is a process, spoken to through
its arguments, its streams, its signals and its exit code. Those that are only run to their end are
forked from a process that has the program loaded; see there. What no output may ever show is
checked of all of them.
"""

import asyncio
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Any

import loaded
from loaded import Forked, Loaded

WITHIN_S = 60.0
ACCOUNT_KEY = "key-that-nobody-may-see"
PASSWORD = "password-that-nobody-may-see"
NOWHERE = "http://127.0.0.1:9/"
QUICK = "requests_per_second = 100000\nretries = 0\n"
"""Settings of [sync] that suit a vendor on this machine."""


def _hear_signals() -> None:
    """A shell's background job ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Return stdout, which must be JSON lines and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def without_lookups(self) -> list[dict[str, Any]]:
        """Return the documents but those that are about metadata."""
        return [each for each in self.documents if each.get("stream") != "metadata"]

    @property
    def lookups(self) -> list[dict[str, Any]]:
        """Return the documents that are about metadata."""
        return [each for each in self.documents if each.get("stream") == "metadata"]

    @property
    def document(self) -> dict[str, Any]:
        """Return stdout, which must be one line of JSON, the look-ups of a run aside."""
        [document] = self.without_lookups
        return document


@dataclass(slots=True)
class Running:
    """A command that hasn't ended yet."""

    process: asyncio.subprocess.Process | Forked

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, if it still lives."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def ended(self, *, within_s: float = WITHIN_S) -> Ended:
        """Wait for the end."""
        try:
            async with asyncio.timeout(within_s):
                out, err = await self.process.communicate()
        finally:
            if self.process.returncode is None:
                self.kill()
                await self.process.wait()
        assert self.process.returncode is not None
        ended = Ended(
            _as_shells_count(self.process.returncode), (out or b"").decode(), err.decode()
        )
        keeps_silent(ended.out + ended.err)
        return ended


@dataclass(slots=True)
class Installation:
    """A folder with a bibsync.toml, in which commands are run.

    `database` None stands for the embedded server in `state`. The environment holds nothing but
    what every process needs and `environ`.
    """

    folder: Path
    state: Path
    database: str | None
    program: Loaded
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "bibsync.toml"

    def configure(
        self, collections: Iterable[Mapping[str, object]] = (), *, sync: str = QUICK, more: str = ""
    ) -> None:
        """Write the configuration; `more` are tables of it in full."""
        lines = [f'state_dir = "{self.state}"']
        if self.database:
            lines += ["[database]", f'url = "{self.database}"']
        lines += ["[sync]", sync, more]
        for each in collections:
            settings = {
                "source": "bibliotheca",
                "account_id": "partner",
                "account_key": ACCOUNT_KEY,
                **each,
            }
            lines += ["", "[[collections]]", *(f"{k} = {_toml(v)}" for k, v in settings.items())]
        self.config.touch(mode=0o600)
        self.config.write_text("\n".join(lines) + "\n")

    def files(self) -> list[str]:
        """Return the names of all that lies in the folder."""
        return sorted(each.name for each in self.folder.iterdir())

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def run(self, *arguments: object, **environ: str) -> Ended:
        """Run a command to its end, its streams being pipes; the program is loaded already."""
        running = await self.fork(*arguments, **environ)
        return await running.ended()

    async def fork(self, *arguments: object, **environ: str) -> Running:
        """Start a command, its streams being pipes; the program is loaded already."""
        return Running(
            await self.program.fork(
                [*map(str, arguments)], folder=self.folder, environment=self._environment(environ)
            )
        )

    async def stored(self, collection: str = "springfield") -> dict[str, str]:
        """Return the fingerprint of every stored record, by control number."""
        ended = await self.run("records", "export", "--collection", collection)
        assert ended.code == 0, ended.err
        return {each["control_number"]: each["fingerprint"] for each in ended.documents}

    async def rejected(self, collection: str = "springfield") -> Counter[str]:
        """Return how many rejects there are for each reason."""
        ended = await self.run("rejects", "list", "--collection", collection, "--json")
        assert ended.code == 0, ended.err
        return Counter(each["reason"] for each in ended.documents)

    async def stream(self, **environ: str) -> dict[str, Any]:
        """Return what `status --json` says of the first collection's purchases."""
        ended = await self.run("status", "--json", **environ)
        assert ended.code == 0, ended.err
        return dict(ended.document["collections"][0]["streams"][0])

    async def start(self, *arguments: object, stdout: int = -1, **environ: str) -> Running:
        """Start a command from nothing; `stdout` is a descriptor to be used instead of a pipe."""
        process = await asyncio.create_subprocess_exec(
            *self._words(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env=self._environment(environ),
            limit=1 << 22,
            preexec_fn=_hear_signals,
        )
        return Running(process)

    async def run_on_a_terminal(
        self, *arguments: object, columns: int = 120, **environ: str
    ) -> Ended:
        """Run a command on a terminal; `out` is all that the terminal was sent."""
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *self._words(arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.folder,
            env=self._environment({"TERM": "xterm-256color"} | environ),
        )
        os.close(theirs)
        seen = await asyncio.to_thread(_everything, ours)
        code = await asyncio.wait_for(process.wait(), WITHIN_S)
        keeps_silent(seen)
        return Ended(_as_shells_count(code), seen, "")

    def shell(self, line: str) -> list[str]:
        """Return the words that run a line of shell in which `bibsync` is the command."""
        command = " ".join(self._words(()))
        return ["bash", "-o", "pipefail", "-c", line.replace("bibsync", command)]

    def environment(self) -> dict[str, str]:
        """Return what the processes find in their environment."""
        return self._environment({})

    @staticmethod
    def _words(arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "bibsync", *map(str, arguments)]

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        needed = loaded.environment(self.program.bytecode)
        return {**needed, "HOME": str(self.folder), **self.environ, **more}


async def until(conn: Any, condition: str) -> None:
    """Wait until a query of the database is true."""
    async with asyncio.timeout(30):
        while not await conn.fetchval(f"select {condition}"):
            await conn.execute("select pg_sleep(0.02)")


def keeps_silent(text: str) -> None:
    """Check what holds for every command: no secret, no traceback."""
    assert ACCOUNT_KEY not in text
    assert PASSWORD not in text
    assert "Traceback" not in text, text[text.find("Traceback") :]


def _everything(terminal: int) -> str:
    """Read until the last process has left the terminal."""
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # Linux's way of saying so
        pass
    finally:
        os.close(terminal)
    return b"".join(pieces).decode()


def _as_shells_count(code: int) -> int:
    """A process that died of a signal has 128 and the signal's number in a shell."""
    return 128 - code if code < 0 else code


def _toml(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else str(value)
