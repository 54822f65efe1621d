"""What README and docs say is true of the tree."""

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from bibsync import errors, events
from bibsync.collection import Collection, Sync
from bibsync.settings import shapes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
TOP_LEVEL = {
    "pyproject.toml", "bibsync", "tests", "systemd", "README.md", ".ci", "docs", "CHANGELOG.md",
    "LICENSE", ".gitignore", "requirements.lock", "bench",
}  # fmt: skip


def test_the_map_in_the_readme_names_every_module_and_no_other():
    named = set(re.findall(r"`(bibsync/[a-z_]+(?:\.py|/))`", README))

    there = {f"bibsync/{path.name}" for path in (ROOT / "bibsync").glob("*.py")}
    there |= {
        f"bibsync/{path.name}/" for path in (ROOT / "bibsync").iterdir() if list(path.glob("*.py"))
    }
    assert there - {"bibsync/__init__.py", "bibsync/__main__.py"} == named


def test_the_map_follows_the_imports_layers():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [road] = [each for each in layers["contracts"] if each["id"] == "road"]
    names = {name.strip() for layer in road["layers"] for name in layer.split("|")}

    there = {path.stem for path in (ROOT / "bibsync").glob("*.py")} - {"__init__"}
    there |= {path.name for path in (ROOT / "bibsync").iterdir() if list(path.glob("*.py"))}

    assert there == names


@pytest.mark.parametrize("tail", ["bibsync demo", "python -m pytest"])
def test_the_readme_has_two_commands_of_one_line_each(tail):
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]

    assert len(lines) == 2
    assert any(line.endswith(tail) for line in lines)


def test_the_readme_names_every_exit_code():
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert set(errors.EXIT_CODES.values()) - named == set()


@pytest.mark.parametrize(
    "kind", [shapes.Database, shapes.Redis, shapes.Daemon, shapes.Log, shapes.Web, Sync]
)
def test_every_setting_is_documented(kind):
    documented = set(re.findall(r"`([a-z_]+)`", CONFIGURATION))

    assert {field.name for field in fields(kind)} - documented == set()


def test_every_key_of_a_collection_is_documented():
    documented = set(re.findall(r"`([a-z_]+)`", CONFIGURATION))

    assert {field.name for field in fields(Collection)} - {"sync"} - documented == set()


def test_every_event_has_a_name_of_its_own_and_is_emitted():
    names = {
        word: value
        for word, value in vars(events).items()
        if word.isupper() and isinstance(value, str)
    }
    code = "".join(path.read_text() for path in (ROOT / "bibsync").rglob("*.py"))

    assert len(names) == len(set(names.values()))
    assert [word for word in names if f"events.{word}" not in code] == []


def test_nothing_else_lies_at_the_top():
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - git is where it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} - TOP_LEVEL == set()


@pytest.mark.parametrize("path", sorted((ROOT / "bibsync").rglob("*.py")), ids=lambda p: p.name)
def test_no_module_grows_past_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400
