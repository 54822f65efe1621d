"""The configuration file: read once, as TOML, with the line of each of its keys."""

import os
import re
import stat
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bibsync.errors import ConfigInvalid
from bibsync.settings import toml_lines, values
from bibsync.settings.toml_lines import KeyPath

_LARGEST_FILE = 4 * 1024 * 1024
_SETTLE_S, _SETTLE_TRIES = 0.2, 15
_NAME_ANOTHER = "Name a file that this user may read: --config FILE, or BIBSYNC_CONFIG."
_WRITE_IT = "Write it, then reload once more."
_POSITION = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True, repr=False)
class File:
    """A configuration file that is TOML.

    `name` is as the user gave it, `open_to_others` tells that its text is no secret here.
    """

    name: str = ""
    folder: Path = Path()
    document: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    open_to_others: bool = False


def read(path: Path, *, settled: bool = False) -> File:
    """Read and parse `path`; `settled`: only once nobody writes it any more, and never empty.

    Raises:
        ConfigInvalid: it can't be read, or isn't TOML; or it was to be settled, and is empty or
            still changes after three seconds.
    """
    name = values.plain(str(path))
    opened = _settled(path) if settled else _bytes(path)
    if isinstance(opened, str):
        raise ConfigInvalid((f"{name}: {opened}",), remedy=_NAME_ANOTHER)
    if settled and not opened[0]:
        raise ConfigInvalid((f"{name}: is empty",), remedy=_WRITE_IT)
    content, mode = opened
    parsed = _parsed(content)
    if isinstance(parsed, str):
        raise ConfigInvalid((f"{name}:{parsed}",))
    document, lines = parsed
    return File(name, path.parent, document, lines, bool(mode & (stat.S_IRGRP | stat.S_IROTH)))


def _bytes(path: Path) -> tuple[bytes, int] | str:
    """Return the file's bytes and mode, or the sentence that tells why not."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_FILE + 1)
    except IsADirectoryError:
        return "is a folder, not a file"
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is impossible"
        return f"can't be read: {reason.lower()}"
    if len(content) > _LARGEST_FILE:
        return "is too large for a configuration"
    return content, mode


def _settled(path: Path) -> tuple[bytes, int] | str:
    """Return what two readings in a row agree on: most editors empty a file, then write it."""
    before = _bytes(path)
    for _ in range(_SETTLE_TRIES):
        time.sleep(_SETTLE_S)
        now = _bytes(path)
        if now == before:
            return now
        before = now
    raise ConfigInvalid((f"{values.plain(str(path))}: is still being written",), remedy=_WRITE_IT)


def _parsed(content: bytes) -> tuple[dict[str, Any], dict[KeyPath, int]] | str:
    """Return the document and its lines, or `LINE: sentence`; errors that hold text stay here."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"{line}: the file isn't UTF-8 text"
    try:
        return tomllib.loads(text), toml_lines.lines(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    except ValueError:
        return "1: some number or date in the file is out of all bounds"
    except RecursionError:
        return "1: the file is nested too deeply"
    position = _POSITION.search(message)
    line = int(position["line"]) if position and position["line"] else text.count("\n") + 1
    return f"{line}: this isn't TOML: {_POSITION.sub('', message)}"
