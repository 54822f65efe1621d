"""How every command behaves towards pipes, terminals, signals and full disks."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
from installation import ACCOUNT_KEY, NOWHERE, Installation, until
from watched import Watched

FULL = Path("/dev/full")
UTC_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
STYLE = re.compile(r"\x1b\[[0-9;]*m")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
WAITING = "exists (select from pg_locks where not granted and relation = 'fences'::regclass)"
ENDING = {signal.SIGINT: 130, signal.SIGTERM: 143}


async def test_the_version_is_told_without_a_command(bare: Installation):
    ended = await bare.run("--version")

    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(r"bibsync \d+\.\d+\.\d+\n", ended.out)


async def test_through_a_pipe_comes_data_without_any_decoration(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())

    ended = [
        await installation.run(*command.split())
        for command in (
            "run-once --all",
            "status",
            "rejects list",
            "config check",
            "config show",
            "db status",
            "records export --collection springfield",
        )
    ]

    assert [0] * len(ended) == [each.code for each in ended]
    assert not any(CONTROL.search(each.out + each.err) for each in ended)
    assert [[2, 1, 0, 1], 120] == [
        [len(each.out.splitlines()) for each in ended[:4]],
        len(ended[-1].out.splitlines()),
    ]
    assert ended[0].out.split("\t")[:4] == ["springfield", "purchases", "succeeded", "120"]


async def test_on_a_terminal_a_run_shows_bars_and_status_a_ruled_table(
    installation: Installation, vendor: Watched
):
    name = "[red]Kids[/] :cat:"
    installation.configure(vendor.collections(name=name))

    run = await installation.run_on_a_terminal("run-once", "--all", "--stream", "purchases")
    looked_up = await installation.run_on_a_terminal("run-once", "--all")
    status = await installation.run_on_a_terminal("status")
    plain = await installation.run_on_a_terminal("status", TERM="dumb")

    assert (run.code, looked_up.code, status.code, plain.code) == (0, 0, 0, 0)
    assert "━" in run.out
    assert re.search(r"\d+ windows, 12\d records", run.out)
    assert "120 of 120 titles described" in looked_up.out
    assert "LAST SUCCESS" in status.out
    assert "───" in status.out
    assert name in STYLE.sub("", status.out)
    assert "LAST SUCCESS" in plain.out
    assert "\x1b" not in plain.out


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
async def test_nothing_on_a_terminal_breaks_in_two_however_narrow_it_is(
    installation: Installation, vendor: Watched, columns: int
):
    name = "A library of a long name"
    installation.configure(vendor.collections(name=name))
    ran = await installation.run("run-once", "--all", "--stream", "purchases")
    run = (await installation.run("runs", "list", "--json")).document
    times = [datetime.fromisoformat(run[each]) for each in ("finished", "started")]

    seen = [
        STYLE.sub("", (await installation.run_on_a_terminal(*words.split(), columns=columns)).out)
        for words in ("status", "runs list")
    ]

    assert ran.code == 0
    assert all(len(line) <= columns for line in seen[0].splitlines() if line[:1] != name[:1])
    assert [True, True] == [
        f"{time:%Y-%m-%d %H:%M}" in each for time, each in zip(times, seen, strict=True)
    ]
    assert [True, True] == [re.search(r"\b120\b", each) is not None for each in seen]
    assert [True, True] == ["(UTC)" in each.upper() for each in seen]
    assert (columns < 80) == (f"{name}\r\n  health" in seen[0])
    assert (columns < 120) == (f"\r\n  collection     {name[:17]}" in seen[1])


async def test_through_a_pipe_times_are_utc_and_lengths_are_seconds(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all", "--stream", "purchases")

    chicago = {"BIBSYNC_TIMEZONE": "America/Chicago"}
    status = (await installation.run("status", **chicago)).out.rstrip("\n").split("\t")
    run = (await installation.run("runs", "list", **chicago)).out.rstrip("\n").split("\t")
    shown = (await installation.run("runs", "show", "1", **chicago)).out
    document = await installation.stream()

    assert document["last_success"] == status[3]
    assert [True, True] == [each.isdecimal() for each in (status[4], run[6])]
    assert UTC_TEXT.fullmatch(run[5])
    assert 3 == len(UTC_TEXT.findall(shown))


async def test_no_command_waits_for_an_answer(bare: Installation):
    bare.configure([{"name": "springfield", "library_id": "x", "base_url": NOWHERE}])

    ended = await bare.run("run-once", "--all", "--force-reimport", "--dry-run")

    assert ended.code == 0


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
async def test_a_signal_ends_a_run_with_all_it_stored_and_the_next_run_goes_on(
    installation: Installation, vendor: Watched, number: signal.Signals
):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", [*["ok"] * 8, "timeout"])
    running = await installation.start("run-once", "--all", "--json")
    await vendor.asked(9)
    running.send(number)

    ended = await running.ended()
    stream = await installation.stream()
    kept = await installation.stored()
    again = await installation.run("run-once", "--all", "--json")

    assert (ended.code, again.code) == (ENDING[number], 0)
    assert ended.document["outcome"] == "interrupted"
    assert ended.document["new"] == len(kept)
    assert "run again and it goes on" in ended.err
    assert stream["lease"] is None
    assert stream["last_run"]["outcome"] == "interrupted"
    assert len(kept) == stream["last_run"]["new"] > 0
    assert again.document["new"] == 120 - len(kept)
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_a_second_signal_ends_a_run_at_once(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    vendor.next_answers("springfield", ["ok", "ok", "timeout", "timeout"])
    running = await installation.start("run-once", "--all")
    await vendor.asked(4)
    other = await asyncpg.connect(database)

    async with asyncio.timeout(4), other.transaction():  # the last word would take 5 s
        await other.execute("lock table fences in access exclusive mode")
        running.send(signal.SIGINT)
        await until(other, WAITING)
        running.send(signal.SIGINT)
        ended = await running.ended()
    await other.close()

    assert (ended.code, ended.out) == (130, "")


async def test_a_signal_while_the_program_is_being_loaded_is_no_traceback(bare: Installation):
    """Before that it is the interpreter's, which has words of its own."""
    running = await bare.start("status")
    loaded = Path(f"/proc/{running.process.pid}/maps")
    async with asyncio.timeout(30):
        while "/site-packages/" not in loaded.read_text():  # noqa: ASYNC110, ASYNC240 - no event
            await asyncio.sleep(0)
    running.send(signal.SIGINT)

    ended = await running.ended()

    assert ended.code == 130
    assert ended.err == ""


