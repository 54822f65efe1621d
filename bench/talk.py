"""Processes of a measurement, spoken to in lines of JSON: a question in, an answer out."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

WITHIN_S = 600.0


@dataclass(slots=True)
class Child:
    """A process that answers every line with a line."""

    process: asyncio.subprocess.Process

    async def ask(self, question: object) -> Any:
        """Ask and return the answer."""
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        self.process.stdin.write(orjson.dumps(question) + b"\n")
        await self.process.stdin.drain()
        return await self.heard()

    async def heard(self) -> Any:
        """Return the next line.

        Raises:
            RuntimeError: the process ended instead.
        """
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        async with asyncio.timeout(WITHIN_S):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the measurement ended early")
        return orjson.loads(line)


@asynccontextmanager
async def started(module: str, words: Mapping[str, object]) -> AsyncIterator[Child]:
    """Run `python -m module` with these words as JSON; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, orjson.dumps(words).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def questions() -> AsyncIterator[Any]:
    """Yield what the parent asks, until it has no more; each wants one answer."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield orjson.loads(line)


def say(answer: object) -> None:
    """Answer the parent."""
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()
