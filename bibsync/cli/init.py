"""bibsync init: a configuration to begin with, written whole or not at all; the unit, printed."""

import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bibsync.cli import questions, unit
from bibsync.cli.context import DEBUG, Json
from bibsync.cli.text import flush, out, out_json, say, writing
from bibsync.config import find
from bibsync.errors import UsageWrong
from bibsync.settings import draft, secret, values
from bibsync.settings.draft import Account
from bibsync.settings.values import Unfit

PLACE = Path("bibsync.toml")
STDOUT = "-"
OWNER_ONLY = 0o600
NEXT = ("config check", "doctor", "run-once --all")
MEANING = {
    "name": "Name of the collection, any text",
    "library_id": "library_id, as the vendor gave it",
    "account_id": "account_id, as the vendor gave it",
    "account_key": "account_key (not shown while you type)",
    "base_url": "Address of the vendor's interface",
    "timezone": "Time zone, for schedules and times on screen",
    "database_url": "A PostgreSQL of your own, postgresql://... (Enter: an embedded one)",
}
GIVEN = ("name", "library_id", "account_id", "key_file")


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written: the configuration, and a key with the file that it goes into."""

    text: str
    account: Account | None
    key: str | None = None


def init(
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Left out: --config, $BIBSYNC_CONFIG, ./bibsync.toml. -: standard output.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help=f"{MEANING['name']}.")] = None,
    library_id: Annotated[
        str | None, typer.Option(metavar="ID", help=f"{MEANING['library_id']}.")
    ] = None,
    account_id: Annotated[
        str | None, typer.Option(metavar="ID", help=f"{MEANING['account_id']}.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the account's key.")
    ] = None,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Print systemd's unit for the daemon instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a commented configuration, readable by nobody else; an existing one is left alone.

    bibsync init

    bibsync init --output - > bibsync.toml

    bibsync init --systemd

    On a terminal it asks for the account and checks each answer; elsewhere, and with --output -, it
    asks nothing, and without the four options the account stands there as a comment.
    """
    if systemd:
        if json or any((output, name, library_id, account_id, key_file)):
            raise UsageWrong("--systemd prints the unit and goes with no other option of init.")
        _print_unit()
        return
    to_stdout = output == STDOUT
    if to_stdout and json:
        raise UsageWrong("--output - and --json can't both be written to standard output.")
    place = Path(output or DEBUG.config or os.environ.get("BIBSYNC_CONFIG") or PLACE)
    _refuse_taken(place)
    folder = Path() if to_stdout else place.parent
    given = {
        "name": name,
        "library_id": library_id,
        "account_id": account_id,
        "key_file": str(key_file) if key_file else None,
    }
    answers = {key: _fit(key, value, folder) for key, value in given.items() if value is not None}
    if to_stdout or not questions.are_possible():
        drafted = _unasked(answers)
    else:
        with questions.broken_off_quietly():
            drafted = _asked(answers, place)
    if to_stdout:
        out(drafted.text.removesuffix("\n"))
        return
    _write(drafted, place)
    _tell(drafted, place, json=json)


def _print_unit() -> None:
    """Print the unit for this installation and the configuration in force; install nothing."""
    installation = unit.this(find(DEBUG.config, os.environ))
    out(unit.text(installation).removesuffix("\n"))
    flush()
    unit.tell(installation)


def _refuse_taken(place: Path) -> None:
    if str(place) != STDOUT and os.path.lexists(place):
        raise UsageWrong(
            f"{place} is there already, and init never overwrites.",
            remedy="Go on with that one (`bibsync config check`), or name another: --output FILE.",
        )


def _fit(key: str, written: str, folder: Path) -> str:
    """Check what an option gave; a key's file as the configuration in `folder` will name it."""
    option = f"--{key.replace('_', '-')}"
    try:
        if key != "key_file":
            return draft.read(key, written)
        file = Path(written).absolute()
        draft.read("account_key", secret.kept({"file": str(file)}, folder=folder, environ={}).text)
        around = folder.absolute()
        return str(file.relative_to(around) if file.is_relative_to(around) else file)
    except Unfit as unfit:
        raise UsageWrong(values.sentence(f"{option} {unfit}")) from None


