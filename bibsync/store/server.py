"""The embedded server of one state folder: its folders, its cluster, starting and halting it.

    STATE/                 the operator's choice; the program's user owns it
      postgres.log         what PostgreSQL's programs say
      *.lock               locks between processes, see embedded.py
      cluster ->           only where `nobody` can't reach STATE: the folder that stands for it
                           below, a private one under /var/lib
      pg18/                the cluster, named by PostgreSQL's major version
      s/                   its socket, unless the path is too long for one
      postgresql.conf, pg_hba.conf, pg_ident.conf
                           written at every start, so that an upgrade's settings take effect

There is no TCP, and peer authentication lets in the program's own user only. As root, PostgreSQL
runs as `nobody`, who owns pg18/ and s/ and nothing else; no folder outside changes its mode.

Whether PostgreSQL works on a cluster is asked of the kernel: initdb, the server and its backends
all hold working.lock. So neither a stale pid file nor a zombie counts as a server, and backends
that outlive a killed server are waited for. Whoever starts or halts holds gate.lock.
"""

import hashlib
import os
import pwd
import re
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from bibsync.errors import StoreUnavailable
from bibsync.store import binaries, locks
from bibsync.store.binaries import Account, Programs

ROLE: Final = "bibsync"
DATABASE: Final = "postgres"
SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
BUILTIN_LOCALE_SINCE: Final = 17
IO_METHOD_SINCE: Final = 18
PRIVATE_FOLDERS: Final = Path("/var/lib")
SOCKET_FOLDER_LIMIT: Final = 80
"""A socket's address holds 103 bytes on macOS, 107 on Linux, with `/.s.PGSQL.5432.lock`."""

LOG_LIMIT: Final = 1 << 20  # bytes; a longer log is begun anew
START_WAIT_S: Final = 60.0
RECOVERY_WAIT_S: Final = 600  # as long as replaying the WAL may take
PATIENCE_S: Final = 3.0  # for an orderly shutdown; after that the WAL has to do
HALT_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A living server: its process, its socket folder, whether it takes connections yet."""

    process: psutil.Process
    socket: str
    ready: bool


class Server:
    """The server of the state folder `state`; `settings` win over those above."""

    def __init__(self, state: Path, settings: Mapping[str, str]) -> None:
        self.state = state
        self.log = state / "postgres.log"
        self._settings = settings
        self._working = state / "working.lock"

    @property
    def home(self) -> Path:
        """The folder that the cluster lies in."""
        link = self.state / "cluster"
        return link.resolve() if link.is_symlink() else self.state

    @property
    def clusters(self) -> list[Path]:
        """Every cluster that was made here, the oldest major first."""
        return sorted(p for p in self.home.glob("pg*") if re.fullmatch(r"pg\d\d", p.name))

    def dsn(self) -> str | None:
        """Return the address of the running server, None where none takes connections."""
        for cluster in self.clusters:
            if (running := _postmaster(cluster)) and running.ready:
                host = quote(running.socket, safe="/")
                return f"postgresql:///{DATABASE}?host={host}&user={ROLE}"
        return None

    def bring_up(self, given_up: threading.Event) -> str:
        """Start the server if it doesn't run, make the cluster if there is none; return the DSN.

        Raises:
            StoreUnavailable: with the reason and what to do.
            GivenUp: `given_up` was set; what was begun is harmless.
        """
        until = time.monotonic() + START_WAIT_S
        while (lock := locks.attempt(self._working, locks.ALONE)) is None:
            if dsn := self.dsn():
                return dsn
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"PostgreSQL processes that can't be reached from here use {self.home}.",
                    remedy="If another container shares this folder, stop it; it has room for one.",
                )
            locks.pause(given_up)
        try:
            self._start(lock, given_up)
        finally:
            os.close(lock)
        if dsn := self.dsn():
            return dsn
        raise StoreUnavailable(f"PostgreSQL ended as soon as it was started (log: {self.log}).")

    def halt(self, given_up: threading.Event) -> None:
        """End the server if one runs, in order if it can, else by trusting its WAL.

        Raises:
            StoreUnavailable: it would not end.
            GivenUp: `given_up` was set.
        """
        began, told = time.monotonic(), set[tuple[int, int]]()
        while (lock := locks.attempt(self._working, locks.ALONE)) is None:
            waited_s = time.monotonic() - began
            if waited_s > HALT_WAIT_S:
                raise StoreUnavailable(f"PostgreSQL in {self.home} doesn't end (log: {self.log}).")
            how = signal.SIGINT if waited_s < PATIENCE_S else signal.SIGQUIT
            for running in filter(None, map(_postmaster, self.clusters)):
                if (running.process.pid, how) not in told:
                    told.add((running.process.pid, how))
                    _send(running.process, how)
            locks.pause(given_up)
        os.close(lock)

    def _start(self, lock: int, given_up: threading.Event) -> None:
        who = binaries.account()
        home = self._settle(who)
        found = binaries.find()
        major = binaries.major(found)
        cluster = home / f"pg{major}"
        if not cluster.exists():
            self._refuse_other_majors(major)
        programs = Programs(binaries.readable(found, who, shelf=home), who, self.log)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.unlink()
        if not cluster.exists():
            self._make(cluster, major, programs, lock=lock, given_up=given_up)
        socket = self._socket_folder(home, who)
        self._configure(home, socket, major)
        # No server works here, so these are left from one that was killed or from another boot.
        for stale in (cluster / "postmaster.pid", *socket.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        config = f"-c config_file={shlex.quote(str(home / 'postgresql.conf'))}"
        options = ("-o", config, "-w", "-t", str(RECOVERY_WAIT_S), "start")
        programs.run("pg_ctl", *options, cluster=cluster, lock=lock, given_up=given_up)

    def _settle(self, who: Account) -> Path:
        """Return the folder for the cluster, chosen once: where PostgreSQL's user can reach it."""
        link, home = self.state / "cluster", self.home
        if link.is_symlink() and not home.is_dir():
            raise StoreUnavailable(
                f"{link} names {home}, where the embedded database was, and it is gone.",
                remedy=f"Bring it back, or remove {link} to begin with an empty database.",
            )
        if who is None or link.is_symlink():
            return home
        self.state.chmod(self.state.stat().st_mode | 0o011)
        if binaries.reaches(self.state, who) and _holds_socket(self.state / "s"):
            return self.state
        if self.clusters:
            raise StoreUnavailable(
                f"The user {who.pw_name}, whom PostgreSQL runs as, can no longer reach {home}.",
                remedy="Let everyone enter (chmod o+x) the folders above it.",
            )
        PRIVATE_FOLDERS.mkdir(mode=0o755, parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix="bibsync-cluster-", dir=PRIVATE_FOLDERS))
        home.chmod(0o711)
        link.symlink_to(home)
        return home

    def _refuse_other_majors(self, major: int) -> None:
        for other in self.clusters:
            raise StoreUnavailable(
                f"{other} was made by PostgreSQL {other.name[2:]}, but the programs found are "
                f"PostgreSQL {major}.",
                remedy="Let BIBSYNC_PG_BIN name the older programs, dump the database with them "
                f"(pg_dump), move {other} away and restore the dump.",
            )

    def _make(
        self,
        cluster: Path,
        major: int,
        programs: Programs,
        *,
        lock: int,
        given_up: threading.Event,
    ) -> None:
        unfinished = cluster.with_suffix(".tmp")  # what a kill leaves is thrown away here
        shutil.rmtree(unfinished, ignore_errors=True)
        _private(unfinished, programs.account)
        options = ["--auth-local=peer", "--auth-host=reject", "--data-checksums"]
        options += ["--no-sync"] if self._settings.get("fsync") == "off" else []
        # Neither is ICU's nor the machine's: no update changes the order of text under an index.
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += builtin if major >= BUILTIN_LOCALE_SINCE else ["--locale=C"]
        options += ["--username", ROLE, "--encoding=UTF8"]
        programs.run("initdb", *options, cluster=unfinished, lock=lock, given_up=given_up)
        unfinished.rename(cluster)

    def _socket_folder(self, home: Path, who: Account) -> Path:
        folder = home / "s"
        if not _holds_socket(folder):
            tag = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
            folder = Path(tempfile.gettempdir()) / f"bibsync-{os.geteuid()}-{tag}"
        _private(folder, who)
        return folder

    def _configure(self, home: Path, socket: Path, major: int) -> None:
        settings = SETTINGS | {
            "unix_socket_directories": str(socket),
            "hba_file": str(home / "pg_hba.conf"),
            "ident_file": str(home / "pg_ident.conf"),
        }
        if major >= IO_METHOD_SINCE:
            settings["io_method"] = "sync"
        settings.update(self._settings)
        lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
        _write(home / "postgresql.conf", "# bibsync writes this file at every start.", *lines)
        _write(home / "pg_hba.conf", f"local all all peer map={ROLE}")
        _write(home / "pg_ident.conf", f'{ROLE} "{_own_name()}" {ROLE}')


