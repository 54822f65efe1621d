"""What systemd is told of this process: ready, reloading, stopping, one line of status, alive.

The protocol is that of sd_notify(3): a datagram of `NAME=value` lines to the socket that
NOTIFY_SOCKET names, by its path or, behind an @, in Linux's abstract namespace. Where nobody
listens, because systemd didn't start this process or its socket is gone or full, nothing happens
and nothing is raised: no work depends on it, and nobody could do anything about it. Nothing here
ever waits for systemd.
"""

import asyncio
import math
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

STATUS_LIMIT: Final = 500
"""Letters of a status; systemd throws away a datagram above 4096 bytes, and shows one line."""

_SOCKET: Final = "NOTIFY_SOCKET"
_PERIOD: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Who started this process and wants to know how it fares; by default nobody.

    `watchdog_every_s` is how often a sign of life is due, half of what systemd waits for one;
    None: it waits for none.
    """

    address: bytes | None = None
    watchdog_every_s: float | None = None

    def ready(self, status: str) -> None:
        """Tell that the start, or a reload, is over."""
        self._tell("READY=1", _status(status))

    def reloading(self) -> None:
        """Tell that a reload begins; `ready` must follow, also where it is refused."""
        # Type=notify-reload, which a drop-in may choose, waits for ever where the time is missing.
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, *, within_s: float) -> None:
        """Tell that a stop begins and may take so long, whatever TimeoutStopSec= says.

        Said again before that is over, it prolongs the time once more.
        """
        extension_us = math.ceil(within_s * _MICROSECONDS)
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={extension_us}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._tell(_status(text))

    def watchdog(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    async def beat(self, *, lively: Callable[[], bool] = lambda: True) -> None:
        """Give signs of life while the loop turns and `lively` agrees, until cancelled.

        A loop that stands still gives none, and systemd ends the process and starts it again.
        Returns at once where systemd waits for none.
        """
        while self.watchdog_every_s is not None:
            if lively():
                self.watchdog()
            await asyncio.sleep(self.watchdog_every_s)

    def _tell(self, *assignments: str) -> None:
        if self.address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.settimeout(0)
            end.sendto("\n".join(assignments).encode(), self.address)


def supervisor(environ: MutableMapping[str, str]) -> Supervisor:
    """Find out who started this process, and take the words for it out of `environ`.

    To be asked once, before any child is started: a child that found the words there, the embedded
    PostgreSQL for one, could speak in this process's name.
    """
    named, period, watched = (environ.pop(name, "") for name in (_SOCKET, _PERIOD, _WATCHED))
    return Supervisor(_address(named), _every_s(period, watched))


def _address(named: str) -> bytes | None:
    """Return the socket's address; None for none, and for a kind that isn't this machine's."""
    if named.startswith("@"):
        return b"\0" + os.fsencode(named[1:])
    return os.fsencode(named) if named.startswith("/") else None


def _every_s(period: str, watched: str) -> float | None:
    """Return how often a sign of life is due; None where it is another process's to give."""
    ours = watched in {"", str(os.getpid())}
    return int(period) / _MICROSECONDS / 2 if ours and _is_number(period) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) > 0


def _status(text: str) -> str:
    """Write one line of status: a line break in it would begin an assignment of its own."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return f"STATUS={' '.join(plain.split())[:STATUS_LIMIT]}"
