"""The configuration file that a beginner starts with: the keys one needs, each with its sentence.

Values that aren't given are left out; their defaults stand behind a #. Whatever is asked of a
person is checked here, by the readers that the file will meet. A secret never stands in the text,
only where it is kept.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from bibsync.collection import Collection, Sync
from bibsync.settings import keys, shapes, values
from bibsync.settings.values import Reader, Unfit, shown

SOURCE: Final = "bibliotheca"
BASE_URL: Final = Collection(
    name="", source=SOURCE, library_id="", account_id="", account_key=SecretStr("")
).base_url

_ACCOUNT: Final = keys.account((SOURCE,))


def _word(written: object) -> str:
    """Read an id; a blank in it is a slip of whoever copied it."""
    read = values.text(written)
    if any(sign.isspace() for sign in read):
        raise Unfit("has a blank inside")
    return read


READERS: Final[Mapping[str, Reader]] = {
    **{key: setting.read for key, setting in _ACCOUNT.items()},
    "library_id": _word,
    "timezone": values.zone,
    "database_url": keys.SECTIONS["database"].settings["url"].read,
}
"""How each answer is read; what can't be read is Unfit, with the rest of a sentence."""

_ZONE_FILE: Final = Path("/etc/localtime")
_ZONES: Final = "/zoneinfo/"
_UTC: Final = shapes.Top().timezone


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A library's account; `key_file` is where its key is kept, as the configuration names it.

    `base_url` None: nobody has said it, the default counts.
    """

    name: str
    library_id: str
    account_id: str
    key_file: str
    base_url: str | None = None


EXAMPLE: Final = Account(
    name="Springfield cloudLibrary",
    library_id="abcde",
    account_id="partner",
    key_file="springfield.key",
)


def text(account: Account | None, *, timezone: str = _UTC, database_url: str | None = None) -> str:
    """Return the file; without an account that table is there as a comment, to be filled in."""
    entry = _entry(account or EXAMPLE)
    return _TEXT.format(
        timezone=quoted(timezone),
        database=f"url = {quoted(database_url)}" if database_url else f"#url = {_DATABASE}",
        sync=_sync(),
        level=quoted(shapes.Log().level),
        days=shapes.Cleanup().days_to_keep,
        account=entry if account else _commented(entry),
        hint="" if account else _HINT,
    )


def read(key: str, written: str) -> str:
    """Check an answer and return it.

    Raises:
        Unfit: the configuration would not take it; the text goes on after the key's name.
    """
    READERS[key](written)
    return written


def system_timezone(environ: Mapping[str, str]) -> str:
    """Return this machine's time zone, UTC where it can't be told."""
    linked = os.path.realpath(_ZONE_FILE).partition(_ZONES)[2]
    for name in (environ.get("TZ", "").lstrip(":"), linked):
        with suppress(Unfit):
            zone: str = values.zone(name).key
            return _UTC if zone == "Etc/UTC" else zone
    return _UTC


def quoted(written: str) -> str:
    """Return text as a basic string of TOML."""
    return json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")


def _entry(account: Account) -> str:
    return _ENTRY.format(
        name=quoted(account.name),
        source=quoted(SOURCE),
        library_id=quoted(account.library_id),
        account_id=quoted(account.account_id),
        key_file=quoted(account.key_file),
        base_url=f"base_url = {quoted(account.base_url)}"
        if account.base_url
        else f"#base_url = {quoted(BASE_URL)}",
    )


def _sync() -> str:
    sync = Sync()
    written = {
        "start_date": shown(sync.start_date),
        "requests_per_second": str(sync.requests_per_second),
        "timeout": quoted(shown(sync.timeout)),
        "retries": str(sync.retries),
        "late_after": quoted(shown(sync.late_after)),
    }
    return _SYNC.format(**written)


def _commented(lines: str) -> str:
    return re.sub(r"^(?=[^#\n])", "#", lines, flags=re.MULTILINE)


_DATABASE: Final = '"postgresql://bibsync@localhost/bibsync"'
_TEXT: Final = """\
# The configuration of bibsync. `bibsync config check` tells what is wrong with it, each problem
# with its line; `bibsync config show` prints what is in force. Keys that stand right behind a # are
# left out, and their defaults count. docs/configuration.md has every key.

# For schedules and for times on screen.
timezone = {timezone}

# Where the embedded database and lock files are kept. Left out: /var/lib/bibsync as root, else
# ~/.local/state/bibsync.
#state_dir = "/var/lib/bibsync"

[database]
# A PostgreSQL of your own, version 14 or newer. Left out: one that bibsync brings along and starts.
{database}

[redis]
# Where several processes on several machines agree on who syncs what. Left out: in PostgreSQL.
#url = "redis://localhost:6379/0"

[sync]
# How collections are read; each of them may have its own value.
{sync}
[log]
# debug, info, warning or error.
#level = {level}

[cleanup]
# How long runs, history and settled rejects are kept.
#days_to_keep = {days}

[notify]
# Who is told once of a problem, and once of its recovery.
#email_to = ["systems@library.example"]
#smtp_url = {{ env = "BIBSYNC_SMTP_URL" }}

# One account of a library at a vendor. More of them: the same lines again, from [[collections]] on.
{hint}{account}"""
_HINT: Final = (
    "# To be filled in with what the vendor gave you; then take the # away before the keys.\n"
)
_SYNC: Final = """\
# Where the history begins. An earlier day later on is no harm: the next run reads what is missing.
#start_date = {start_date}
# The most requests a second to one vendor host, all collections together.
#requests_per_second = {requests_per_second}
# How long one request may take, and how often it is sent again when the vendor can't answer.
#timeout = {timeout}
#retries = {retries}
# `bibsync status` calls a collection late that hasn't succeeded for so long.
#late_after = {late_after}
"""
_ENTRY: Final = """\
[[collections]]
# Any text; it names the collection everywhere.
name = {name}
source = {source}
# As the vendor gave them.
library_id = {library_id}
account_id = {account_id}
# The key, in a file of its own beside this one, which nobody else can read. It may also come from
# the environment, {{ env = "NAME" }}, or from systemd, {{ credential = "name" }}.
account_key = {{ file = {key_file} }}
{base_url}
"""