async def test_a_reader_that_has_enough_is_no_error(installation: Installation, vendor: Watched):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    line = "bibsync records export --collection springfield | head -1"

    process = await asyncio.create_subprocess_exec(
        *installation.shell(line),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=installation.folder,
        env=installation.environment(),
    )
    out, err = await process.communicate()

    assert (process.returncode, err) == (0, b"")
    assert out.count(b"\n") == 1


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [("config show", ""), ("config show --json", ""), ("--version", ""), ("-h", ""), ("-h", "1")],
)
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
async def test_a_full_disk_behind_stdout_is_said_in_one_sentence(
    bare: Installation, full: int, command: str, unbuffered: str
):
    running = await bare.start(*command.split(), stdout=full, PYTHONUNBUFFERED=unbuffered)

    ended = await running.ended()

    assert ended.code == 1
    assert "The output can't be written: No space left on device. [not_written]" in ended.err
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize("command", ["-h", "runs list -h"])
async def test_a_reader_that_never_looks_is_no_error_of_the_help(bare: Installation, command: str):
    ours, theirs = os.pipe()
    os.close(ours)
    running = await bare.start(*command.split(), stdout=theirs)
    os.close(theirs)

    ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
async def test_json_is_json_in_whatever_encoding_it_is_written(bare: Installation, encoding: str):
    name = "Bücherei 書 Ü"
    bare.configure([{"name": name, "library_id": "x", "base_url": NOWHERE}])
    running = await bare.start("config", "check", "--json", PYTHONIOENCODING=encoding)

    ended = await running.ended()

    assert [name] == ended.document["collections"]
    assert ended.out.isascii() == (encoding != "utf-8")


@pytest.fixture
def full() -> Iterator[int]:
    """Return a descriptor of a disk that is full."""
    descriptor = os.open(FULL, os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
async def test_a_stream_that_the_caller_has_closed_is_not_missed(bare: Installation, closed: str):
    bare.configure([{"name": "springfield", "library_id": "x", "base_url": NOWHERE}])

    process = await asyncio.create_subprocess_exec(
        *bare.shell(f"bibsync config check {closed}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=bare.folder,
        env=bare.environment(),
    )
    out, err = await process.communicate()

    assert (process.returncode, err) == (0, b"")
    assert bool(out) == (closed != ">&-")


async def test_debug_shows_where_an_error_arose_and_still_no_secret(
    bare: Installation, vendor: Watched
):
    bare.database = f"postgresql://bibsync:{ACCOUNT_KEY}@127.0.0.1:9/x"
    bare.configure(vendor.collections())

    process = await asyncio.create_subprocess_exec(
        *bare.shell("bibsync status --debug"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=bare.folder,
        env=bare.environment(),
    )
    _, err = await process.communicate()

    assert process.returncode == 7
    assert b"Traceback" in err
    assert ACCOUNT_KEY.encode() not in err
