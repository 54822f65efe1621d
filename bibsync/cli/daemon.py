"""bibsync daemon: the service."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import uvloop

from bibsync import systemd, web
from bibsync.cli import context, syncing
from bibsync.cli.context import DEBUG
from bibsync.config import Config, find, load
from bibsync.daemon import Daemon, Outside, Side
from bibsync.metrics import Metrics
from bibsync.rounds import Reached

SPARE_CONNECTIONS = 4
"""For the rounds, the page and the interface."""


def daemon() -> None:
    """Keep every collection in step, until it is stopped; what systemd runs.

    bibsync daemon

    SIGHUP reads the configuration again, SIGTERM and SIGINT stop within `drain`, SIGUSR1 writes
    what runs now to the log. Any number of them work together on one database.
    Exit codes: 0 stopped, 1 its address can't be had, 5 configuration invalid, 7 the database's
    schema doesn't fit.
    """
    # A reload asked for before anybody hears it would end the process; what is read now is new.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = context.configuration()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving(config, load_again=_loaded))


async def serving(
    config: Config, *, load_again: Callable[[], Config], also: Sequence[Side] = ()
) -> None:
    """Serve with this configuration until a signal ends it; a reload calls `load_again`.

    `also` begins once the address is open.
    """
    outside = Outside(
        load=load_again,
        reach=_reached,
        supervisor=systemd.supervisor(os.environ),
        metrics=Metrics(),
    )
    await Daemon(config, outside).serve([web.serve, *also])


def _loaded() -> Config:
    """Read the configuration again, as the command line and the environment name it.

    Raises:
        ConfigInvalid: it has mistakes, is empty, or somebody is still writing it.
    """
    config = load(find(DEBUG.config, os.environ), os.environ, settled=True)
    return replace(config, log=replace(config.log, level="debug")) if DEBUG.on else config


@asynccontextmanager
async def _reached(config: Config) -> AsyncIterator[Reached]:
    wanted = config.daemon.concurrency * 2 + SPARE_CONNECTIONS
    size = min(wanted, syncing.MOST_CONNECTIONS)
    async with context.reached(config, size=size) as reached:
        yield reached
