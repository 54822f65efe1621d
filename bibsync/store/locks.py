"""Locks between processes of one machine, on files.

They are `flock`s: the kernel drops one with the last process that holds it open, even one
that was killed, so no lock is ever stale. A program started with a lock's descriptor holds
the lock too. Whoever waits does so in a thread, and gives up when told to.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.01
SHARED = fcntl.LOCK_SH
ALONE = fcntl.LOCK_EX


class GivenUp(Exception):
    """Whoever asked no longer wants the answer."""


def attempt(path: Path, how: int) -> int | None:
    """Take the lock if it can be had at once; return its descriptor, to be closed, else None."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def take(path: Path, how: int, *, wait_s: float, given_up: threading.Event) -> int:
    """Wait for the lock; return its descriptor, to be closed.

    Raises:
        TimeoutError: others held it for all of `wait_s` seconds.
        GivenUp: `given_up` was set meanwhile.
    """
    until = time.monotonic() + wait_s
    while (descriptor := attempt(path, how)) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"{path} was held by others for {wait_s:.0f} s")
        pause(given_up)
    return descriptor


@contextmanager
def held(path: Path, how: int, *, wait_s: float, given_up: threading.Event) -> Iterator[None]:
    """Hold the lock for the length of a block; raises what `take` raises."""
    descriptor = take(path, how, wait_s=wait_s, given_up=given_up)
    try:
        yield
    finally:
        os.close(descriptor)


def pause(given_up: threading.Event) -> None:
    """Let others work for a moment.

    Raises:
        GivenUp: `given_up` is set.
    """
    if given_up.wait(POLL_S):
        raise GivenUp
