"""What TAB offers, asked as the shells ask: the program as a process, told the line so far."""

import asyncio
import shutil
from pathlib import Path

import pytest
from installation import ACCOUNT_KEY, NOWHERE, Installation

from bibsync.cli import completion

NAMES = ["Springfield", "Springfield Kids (2)", 'Ogdenville\'s "best"']
BASH = """
source <(_BIBSYNC_COMPLETE=source_bash bibsync)
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_bibsync_completion bibsync
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def known(bare: Installation) -> Installation:
    """Return an installation whose collections' key is in a file that isn't there."""
    bare.configure(
        {"name": name, "library_id": str(number), "base_url": NOWHERE}
        for number, name in enumerate(NAMES)
    )
    text = bare.config.read_text()
    bare.config.write_text(text.replace(f'"{ACCOUNT_KEY}"', '{ file = "none.key" }'))
    return bare


async def fish(installation: Installation, line: str, **environ: str) -> list[str]:
    """Return what fish would offer behind `line`."""
    ended = await installation.run(
        _BIBSYNC_COMPLETE="complete_fish",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_WORD_TO_COMPLETE=line.rpartition(" ")[2],
        **environ,
    )
    assert ended.err == ""
    return [each.partition("\t")[0] for each in ended.out.splitlines() if each]


async def bash(installation: Installation, line: str) -> list[str]:
    """Return what a real bash would offer behind `line`, whose words it has told apart."""
    command = installation.folder / "bin" / "bibsync"
    command.parent.mkdir()
    command.touch(mode=0o700)
    command.write_text(f'#!/bin/sh\nexec {installation.shell("bibsync")[-1]} "$@"\n')
    environ = installation.environment()
    script = BASH.format(words=" ".join(_raw(word) for word in line.split("|")))
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=installation.folder,
        env=environ | {"PATH": f"{command.parent}:{environ['PATH']}"},
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return [each for each in out.decode().splitlines() if each]


def _raw(word: str) -> str:
    """Write a word for bash so that the array holds it as it was typed, backslashes included."""
    return "'" + word.replace("'", "'\\''") + "'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_is_given_a_script_that_asks_this_program(bare: Installation, shell: str):
    ended = await bare.run(_BIBSYNC_COMPLETE=f"source_{shell}")

    assert (ended.code, ended.err) == (0, "")
    assert f"_BIBSYNC_COMPLETE=complete_{shell}" in ended.out
    assert "bibsync" in ended.out


async def test_install_completion_writes_what_the_shell_reads_at_its_start(
    bare: Installation, folder: Path
):
    # The shell is told by the processes above this one; the trailing word keeps bash among them.
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c"),
        f"{bare.shell('bibsync')[-1]} --install-completion; exit $?",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=bare.environment(),
    )
    out, _ = await process.communicate()

    script = folder / ".bash_completions" / "bibsync.sh"
    assert process.returncode == 0
    assert b"bash completion installed in" in out
    assert str(script) in (folder / ".bashrc").read_text()
    assert "_bibsync_completion" in script.read_text()


async def test_commands_and_options_are_offered_wherever_config_and_debug_stand(
    bare: Installation,
):
    assert ["doctor"] == await fish(bare, "bibsync doc")
    assert ["doctor"] == await fish(bare, "bibsync --debug --config other.toml doc")
    assert ["--collection"] == await fish(bare, "bibsync doctor --debug --config x.toml --col")


@pytest.mark.parametrize(
    "line",
    [
        "bibsync doctor --collection {}",
        "bibsync --debug --config other.toml doctor --collection {}",
        "bibsync doctor --config other.toml --collection {}",
        "bibsync doctor --config='other.toml' --debug --collection {}",
    ],
)
async def test_the_names_are_those_of_the_configuration_that_the_line_names(
    known: Installation, line: str
):
    if "other" in line:
        known.config.rename(known.folder / "other.toml")

    assert NAMES[:2] == await fish(known, line.format("Spr"))


async def test_the_variable_names_the_configuration_too(known: Installation):
    known.config.rename(known.folder / "other.toml")

    offered = await fish(known, "bibsync doctor --collection ", BIBSYNC_CONFIG="other.toml")

    assert NAMES == offered
    assert [] == await fish(known, "bibsync doctor --collection x")


def test_words_are_offered_by_their_beginning():
    formats = completion.words("jsonl", "mrc", "marcxml", "csv")

    assert ["mrc", "marcxml"] == formats("m")
    assert 4 == len(formats(""))


async def test_zsh_is_offered_the_names(known: Installation):
    ended = await known.run(
        _BIBSYNC_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="bibsync doctor --collection Spr"
    )

    assert '"Springfield"\n"Springfield Kids (2)"' in ended.out
    assert ended.err == ""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash on this system")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["Springfield", r"Springfield\ Kids\ \(2\)", r"Ogdenville\'s\ \"best\""]),
        ("Spr", ["Springfield", r"Springfield\ Kids\ \(2\)"]),
        (r"Springfield\ K", [r"Springfield\ Kids\ \(2\)"]),
        ('"Springfield K', ["Springfield Kids (2)"]),
    ],
)
async def test_bash_inserts_a_name_as_it_has_to_be_typed(
    known: Installation, typed: str, offered: list[str]
):
    assert offered == await bash(known, f"bibsync|doctor|--collection|{typed}")


@pytest.mark.parametrize(
    "text",
    [
        "[[collections]]\nname = ",
        "collections = 7",
        '[collections]\nname = "x"',
        '[[collections]]\nname = 7\n[[collections]]\nlibrary_id = "x"',
        "\udcff\udcfe",
    ],
)
async def test_a_broken_configuration_offers_nothing_and_says_nothing(
    bare: Installation, text: str
):
    bare.config.write_bytes(text.encode(errors="surrogateescape"))

    assert [] == await fish(bare, "bibsync doctor --collection ")


async def test_a_configuration_that_is_not_there_offers_nothing_and_says_nothing(
    known: Installation,
):
    assert [] == await fish(known, "bibsync doctor --config none.toml --collection ")
