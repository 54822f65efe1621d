"""Folders: the state folder, where it is if nobody says, and the home folder it may be in."""

from collections.abc import Mapping
from pathlib import Path

from bibsync.settings.values import Reader, Unfit, text

ROOTS_STATE = Path("/var/lib/bibsync")


def folder(home: Path | None, around: Path) -> Reader:
    """Make a reader of a folder's path: `~/` begins at `home`, a relative one in `around`."""

    def read(written: object) -> Path:
        path = text(written)
        if path != "~" and not path.startswith("~/"):
            return around / path
        if home is None:
            raise Unfit("begins with ~, but no home folder is known")
        return home / path[2:]

    return read


def home(environ: Mapping[str, str]) -> Path | None:
    """Return the home folder, None where nobody knows one."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        return None


def state_dir(environ: Mapping[str, str], *, root: bool) -> tuple[Path, str]:
    """Return the state folder that stands where none is configured, and where that is from.

    Raises:
        Unfit: there is no home folder to put it in.
    """
    if environ.get("STATE_DIRECTORY"):  # systemd may pass several, divided by colons
        return Path(environ["STATE_DIRECTORY"].partition(":")[0]), "STATE_DIRECTORY"
    if root:
        return ROOTS_STATE, "default"
    if environ.get("XDG_STATE_HOME", "").startswith("/"):  # its standard: ignored if relative
        return Path(environ["XDG_STATE_HOME"]) / "bibsync", "XDG_STATE_HOME"
    at_home = home(environ)
    if at_home is None:
        raise Unfit("is needed: there is no home folder it could be in")
    return at_home / ".local/state/bibsync", "default"
