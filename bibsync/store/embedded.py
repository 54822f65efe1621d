"""The embedded PostgreSQL: a real server that no one installs, for everyone who names no other.

All processes of one state folder share one server. The first one starts it, within
milliseconds another joins it, and the last one out halts it; where that one was killed, a
watcher does so (watcher.py). What has to hold between the processes is held by locks that the
kernel drops with their holder (locks.py), so any process may be killed at any moment:

    gate.lock      one at a time joins, leaves, starts or halts
    users.lock     shared by all who use the server
    watch.lock     the watcher's
    working.lock   PostgreSQL's own, from initdb to the last backend (server.py)

It does not make tables, and does not know what the database is for.
"""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from bibsync.errors import StoreUnavailable
from bibsync.store import binaries, locks, server, watcher
from bibsync.store.server import Server
from bibsync.store.watcher import GATE, USERS, WATCH

GATE_WAIT_S = 120.0
WATCHER_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # nothing secret
T = TypeVar("T")


class EmbeddedPostgres:
    """This process's use of the server of `state_dir`, from `start` to `stop`.

    `settings` are PostgreSQL's, for the server that this process may start: tests give
    fsync="off". A server that already runs keeps its own.
    """

    def __init__(self, state_dir: Path, **settings: str) -> None:
        self._state = state_dir.absolute().resolve()
        self._server = Server(self._state, settings)
        self._use: int | None = None

    @property
    def data_dir(self) -> Path:
        """The cluster's folder; before the first start, where it would be.

        Raises:
            StoreUnavailable: there is none yet, and no PostgreSQL to make it.
        """
        with _plainly(self._state):
            made = self._server.clusters
            return made[-1] if made else self._server.home / f"pg{binaries.major(binaries.find())}"

    async def start(self) -> str:
        """Use the server, started if need be, and return its DSN.

        Again after a start: the server is brought back if it was killed. May be cancelled at
        any moment; then this process doesn't use the server.

        Raises:
            StoreUnavailable: with the reason and what to do.
        """
        dsn, use = await _in_thread(self._join, undo=lambda joined: os.close(joined[1]))
        self._let_go()
        self._use = use
        return dsn

    async def stop(self) -> None:
        """Use the server no longer, and halt it if nobody else does. Twice is as good as once.

        If this is cancelled, the watcher halts it.
        """
        if self._use is not None:
            self._let_go()
            await _in_thread(self._leave)

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _let_go(self) -> None:
        use, self._use = self._use, None
        if use is not None:
            os.close(use)

    def _join(self, given_up: threading.Event) -> tuple[str, int]:
        with _plainly(self._state):
            server.own(self._state)
            with self._gate(given_up):
                # The watcher holds users.lock for a moment when it wakes.
                use = locks.take(
                    self._state / USERS, locks.SHARED, wait_s=GATE_WAIT_S, given_up=given_up
                )
                try:
                    self._have_watched()
                    return self._server.dsn() or self._server.bring_up(given_up), use
                except BaseException:
                    os.close(use)
                    raise

    def _leave(self, given_up: threading.Event) -> None:
        with _plainly(self._state), self._gate(given_up):
            if (alone := self._last_out(given_up)) is not None:
                try:
                    self._server.halt(given_up)
                finally:
                    os.close(alone)

    def _last_out(self, given_up: threading.Event) -> int | None:
        """Take users.lock alone, if no process uses the server.

        A second try follows, because the first may have met the watcher, who holds it alone
        for a moment when it wakes: only then can't it be shared.
        """
        users = self._state / USERS
        if (alone := locks.attempt(users, locks.ALONE)) is not None:
            return alone
        os.close(locks.take(users, locks.SHARED, wait_s=GATE_WAIT_S, given_up=given_up))
        return locks.attempt(users, locks.ALONE)

    def _gate(self, given_up: threading.Event) -> AbstractContextManager[None]:
        return locks.held(self._state / GATE, locks.ALONE, wait_s=GATE_WAIT_S, given_up=given_up)

    def _have_watched(self) -> None:
        """Start a watcher if none lives. The server can be used without, so none is no error."""
        mark = locks.attempt(self._state / WATCH, locks.ALONE)
        if mark is None:
            return
        path = map(os.path.abspath, sys.path)
        try:
            with self._server.log.open("ab") as log:
                subprocess.run(  # noqa: S603 this very Python, this very program
                    [sys.executable, "-I", "-S", watcher.__file__, self._state, str(mark), *path],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env={n: v for n in WATCHER_ENVIRONMENT if (v := os.environ.get(n))},
                    pass_fds=(mark,),
                    start_new_session=True,
                    check=False,
                )
        finally:
            os.close(mark)


def exists(state_dir: Path) -> bool:
    """Tell whether a cluster was ever made for `state_dir`; nothing is made or started."""
    state = state_dir.absolute().resolve()
    with _plainly(state):
        if not state.exists():
            return False
        server.refuse_foreign(state)
        return bool(Server(state, {}).clusters) or (state / "cluster").is_symlink()


async def _in_thread(
    work: Callable[[threading.Event], T], *, undo: Callable[[T], object] = lambda _: None
) -> T:
    """Run `work` in a thread: uvloop's subprocesses know no user=, and flock would block.

    Cancellation tells it to give up, and waits until it has; if it was done already, its
    result is undone.
    """
    given_up = threading.Event()
    done = asyncio.get_running_loop().run_in_executor(None, work, given_up)
    try:
        await asyncio.wait({done})
    except asyncio.CancelledError:
        given_up.set()
        done.add_done_callback(lambda ended: ended.exception() or undo(ended.result()))
        await asyncio.wait({done})
        raise
    return done.result()


@contextmanager
def _plainly(state: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one plain sentence."""
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable(
            f"Another process has been starting or halting the server: {error}.",
            remedy=f"See postgres.log in {state}, and run again.",
        ) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise binaries.disk_full(state) from error
        with suppress(OSError):
            server.refuse_foreign(state)
        raise StoreUnavailable(
            f"The embedded database in {state} can't be used: {error.strerror or error}.",
            remedy=f"Give another state_dir. {binaries.GIVE_DSN}",
        ) from error
