"""bibsync demo: the first thing that anyone runs, on any machine, whatever lies around there."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest
from installation import Installation, keeps_silent

POISON = {
    "BIBSYNC_CONFIG": "nothing.toml",
    "BIBSYNC_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/x",
    "BIBSYNC_STATE_DIR": "/proc/nowhere",
    "BIBSYNC_PG_BIN": "/proc/nowhere",
    "BIBSYNC_LOG__LEVEL": "nonsense",
    "PGPORT": "1",
    "PGSERVICE": "nothing",
}
"""Variables of other purposes, PostgreSQL's own among them."""


@pytest.fixture
def place(bare: Installation) -> Installation:
    """Return a folder with a useless bibsync.toml, and with room for what is temporary."""
    bare.config.write_text("this is [no] configuration")
    bare.environ = {"TMPDIR": str(bare.folder)}
    return bare


def left_behind(folder: Path) -> list[psutil.Process]:
    """Return the processes that know the folder, and still live five seconds from now."""
    known = [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in each.info["cmdline"] or ())
    ]
    return psutil.wait_procs(known, timeout=5)[1]


def resolved(folder: Path, pattern: str) -> list[Path]:
    return [each.resolve() for each in folder.glob(pattern)]


def existing(paths: list[Path]) -> list[Path]:
    return [each for each in paths if each.exists()]


async def test_the_demo_proves_itself_and_leaves_nothing_behind(place: Installation):
    ended = await place.run("demo", **POISON)

    rows = [line.split("\t") for line in ended.out.splitlines() if "\t" in line]
    assert (ended.code, [row[-1] for row in rows]) == (0, ["yes", "yes", "yes"]), ended.err
    assert re.search(r"\d+ records received in .+: \d+ a second", ended.out)
    assert left_behind(place.folder) == []
    assert ["bibsync.toml"] == place.files()


async def test_what_the_demo_keeps_can_be_looked_at_with_the_commands_it_names(
    place: Installation,
):
    ended = await place.run_on_a_terminal("demo", "--keep")
    commands = re.findall(r"^  .+ -m bibsync (--config .+?)\s*$", ended.out, re.MULTILINE)

    looked = [await place.run(*command.split()) for command in commands]

    assert (ended.code, len(commands)) == (0, 2)
    assert "SAME AS VENDOR" in ended.out
    assert [0, 0] == [each.code for each in looked]
    assert looked[0].out.count("\tok\tidle\t") == 3
    assert "unreadable_record" in looked[1].out
    assert left_behind(place.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
async def test_a_demo_that_is_stopped_cleans_up(place: Installation, number: signal.Signals):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bibsync", "demo"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=place.folder,
        env=place.environment(),
        start_new_session=True,
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"Syncing" not in await process.stderr.readline():
            pass
        clusters = resolved(place.folder, "bibsync-demo-*/cluster")
        os.killpg(process.pid, number)  # as a terminal's Ctrl-C: all of the foreground
        out, err = await process.communicate()

    keeps_silent((out + err).decode())
    assert (process.returncode, out) == (128 + number, b"")
    assert existing(clusters) == []
    assert left_behind(place.folder) == []
    assert ["bibsync.toml"] == place.files()


async def test_the_daemon_may_be_left_on_until_it_is_told_to_stop(place: Installation):
    running = await place.start("demo", "--serve")
    process = running.process
    address = ""
    async with asyncio.timeout(120):
        while not (said := re.search(r"http://\S+/", address)):
            address = (await process.stderr.readline()).decode()
    async with aiohttp.ClientSession(said[0]) as client:
        registered = await (await client.get("v1/registered")).json()

    running.send(signal.SIGINT)
    ended = await running.ended()

    assert ended.code == 0, ended.err
    assert "purchases" in {each["job"] for each in registered["jobs"]}
    assert left_behind(place.folder) == []
    assert ["bibsync.toml"] == place.files()
