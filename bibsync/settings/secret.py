"""Where a secret may be kept: in the setting itself, or in the place that a small table names.

`{ file = "..." }`, from the configuration's folder on; `{ env = "..." }`, a variable;
`{ credential = "..." }`, a file in $CREDENTIALS_DIRECTORY as systemd's LoadCredential= makes it.
No message tells a secret, only where it was looked for.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bibsync.settings.values import Unfit, quote, suggestion

KEEPERS = ("file", "env", "credential")
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """A secret's text and what is to be said about its place.

    `variable` is the environment variable it is from, `exposed` the file that every user of
    this machine can read.
    """

    text: str
    inline: bool = False
    variable: str | None = None
    exposed: str | None = None


def kept(written: object, *, folder: Path, environ: Mapping[str, str]) -> Kept:
    """Fetch what `written` names; `folder` is where relative files are looked for.

    Raises:
        Unfit: it is missing, empty, unreadable or named in a way that has no meaning.
    """
    if isinstance(written, str):
        if not written.strip():
            raise Unfit("is empty")
        return Kept(written, inline=True)
    keeper, there = _keeper(written)
    if keeper == "env":
        if not environ.get(there, "").strip():
            raise Unfit(f"is to come from the variable {quote(there)}, which is empty or not set")
        return Kept(environ[there], variable=there)
    if keeper == "file":
        return _from_file(folder / there, f"from the file {quote(there)}")
    if "/" in there or there in {".", ".."}:
        raise Unfit(f"names the credential {quote(there)}, but credentials have no folders")
    if not environ.get("CREDENTIALS_DIRECTORY"):
        raise Unfit(f"is to come from the credential {quote(there)}, but systemd passed none")
    at = Path(environ["CREDENTIALS_DIRECTORY"]) / there
    return Kept(_from_file(at, f"from the credential {quote(there)}").text)


def variables(written: object) -> set[str]:
    """Return the name of the variable that `written` asks for, if any."""
    named = written.get("env") if isinstance(written, dict) else None
    return {named} if isinstance(named, str) else set()


def _keeper(written: object) -> tuple[str, str]:
    """Return the one keeper that is named, and what it is told."""
    if not isinstance(written, dict):
        raise Unfit("must be text in quotes, or a table with one of file, env, credential")
    unknown = [key for key in written if key not in KEEPERS]
    if unknown:
        raise Unfit(f"has the unknown key {quote(unknown[0])}{suggestion(unknown[0], KEEPERS)}")
    if len(written) != 1:
        raise Unfit(f"must name exactly one of file, env, credential, not {len(written)}")
    [(keeper, there)] = written.items()
    if not isinstance(there, str) or not there.strip():
        raise Unfit(f"must name its {keeper} as text in quotes")
    return keeper, there


def _from_file(path: Path, origin: str) -> Kept:
    """Read at most a small file, without the line break at its end."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST + 1)
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise Unfit(f"is to come {origin}: {(error.strerror or 'unreadable').lower()}") from None
    except ValueError:
        raise Unfit(f"is to come {origin}, which holds no text or has no possible name") from None
    if len(content) > _LARGEST:
        raise Unfit(f"is to come {origin}, which is too large for a secret")
    if not text.strip():
        raise Unfit(f"is to come {origin}, which is empty")
    return Kept(text, exposed=str(path) if mode & stat.S_IROTH else None)
