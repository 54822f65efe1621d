"""What systemd is told, read from a real socket of the kind that it listens on."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bibsync import systemd
from bibsync.systemd import STATUS_LIMIT, Supervisor

WITHIN_S = 10.0
ABSTRACT = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
PRINT_ENVIRONMENT = [sys.executable, "-c", "import os; print(sorted(os.environ))"]


class Listener:
    """Systemd's end of the socket, and the name by which NOTIFY_SOCKET calls it."""

    def __init__(self, end: socket.socket, name: str) -> None:
        self.end = end
        self.name = name

    def heard(self) -> list[str]:
        """Return the lines of the next message."""
        return self.end.recv(1 << 16).decode().split("\n")

    def waiting(self) -> list[str]:
        """Return every message that has come already, whole."""
        messages = []
        self.end.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                messages.append(self.end.recv(1 << 16).decode())
        self.end.settimeout(WITHIN_S)
        return messages


@contextmanager
def listening(address: str, name: str) -> Iterator[Listener]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.settimeout(WITHIN_S)
        yield Listener(end, name)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bibsync-test-") as folder:
        yield Path(folder)


@pytest.fixture(params=["path", pytest.param("abstract", marks=ABSTRACT)])
def listener(request: pytest.FixtureRequest, folder: Path) -> Iterator[Listener]:
    if request.param == "path":
        address = name = str(folder / "notify")
    else:
        word = f"bibsync-test-{os.urandom(6).hex()}"
        address, name = f"\0{word}", f"@{word}"
    with listening(address, name) as listener:
        yield listener


def supervised(listener: Listener, **more: str) -> Supervisor:
    return systemd.supervisor({"NOTIFY_SOCKET": listener.name, **more})


def test_ready_and_its_status_are_one_message(listener: Listener):
    supervised(listener).ready("Waiting for 04:00.")

    assert ["READY=1", "STATUS=Waiting for 04:00."] == listener.heard()


def test_a_reload_names_the_moment_it_began_without_which_systemd_waits_for_ever(
    listener: Listener,
):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    supervised(listener).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    begun, moment = listener.heard()
    name, _, value = moment.partition("=")
    assert ("RELOADING=1", "MONOTONIC_USEC") == (begun, name)
    assert before <= int(value) <= after


def test_a_stop_says_how_long_it_may_take(listener: Listener):
    supervised(listener).stopping(within_s=60.5)

    assert ["STOPPING=1", "EXTEND_TIMEOUT_USEC=60500000"] == listener.heard()


def test_a_sign_of_life_is_one_line(listener: Listener):
    supervised(listener).watchdog()

    assert ["WATCHDOG=1"] == listener.heard()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("3 running\nMAINPID=1", "STATUS=3 running MAINPID=1"),
        ("a\r\n\tb\x0b\x1b[31mc\u2028d ", "STATUS=a b [31mc d"),
        ("\udc80 Bücher 書", "STATUS=Bücher 書"),
        ("", "STATUS="),
    ],
)
def test_a_status_is_one_line_whatever_stands_in_it(listener: Listener, text: str, line: str):
    supervised(listener).status(text)

    assert [line] == listener.heard()


def test_a_status_of_any_length_fits_into_what_systemd_reads(listener: Listener):
    supervised(listener).ready("\U0001d11e" * 5000)

    [message] = listener.waiting()
    assert len(message.encode()) <= 4096
    assert STATUS_LIMIT == message.count("\U0001d11e")


def test_without_systemd_nothing_happens():
    nobody = systemd.supervisor({})

    for tell in (nobody.reloading, nobody.watchdog):
        tell()
    nobody.ready("Here.")
    nobody.stopping(within_s=1)

    assert Supervisor() == nobody


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative", f"/{'x' * 200}", "/no/such/socket"])
def test_a_socket_that_can_t_be_reached_disturbs_nobody(name: str):
    systemd.supervisor({"NOTIFY_SOCKET": name}).ready("Here.")


def test_a_socket_that_is_gone_disturbs_nobody(folder: Path):
    with listening(str(folder / "notify"), str(folder / "notify")) as listener:
        told = supervised(listener)

    told.watchdog()
    (folder / "notify").unlink()
    told.watchdog()


def test_a_socket_that_is_full_disturbs_nobody_and_is_not_waited_for(listener: Listener):
    """More messages than any queue holds; the test would hang where one of them waited."""
    told = supervised(listener)

    for _ in range(5000):
        told.watchdog()

    assert 0 < len(listener.waiting()) < 5000


def test_no_child_inherits_what_systemd_said(monkeypatch: pytest.MonkeyPatch, listener: Listener):
    for name, value in (
        ("NOTIFY_SOCKET", listener.name),
        ("WATCHDOG_USEC", "60000000"),
        ("WATCHDOG_PID", str(os.getpid())),
    ):
        monkeypatch.setenv(name, value)

    told = systemd.supervisor(os.environ)

    child = subprocess.run(  # noqa: S603 - this very Python
        PRINT_ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert "PATH" in child.stdout
    assert "NOTIFY" not in child.stdout
    assert "WATCHDOG" not in child.stdout
    assert 30.0 == told.watchdog_every_s


@pytest.mark.parametrize(
    ("words", "every_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_sign_of_life_is_due_twice_in_the_time_that_systemd_waits(
    words: dict[str, str], every_s: float | None
):
    assert every_s == systemd.supervisor(words).watchdog_every_s


async def test_the_loop_gives_signs_of_life_until_it_is_told_to_stop(listener: Listener):
    told = supervised(listener, WATCHDOG_USEC="100000")
    began = time.monotonic()

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        beating = group.create_task(told.beat(), name="beat")
        heard = [await asyncio.to_thread(listener.heard) for _ in range(3)]
        beating.cancel()

    assert [["WATCHDOG=1"]] * 3 == heard
    assert time.monotonic() - began > 0.09  # twice 50 ms, the first sign coming at once


async def test_a_loop_that_stands_still_gives_no_sign_of_life(listener: Listener):
    """A thread would go on giving them, and systemd would never learn."""
    told = supervised(listener, WATCHDOG_USEC="20000")

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        beating = group.create_task(told.beat(), name="beat")
        await asyncio.to_thread(listener.heard)
        listener.waiting()
        threading.Event().wait(0.2)  # the loop stands still for ten times as long as one waits
        meanwhile = listener.waiting()
        again = await asyncio.to_thread(listener.heard)
        beating.cancel()

    assert [] == meanwhile
    assert ["WATCHDOG=1"] == again


async def test_no_sign_of_life_is_given_for_work_that_is_stuck(listener: Listener):
    told = supervised(listener, WATCHDOG_USEC="2000")
    asked = asyncio.Event()
    answers = iter([False, False, True])

    def lively() -> bool:
        if lively_now := next(answers, False):
            asked.set()
        return lively_now

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        beating = group.create_task(told.beat(lively=lively), name="beat")
        await asked.wait()
        told.status("Third.")
        beating.cancel()

    assert ["WATCHDOG=1", "STATUS=Third."] == listener.waiting()


async def test_where_nobody_waits_for_signs_of_life_the_task_ends_at_once(listener: Listener):
    await supervised(listener).beat()

    assert [] == listener.waiting()
