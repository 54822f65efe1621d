"""What every command needs: the configuration, an event loop that stops on signals, the database.

`--config` and `--debug` belong to bibsync itself, yet are understood anywhere on the line.
"""

import asyncio
import getpass
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop

from bibsync import __version__, events, store
from bibsync.cli.text import out, say
from bibsync.config import Config, find, load
from bibsync.errors import BibsyncError, NotFound, SchemaUnfit, UsageWrong
from bibsync.rounds import Reached, Revive
from bibsync.store import Connection, Pool, collections, schema
from bibsync.store.embedded import EmbeddedPostgres, exists

Result = TypeVar("Result")

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
"""A closed terminal ends what ran in it as gently as SIGTERM does."""
HOISTED = {"--config": 1, "--debug": 0}
NEVER_RUN = 0
"""The number of no collection: it has no records and no rejects."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines for programs.")]


@dataclass(slots=True)
class Switch:
    """A switch of the whole command line."""

    on: bool = False
    config: Path | None = None


DEBUG = Switch()


class Interrupted(Exception):
    """The process was asked to stop, and did."""

    def __init__(self, number: signal.Signals, sentence: str) -> None:
        super().__init__(number.name)
        self.exit_code = EXIT_CODES[number]
        self.sentence = sentence


def _tell_version(wanted: bool) -> None:
    if wanted:
        out(f"bibsync {__version__}")
        raise typer.Exit


def opening(
    config: Annotated[
        Path | None,
        typer.Option(
            readable=False,  # whether it can be read is told with all else that is wrong with it
            metavar="FILE",
            help="The configuration file. Left out: $BIBSYNC_CONFIG, ./bibsync.toml, "
            "/etc/bibsync/bibsync.toml.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log everything; show tracebacks of errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version),
    ] = False,
) -> None:
    """Keep a library's electronic collections in step with their vendors' MARC records.

    bibsync demo
    """
    del version
    DEBUG.on, DEBUG.config = debug, config


def hoisted(arguments: list[str]) -> list[str]:
    """Move --config and --debug to the front, where typer expects them.

    Raises:
        UsageWrong: no file follows --config.
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name = word.split("=", 1)[0]
        if word == "--":
            return [*front, *rest, word, *waiting]
        if name in HOISTED:
            front.append(word)
            if HOISTED[name] and "=" not in word:
                if not waiting:
                    raise UsageWrong(f"{word} needs the name of a file.")
                front.append(waiting.pop(0))
        else:
            rest.append(word)
    return [*front, *rest]


def configuration(*, warned: bool = True) -> Config:
    """Load the configuration in force, tell its warnings, and set up the log.

    Raises:
        ConfigInvalid: with every problem.
    """
    config = load(find(DEBUG.config, os.environ), os.environ)
    for warning in config.warnings if warned else ():
        say(f"warning: {warning}")
    events.configure("debug" if DEBUG.on else config.log.level, config.log.format)
    return config


def run(work: Coroutine[Any, Any, Result], *, stopped: str = "Stopped.") -> Result:
    """Run `work` in a new event loop; SIGINT and SIGTERM cancel it, a second one ends at once.

    Raises:
        Interrupted: a signal came, all that was under way has ended; says `stopped`.
    """
    received: list[signal.Signals] = []

    async def watched() -> Result:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals) -> None:
            if received:
                os._exit(EXIT_CODES[number])
            received.append(number)
            if task:
                task.cancel()

        for number in EXIT_CODES:
            loop.add_signal_handler(number, stop, number)
        return await work

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(watched())
    except (asyncio.CancelledError, BibsyncError):
        if received:
            raise Interrupted(received[0], stopped) from None
        raise


def person() -> str:
    """Name who gave the command, for others to see: the user, and the host."""
    name = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{name}@{socket.gethostname()}"


def forget_variables(prefix: str) -> None:
    """Leave environment variables that begin so out of all that follows."""
    for name in [each for each in os.environ if each.startswith(prefix)]:
        del os.environ[name]


@asynccontextmanager
async def connected(config: Config, *, size: int = 4) -> AsyncIterator[Pool]:
    """Connect to the database that is configured, the embedded one where none is.

    Raises:
        StoreUnavailable: it can't be reached or started, or went away inside the block.
    """
    async with _server(config) as (url, _), store.open_pool(url, size=size) as pool:
        try:
            yield pool
        except (*store.LOST, store.FORBIDDEN) as error:
            raise store.unavailable(error) from None


@asynccontextmanager
async def reached(config: Config, *, size: int) -> AsyncIterator[Reached]:
    """Connect for the daemon, which brings the embedded server back if it was killed.

    Raises:
        StoreUnavailable, SchemaUnfit: the database can't be used now.
    """
    async with _server(config) as (url, revive), store.open_pool(url, size=size) as pool:
        try:
            await _brought_up(config, pool)
        except (*store.DISCONNECTED, store.FORBIDDEN) as error:
            raise store.unavailable(error) from None
        yield Reached(pool, revive)


@asynccontextmanager
async def _server(config: Config) -> AsyncIterator[tuple[str, Revive | None]]:
    """Yield the database's address; of the embedded server also what brings it back."""
    if config.database.url is not None:
        yield config.database.url.get_secret_value(), None
        return
    forget_variables("PG")  # PGPORT, PGSERVICE: those mean another server than our own
    embedded = EmbeddedPostgres(config.state_dir)
    async with embedded as url:
        yield url, embedded.start


@asynccontextmanager
async def writable(config: Config, *, size: int = 4) -> AsyncIterator[Pool]:
    """Connect for a command that writes: the schema is made or brought up to date first.

    Raises:
        StoreUnavailable, SchemaUnfit: the database can't be used.
    """
    async with connected(config, size=size) as pool:
        await _brought_up(config, pool)
        yield pool


async def _brought_up(config: Config, pool: Pool) -> None:
    """Make the schema or bring it up to date, as far as the configuration allows that."""
    async with store.acquire(pool) as conn:
        if config.database.upgrade == "auto":
            await schema.upgrade(conn)
        elif not await schema.require(conn):
            raise SchemaUnfit('The database is empty, and [database] upgrade is "never".')


@asynccontextmanager
async def readable(config: Config) -> AsyncIterator[Pool | None]:
    """Connect for a command that only reads; None where nobody has set up a database yet.

    Raises:
        StoreUnavailable, SchemaUnfit: the database can't be used.
    """
    if config.database.url is None and not exists(config.state_dir):
        yield None
        return
    async with connected(config) as pool:
        async with store.acquire(pool) as conn:
            fits = await schema.require(conn)
        yield pool if fits else None


async def number_of(conn: Connection, config: Config, name: str) -> int:
    """Return the number of a collection that a person named, NEVER_RUN if it was never synced.

    Raises:
        NotFound: it stands neither in the database nor in the configuration.
    """
    try:
        return (await collections.named(conn, name)).number
    except NotFound:
        if name not in {each.name for each in config.collections}:
            raise
        return NEVER_RUN
