"""The watcher: a tiny process that ends the embedded server when nobody uses it any more.

A process that ends in order halts the server itself, if it was the last. One that is killed
can't; but the kernel drops its lock on users.lock, and that is what the watcher sleeps on.

`embedded.py` runs this file as a script: `python -I -S watcher.py STATE DESCRIPTOR PATH...`. The
descriptor is of watch.lock, so there is never a second watcher; PATH is what Python's path
becomes on waking, because asleep it needs three modules only. It has a session of its own, so
that no terminal's Ctrl-C reaches it. If it is killed, the next start brings another.
"""

import fcntl
import os
import sys

USERS = "users.lock"  # shared by every process that uses the server
GATE = "gate.lock"  # held by whoever joins, leaves, starts or halts
WATCH = "watch.lock"  # held by the watcher


def watch(state: str, mark: int) -> None:
    """Sleep until nobody uses the server, then halt it; `mark` is the descriptor of watch.lock."""
    gate = os.open(os.path.join(state, GATE), os.O_RDWR)  # noqa: PTH118 pathlib is half a megabyte
    users = os.open(os.path.join(state, USERS), os.O_RDWR)  # noqa: PTH118 the same
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)  # whoever joins holds the gate and needs this one
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(gate, fcntl.LOCK_UN)
            continue
        halt(state)
        os.close(mark)  # before the gate opens: whoever joins next needs a new watcher
        return


def halt(state: str) -> None:
    """Halt the server of `state`, if one runs."""
    # Imported on waking only: they would make a sleeper of 3 MB one of 20.
    import threading  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from bibsync.store.server import Server  # noqa: PLC0415

    Server(Path(state), {}).halt(threading.Event())


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # the starter needn't wait, nor be a parent
    sys.path[:] = sys.argv[3:]
    watch(sys.argv[1], int(sys.argv[2]))
