"""The unit: what systemd makes of it, and that what is printed and what is shipped are one."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bibsync.cli import unit
from bibsync.cli.unit import Installation
from bibsync.config import Daemon, load
from bibsync.errors import ConfigInvalid, StoreUnavailable, UsageWrong

FOLDER = Path(__file__).parents[1] / "systemd"
SHIPPED = FOLDER / "bibsync.service"
DROP_IN = FOLDER / "bibsync.service.d" / "container-host.conf"
UNITS = sorted(each.name for each in FOLDER.glob("*.service"))
PAGE = (FOLDER.parent / "docs" / "systemd.md").read_text()
MOST_EXPOSED = 1.5
ODD = "odd %n #; {one} 書"

analyzed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't installed here"
)


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - fixed words and this test's paths
        ["systemd-analyze", *map(str, arguments)],  # noqa: S607 - wherever systemd is installed
        capture_output=True,
        text=True,
        check=False,
    )


def made_in(folder: Path) -> Installation:
    """Return an installation in `folder`, its program being there, as `verify` asks for."""
    program, config = folder / "bin" / "bibsync", folder / "etc" / "bibsync.toml"
    for place in (program, config):
        place.parent.mkdir(parents=True)
        place.touch(mode=0o755)
    return Installation((str(program),), config)


def settings(name: str) -> list[str]:
    """Return every value that the unit gives to a setting."""
    return re.findall(rf"^{name}=(.*)$", SHIPPED.read_text(), re.MULTILINE)


def test_the_unit_that_is_shipped_is_what_is_printed_of_an_installation_in_opt():
    assert unit.text(Installation()) == SHIPPED.read_text(), (
        "python -m bibsync.cli.unit > systemd/bibsync.service"
    )


@analyzed
@pytest.mark.parametrize("folder", ["plain", ODD], ids=["plain", "odd"])
def test_systemd_understands_every_line(tmp_path: Path, folder: str):
    place = tmp_path / "units" / "bibsync.service"
    place.parent.mkdir()
    place.write_text(unit.text(made_in(tmp_path / folder)))

    verified = analyze("verify", "--man=no", "--recursive-errors=no", place)

    assert (0, "", "") == (verified.returncode, verified.stdout, verified.stderr)


@analyzed
def test_systemd_notices_a_line_that_it_doesn_t_understand(tmp_path: Path):
    """Or else the test above would prove nothing."""
    place = tmp_path / "bibsync.service"
    text = unit.text(made_in(tmp_path / "made"))
    place.write_text(text.replace("ProtectClock=", "ProtectClocks="))

    assert "ProtectClocks" in analyze("verify", "--man=no", place).stderr


@analyzed
def test_systemd_understands_the_example_for_a_container_host(tmp_path: Path):
    shutil.copytree(DROP_IN.parent, tmp_path / "units" / "bibsync.service.d")
    place = tmp_path / "units" / "bibsync.service"
    place.write_text(unit.text(made_in(tmp_path / "made")))

    verified = analyze("verify", "--man=no", "--recursive-errors=no", place)

    assert (0, "", "") == (verified.returncode, verified.stdout, verified.stderr)


@analyzed
def test_the_service_exposes_little_of_the_machine():
    told = analyze("security", "--offline=true", "--no-pager", SHIPPED)
    judged = analyze("security", "--offline=true", "--threshold=15", "--no-pager", SHIPPED)

    [exposure] = re.findall(r"Overall exposure level for \S+: (\S+)", told.stdout)
    assert float(exposure) <= MOST_EXPOSED
    assert judged.returncode == 0


@analyzed
def test_the_four_locks_that_would_shut_out_commands_by_hand_are_open():
    """Each was tried with systemd 252: see docs/systemd.md."""
    told = analyze("security", "--offline=true", "--json=short", "--no-pager", SHIPPED)

    loose = {each["name"].rstrip("=") for each in json.loads(told.stdout) if not each["set"]}
    assert {"PrivateUsers", "ProcSubset", "RemoveIPC"} <= loose
    assert ["noaccess"] == settings("ProtectProc")


def test_a_stop_may_take_longer_than_the_daemon_drains():
    [stop] = settings("TimeoutStopSec")

    assert int(stop.removesuffix("s")) > Daemon().drain.total_seconds() + 30


def test_what_no_second_try_mends_is_not_tried_again_and_a_missing_database_is():
    [given_up] = settings("RestartPreventExitStatus")

    assert [UsageWrong.exit_code, ConfigInvalid.exit_code] == [*map(int, given_up.split())]
    assert str(StoreUnavailable.exit_code) not in given_up.split()
    assert ["0"] == settings("StartLimitIntervalSec")


def test_the_configuration_is_checked_before_the_daemon_is_told_to_reload():
    checked, told = settings("ExecReload")

    assert checked.endswith("bibsync --config /etc/bibsync/bibsync.toml config check")
    assert "kill -HUP $MAINPID" == told


def test_the_embedded_database_is_not_stopped_before_the_daemon_stops_it():
    assert ["mixed"] == settings("KillMode")


@pytest.mark.parametrize("name", UNITS)
def test_a_database_across_the_network_is_reached_though_homes_are_hidden(name: str):
    """asyncpg looks for ~/.postgresql/postgresql.key; below /home it would meet PermissionError."""
    text = (FOLDER / name).read_text()

    assert "ProtectHome=yes\n" in text
    assert "Environment=HOME=%S/bibsync\n" in text


@pytest.mark.parametrize("path", ["/opt/$a", "/opt/a\nUser=root", '/opt/"a', "/opt/\\a"])
def test_a_path_that_would_mean_something_else_to_systemd_is_refused(path: str):
    with pytest.raises(UsageWrong, match="can't stand in a unit"):
        unit.text(Installation((path,)))


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ('state_dir = "/srv/bib sync"', 'ReadWritePaths="/srv/bib sync"'),
        ('state_dir = "/var/lib/bibsync"', None),
        ("", None),
        ("state_dir = 7", None),
        ("not TOML", None),
    ],
)
def test_a_state_folder_of_one_s_own_can_be_written(tmp_path: Path, written: str, line: str | None):
    config = tmp_path / "bibsync.toml"
    config.write_text(f"{written}\n")

    lines = unit.text(unit.this(config)).splitlines()

    assert ([line] if line else []) == [each for each in lines if "ReadWritePaths" in each]


def test_what_the_drop_in_says_of_the_configuration_is_understood(tmp_path: Path):
    """Its words in the comment, and its variable."""
    said = re.findall(r"^#   (.*)$", DROP_IN.read_text(), re.MULTILINE)
    config = tmp_path / "bibsync.toml"
    config.write_text("\n".join(said))
    (tmp_path / "database_url").write_text("postgresql://bibsync@127.0.0.1:5432/bibsync")
    [variable] = re.findall(r"^Environment=(\w+)=(.*)$", DROP_IN.read_text(), re.MULTILINE)

    read = load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path), "HOME": "/", **dict([variable])})

    assert read.redis.url is not None
    assert read.database.url is not None


@pytest.mark.parametrize("name", ["RestartPreventExitStatus", "TimeoutStopSec", "WatchdogSec"])
def test_the_page_gives_the_numbers_that_the_unit_gives(name: str):
    [value] = settings(name)

    assert f"`{name}={value}`" in PAGE


@pytest.mark.parametrize("name", UNITS)
def test_the_page_names_every_unit(name: str):
    assert name.removesuffix(".service") in PAGE
