"""`bibsync init --systemd`: the unit for this installation is printed, and nothing else done."""

import sys
from pathlib import Path

import pytest
from installation import Installation

from bibsync.cli.unit import HIDDEN

PROGRAM = Path(sys.executable).with_name("bibsync")


async def test_the_unit_names_this_program_and_the_configuration_in_force(bare: Installation):
    before = bare.files()

    found = await bare.run("init", "--systemd")
    named = await bare.run("--config", bare.config, "init", "--systemd")

    lines = found.out.splitlines()
    assert (found.code, named.code) == (0, 0)
    assert f"ExecStart={PROGRAM} --config {bare.config} daemon" in lines
    assert f"ReadWritePaths={bare.state}" in lines
    assert found.out == named.out
    assert before == bare.files()


async def test_how_it_is_installed_is_told_beside_it(bare: Installation):
    printed = f"{PROGRAM} --config {bare.config} init --systemd"

    told = (await bare.run("init", "--systemd")).err.splitlines()

    assert [
        "  sudo useradd --system bibsync",
        f"  sudo install --directory --owner=bibsync --group=bibsync --mode=700 {bare.state}",
        f"  {printed} | sudo tee /etc/systemd/system/bibsync.service > /dev/null",
        "  sudo systemctl daemon-reload && sudo systemctl enable --now bibsync",
    ] == [line for line in told if line.startswith("  sudo") or "| sudo" in line]


async def test_what_the_service_would_not_be_shown_is_told(bare: Installation):
    told = (await bare.run("init", "--systemd")).err

    assert any(bare.config.is_relative_to(folder) for folder in HIDDEN), "the test proves nothing"
    assert "warning: services are shown nothing in /home, /root" in told
    assert f"{bare.config}, {bare.state}." in told


async def test_it_needs_no_configuration_and_says_so(bare: Installation):
    bare.config.unlink()

    ended = await bare.run("init", "--systemd")

    assert ended.code == 0
    assert f"ExecStart={PROGRAM} --config /etc/bibsync/bibsync.toml daemon" in ended.out
    assert "warning: /etc/bibsync/bibsync.toml isn't there yet" in ended.err


async def test_a_configuration_that_only_systemd_can_complete_is_no_hindrance(bare: Installation):
    bare.configure([{"name": "a", "library_id": "a"}])
    text = bare.config.read_text()
    bare.config.write_text(text.replace("account_key = ", 'account_key = { credential = "a" } #'))

    checked = await bare.run("config", "check")
    ended = await bare.run("init", "--systemd")

    assert (checked.code, ended.code) == (5, 0)


@pytest.mark.parametrize("words", [("--json",), ("--output", "-"), ("--name", "Springfield")])
async def test_it_goes_with_no_other_option(bare: Installation, words: tuple[str, ...]):
    ended = await bare.run("init", "--systemd", *words)

    assert (ended.code, ended.out) == (2, "")
    assert "goes with no other option of init" in ended.err


async def test_a_configuration_that_was_named_and_isn_t_there_is_refused(bare: Installation):
    ended = await bare.run("--config", "none.toml", "init", "--systemd")

    assert (ended.code, ended.out) == (5, "")