def own(state: Path) -> None:
    """Make sure that the state folder exists and is this user's.

    Raises:
        StoreUnavailable: it belongs to somebody else.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_foreign(state)


def refuse_foreign(folder: Path) -> None:
    """Raise StoreUnavailable if `folder` belongs to another user."""
    owner = folder.lstat().st_uid
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"number {owner}"
    raise StoreUnavailable(
        f"{folder} belongs to the user {name}, not to the one running this.",
        remedy=f"Run this as the user {name}, or give another state_dir.",
    )


def _postmaster(cluster: Path) -> Postmaster | None:
    """Return the server that works on `cluster`; a pid file alone proves nothing."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if process.name() != "postgres" or process.cwd() != str(cluster):
            return None  # the number went to another process, or the server is a zombie
        socket, status = lines[4], lines[7]
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return Postmaster(process, socket, status.strip() == "ready")


def _send(process: psutil.Process, what: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(what)


def _holds_socket(folder: Path) -> bool:
    """Tell whether a socket fits in here; lists of such folders are split at commas."""
    name = os.fsencode(folder)
    return len(name) <= SOCKET_FOLDER_LIMIT and not set(name) & set(b',"\n')


def _private(folder: Path, who: Account) -> None:
    """Make sure that `folder` is a real one that only PostgreSQL's user can enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if who is None or folder.lstat().st_uid != who.pw_uid:
        refuse_foreign(folder)
    if who is not None:
        os.chown(folder, who.pw_uid, who.pw_gid, follow_symlinks=False)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise StoreUnavailable(
            f"The user number {os.geteuid()} has no name here, and PostgreSQL needs one.",
            remedy=f"Add the user to /etc/passwd. {binaries.GIVE_DSN}",
        ) from None


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)
