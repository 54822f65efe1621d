"""The pages about commands and words say what the program says."""

import re
from pathlib import Path

import commands_page
import pytest
from commands_page import SECTIONS, fields_of

from bibsync import cli, errors
from bibsync.choice import Kind
from bibsync.cli import reference
from bibsync.errors import BibsyncError, SourceBusy
from bibsync.run import Outcome, Summary, Tally

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
WORDS = (ROOT / "docs" / "words.md").read_text()
COMMANDS = reference.commands()
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
PROSE = re.compile(r"\s+")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def paragraphs_of(command: str) -> list[str]:
    return reference.help_of(COMMANDS[command])


def listed_by_help(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert cli.run([*command.split()[1:], "--help"]) == 0
    _, _, options = capsys.readouterr().out.partition("Options:\n")
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", options, re.MULTILINE))


def test_the_page_has_a_section_for_every_command_and_no_other():
    named = [name for name in SECTIONS if name.startswith("bibsync")]

    assert sorted(COMMANDS) == sorted(named)
    assert sorted(COMMANDS) == sorted(re.findall(r"<!-- (bibsync.*?) -->", commands_page.TEXT))


def test_what_the_page_says_of_each_command_is_what_its_help_says():
    assert reference.filled(commands_page.TEXT) == commands_page.TEXT, (
        "python -m bibsync.cli.reference docs/commands.md"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_help_lists_stands_in_the_section(
    command: str, capsys: pytest.CaptureFixture[str]
):
    listed = listed_by_help(command, capsys) - {"--install-completion", "--show-completion"}

    assert "--help" in listed
    missing = {option for option in listed - {"--help"} if f"| `{option}" not in SECTIONS[command]}
    assert missing == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_a_sentence_and_an_example(command: str):
    first, example, *_ = paragraphs_of(command)

    assert re.fullmatch(r"[A-Z].*[\w).]\.", first), first
    begin = "bibsync " if command == "bibsync" else command
    assert re.match(rf"{begin}(?: |$)" if command != "bibsync" else begin, example), example


@pytest.mark.parametrize("group", reference.groups())
def test_help_of_a_group_has_an_example_of_one_of_its_commands(group: str):
    first, example, *_ = reference.help_of(reference.groups()[group])

    assert re.fullmatch(r"[A-Z].*\.", first), first
    assert any(example.startswith(name) for name in COMMANDS if name.startswith(f"{group} "))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is_for(command: str):
    silent = [each.name for each in COMMANDS[command].params if not each.help]

    assert silent == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bibsync"])
def test_every_command_says_how_it_exits_and_what_its_json_means(command: str):
    section = SECTIONS[command]
    known = {0, 1, 2, 3, 8, *errors.EXIT_CODES.values()}

    [exits] = re.findall(r"^Exits with (.*?\.)", section, re.MULTILINE | re.DOTALL)
    assert {int(code) for code in re.findall(r"\b\d+\b", exits)} <= known
    if any("--json" in each.opts for each in COMMANDS[command].params):
        assert "With `--json`" in section
        assert fields_of(command) or "](#a-" in section


def test_the_table_of_exit_codes_places_every_problem():
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", SECTIONS["Exit codes"], re.MULTILINE)
    placed = {code: int(exit_) for exit_, codes in rows for code in re.findall(r"`(\w+)`", codes)}

    assert dict(errors.EXIT_CODES) == placed


def test_a_summary_is_documented_field_by_field():
    summary = Summary(
        collection="main",
        stream="purchases",
        run=1,
        outcome=Outcome.PARTIAL,
        tally=Tally(),
        caught_up_to=None,
        duration_s=1.0,
        problem=BibsyncError("Oh.").problem,
    )

    assert summary.as_json().keys() == fields_of("A summary")


def test_a_problem_is_documented_field_by_field():
    problem = SourceBusy("Busy.", outcome="http_503").problem

    assert problem.as_json().keys() == fields_of("A problem")


def test_every_word_for_a_run_or_a_window_is_documented():
    kinds = set(re.findall(r"`(\w+)` \(", SECTIONS["bibsync run-once"]))

    assert set(Kind) == kinds
    assert [
        word for word in Outcome if f"| `{word}`" not in WORDS and f", `{word}`" not in WORDS
    ] == []


def test_every_word_for_how_a_collection_stands_is_documented():
    """They stand in the docstring of `status`, which judges."""
    source = (ROOT / "bibsync" / "status.py").read_text()
    listed = re.search(r"Health is .*?: (.*?)\..*?Activity\s+is .*?: (.*?)\.", source, re.DOTALL)

    assert listed
    for words in listed.groups():
        assert [word for word in PROSE.sub("", words).split(",") if f"`{word}`" not in WORDS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors_of(there), f"{target}#{anchor}"
