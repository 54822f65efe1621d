"""What TAB offers behind an option, beyond what typer knows by itself.

`--install-completion` sets a shell up; from then on the shell asks this program at each TAB. The
names of collections come from the configuration file alone: no secret that it names is fetched,
no database is asked, and where the file is missing or broken nothing is offered and nothing said.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from bibsync.config import find
from bibsync.errors import BibsyncError
from bibsync.settings import file

CONFIG = re.compile(r"""--config[\s=]+("[^"]*"|'[^']*'|(?:\\.|[^\s\\"'])+)""")
"""The option in a line that is still being typed, which may be no complete shell text."""
SPECIAL = re.compile(r"([^\w@%+=:,./-])")


class Typed(str):
    """A name as the shell has it typed.

    The completion compares it with what was typed before, where quotes and backslashes are gone;
    that comparison was made already, without them.
    """

    __slots__ = ()

    def startswith(self, *_: object) -> bool:
        """Let it pass."""
        return True


def collections(incomplete: str) -> list[str]:
    """Return the configuration's collections that begin so."""
    return [_typed(name) for name in _names() if name.startswith(incomplete)]


def words(*choices: str) -> Callable[[str], list[str]]:
    """Return what completes one of `choices`."""

    def matching(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return matching


def _names() -> list[str]:
    try:
        path = find(_named(), os.environ)
        tables = file.read(path).document.get("collections") if path else None
    except BibsyncError:
        return []
    entries = tables if isinstance(tables, list) else []
    names = [each.get("name") for each in entries if isinstance(each, dict)]
    return [name for name in names if isinstance(name, str) and name.isprintable()]


def _named() -> Path | None:
    """Return the file that the line names; it may stand behind the command, too."""
    match = CONFIG.search(_line())
    if match is None:
        return None
    return Path(re.sub(r"\\(.)|[\"']", r"\1", match[1])).expanduser()


def _line() -> str:
    return os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")


def _typed(name: str) -> str:
    """Escape for bash, which inserts what it is given as it stands; the others quote it themselves.

    Where the word was begun with a quote, bash goes on with it.
    """
    if os.environ.get("_BIBSYNC_COMPLETE") != "complete_bash" or _quoted():
        return Typed(name)
    return Typed(SPECIAL.sub(r"\\\1", name))


def _quoted() -> bool:
    last = os.environ.get("COMP_WORDS", "").rpartition("\n")[2]
    return last.startswith(('"', "'"))
