"""The unit by which systemd runs the daemon, with the paths of one installation.

The text is `bibsync.service.in`, beside this file. `systemd/bibsync.service` is what it says of an
installation in /opt/bibsync: `python -m bibsync.cli.unit > systemd/bibsync.service`. It is only
ever printed; installing it is for those who run the machine.
"""

import re
import shlex
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bibsync
from bibsync.cli.text import say
from bibsync.config import PLACES
from bibsync.errors import ConfigInvalid, UsageWrong
from bibsync.settings import file, places
from bibsync.settings.values import Unfit

TEMPLATE: Final = Path(__file__).with_name("bibsync.service.in")
INSTALLED: Final = Path("/etc/systemd/system/bibsync.service")
CONFIGURATION: Final = PLACES[-1]
HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - not to be written to
"""Folders that ProtectHome= and PrivateTmp= hide from the service."""

UNFIT: Final = frozenset("\"'\\$")
"""Signs that systemd refuses in a program's path, or puts a variable's value for."""

_PLAIN: Final = re.compile(r"[\w/.+:@,=%-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a bibsync lies: the words that start it, its configuration, its state folder.

    `parts` is all that it is made of, which the service must be able to see.
    """

    program: tuple[str, ...] = ("/opt/bibsync/.venv/bin/bibsync",)
    config: Path = CONFIGURATION
    state_dir: Path = places.ROOTS_STATE
    parts: tuple[Path, ...] = ()

    @property
    def elsewhere(self) -> bool:
        """Whether the state folder is another than the one that systemd makes."""
        return self.state_dir != places.ROOTS_STATE


def this(config: Path | None) -> Installation:
    """Return the installation that this process belongs to; `config` None stands for none yet."""
    script = Path(sysconfig.get_path("scripts"), "bibsync")
    module = (sys.executable, "-m", "bibsync")
    place = (config or CONFIGURATION).absolute()
    program = (str(script),) if script.exists() else module
    state_dir = _state_dir(place)
    made_of = (Path(program[0]), Path(sys.base_prefix), Path(bibsync.__file__).parent)
    return Installation(program, place, state_dir, (*made_of, place, state_dir))


def text(of: Installation) -> str:
    """Return the unit.

    Raises:
        UsageWrong: a path can't be written into one.
    """
    elsewhere = f"ReadWritePaths={_word(of.state_dir)}\n" if of.elsewhere else ""
    return (
        TEMPLATE.read_text(encoding="utf-8")
        .replace("@program@", " ".join(map(_word, of.program)))
        .replace("@config@", _word(of.config))
        .replace("@elsewhere@\n", elsewhere)
    )


def tell(of: Installation) -> None:
    """Tell a person how the unit is installed, and what would keep it from working."""
    command = shlex.join([*of.program, "--config", str(of.config), "init", "--systemd"])
    say("To install it:")
    say("  sudo useradd --system bibsync")
    if of.elsewhere:
        state = shlex.quote(str(of.state_dir))
        say(f"  sudo install --directory --owner=bibsync --group=bibsync --mode=700 {state}")
    say(f"  {command} | sudo tee {INSTALLED} > /dev/null")
    say("  sudo systemctl daemon-reload && sudo systemctl enable --now bibsync")
    say(f"The group bibsync has to be able to read {of.config} and the files that it names")
    say("(chgrp bibsync, chmod 640). docs/systemd.md has the rest.")
    if not of.config.exists():
        say(f"warning: {of.config} isn't there yet; `bibsync init --output {of.config}` writes it.")
    if hidden := [str(each) for each in of.parts if _is_hidden(each)]:
        say(f"warning: services are shown nothing in {', '.join(map(str, HIDDEN))}, and this one")
        say(f"         would need {', '.join(hidden)}.")
        say(
            "         Install into /opt/bibsync, put the configuration into /etc/bibsync, and print"
        )
        say("         the unit there.")


def _is_hidden(part: Path) -> bool:
    return any(part.resolve().is_relative_to(folder) for folder in HIDDEN)


def _state_dir(config: Path) -> Path:
    """Return the state folder that the file names, without checking the rest of it.

    What it takes from systemd isn't there for whoever prints the unit.
    """
    with suppress(ConfigInvalid, Unfit):
        read = file.read(config)
        if "state_dir" in read.document:
            named: Path = places.folder(None, read.folder)(read.document["state_dir"])
            return named
    return places.ROOTS_STATE


def _word(part: str | Path) -> str:
    """Write one word of a command, so that systemd reads it as it is meant."""
    word = str(part)
    if UNFIT & set(word) or not word.isprintable():
        raise UsageWrong(
            f"{word!r} can't stand in a unit.",
            remedy="Choose a place whose path is without quotes, $, \\ and unprintable signs.",
        )
    return word.replace("%", "%%") if _PLAIN.fullmatch(word) else f'"{word.replace("%", "%%")}"'


if __name__ == "__main__":
    sys.stdout.write(text(Installation()))