def _unasked(answers: dict[str, str]) -> Draft:
    missing = [f"--{key.replace('_', '-')}" for key in GIVEN if key not in answers]
    if answers and missing:
        raise UsageWrong(
            f"An account needs {', '.join(missing)} too.",
            remedy="Give all of --name, --library-id, --account-id and --key-file, or none.",
        )
    account = Account(**answers) if answers else None
    return Draft(draft.text(account, timezone=draft.system_timezone(os.environ)), account)


def _asked(answers: dict[str, str], place: Path) -> Draft:
    """Ask for what no option gave."""
    say(f"A few questions, then {place} is written. Ctrl-C leaves everything as it is.")

    def wanted(key: str, default: str = "", *, hidden: bool = False) -> str:
        check = partial(draft.read, key)
        return answers.get(key) or questions.ask(
            MEANING[key], check, default=default, hidden=hidden
        )

    name, library_id, account_id = (wanted(key) for key in ("name", "library_id", "account_id"))
    key = None if "key_file" in answers else wanted("account_key", hidden=True)
    account = Account(
        name=name,
        library_id=library_id,
        account_id=account_id,
        key_file=answers.get("key_file") or _free_name(place.parent, library_id),
        base_url=wanted("base_url", draft.BASE_URL),
    )
    timezone = wanted("timezone", draft.system_timezone(os.environ))
    url = questions.ask(MEANING["database_url"], _or_nothing(partial(draft.read, "database_url")))
    return Draft(draft.text(account, timezone=timezone, database_url=url or None), account, key)


def _or_nothing(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda written: check(written) if written else ""


def _free_name(folder: Path, library_id: str) -> str:
    """Return the name of a file for the key that isn't there yet."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", library_id).strip("-") or "account"
    name, number = f"{word}.key", 1
    while os.path.lexists(folder / name):
        number += 1
        name = f"{word}-{number}.key"
    return name


def _write(drafted: Draft, place: Path) -> None:
    """Write the key's file, then the configuration; if that fails, neither is left."""
    written: list[Path] = []
    try:
        if drafted.key is not None and drafted.account is not None:
            key_file = place.parent / drafted.account.key_file
            _create(key_file, f"{drafted.key}\n")
            written.append(key_file)
        _create(place, drafted.text)
    except BaseException:
        for each in written:
            each.unlink(missing_ok=True)
        raise


def _create(path: Path, text: str) -> None:
    """Make a file that only its owner can read: written beside, then put in place as a whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(str(path)):
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)  # refuses where a rename would overwrite
        except FileExistsError:
            _refuse_taken(path)
            raise
        finally:
            with suppress(OSError):
                beside.unlink()


def _tell(drafted: Draft, place: Path, *, json: bool) -> None:
    account = drafted.account
    key_file = str(place.parent / account.key_file) if account and drafted.key else None
    commands = [f"bibsync {_option(place)}{command}" for command in NEXT]
    if json:
        out_json(
            {
                "schema": "bibsync.init/1",
                "path": str(place),
                "key_file": key_file,
                "collections": [account.name] if account else [],
                "next": commands,
            }
        )
        return
    out(f"Wrote {values.plain(str(place))}" + (f" and {key_file}." if key_file else "."))
    if account is None:
        say("Fill in the account at its end first.")
    say("Next:")
    for command in commands:
        say(f"  {command}")


def _option(place: Path) -> str:
    """Return what makes the next command find the file; nothing where it finds it by itself."""
    found = os.environ.get("BIBSYNC_CONFIG") or PLACE
    return "" if Path(found) == place else f"--config {shlex.quote(str(place))} "
