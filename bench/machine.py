"""The machine that this runs on, in words; and how much memory a process took at most."""

import os
import platform
import re
import resource
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bibsync import store

KIB = 1024 if sys.platform != "darwin" else 1
"""What getrusage counts in."""


Machine = Mapping[str, str | int | float]


async def described(url: str) -> Machine:
    """Describe the machine, and the PostgreSQL behind this URL."""
    async with store.open_pool(url, size=1) as pool:
        postgres = await pool.fetchval("show server_version")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": _system(),
        "python": platform.python_version(),
        "postgresql": postgres.split()[0],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": round(os.getloadavg()[0], 1),
    }


def sentence(machine: Machine) -> str:
    """Say it in one sentence, as it stands below the table."""
    return (
        "{cpu}, {cores} cores, {memory_gib} GiB; {system}, Python {python}, PostgreSQL "
        "{postgresql}; {date}, load {load} at the start."
    ).format_map(machine)


def peak_bytes() -> int:
    """Return this process's peak in bytes.

    Linux hands the parent's peak down in what getrusage tells, so its own figure is preferred.
    """
    status = Path("/proc/self/status")
    own = (
        re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if status.exists()
        else None
    )
    if own:
        return int(own[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    model = known.exists() and re.search(
        r"^model name\s*:\s*(.+)$", known.read_text(), re.MULTILINE
    )
    return model[1].strip() if model else platform.processor() or platform.machine()


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name} ({platform.system()} {platform.release()}, {platform.machine()})"
