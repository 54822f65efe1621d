"""The pure parts of the command line: words, moments, lengths of time, exit codes."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len
from rich.console import Console

from bibsync import cli
from bibsync.cli import progress, reference, ruled
from bibsync.cli.context import hoisted
from bibsync.cli.ruled import Column
from bibsync.cli.text import lasting, local, printable
from bibsync.errors import Problem, UsageWrong
from bibsync.reject import Reason, sentence
from bibsync.run import Outcome, Summary, Tally, exit_code
from bibsync.settings.moments import moment, span

COMMANDS = tuple(name.removeprefix("bibsync").strip() for name in reference.commands())
LEFT_TO_TYPER = {"install_completion", "show_completion"}
NOW = datetime(2024, 5, 10, 12, 30, 15, 999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status --json", "status --json"),
        ("status --debug --json", "--debug status --json"),
        ("status --config x.toml --json", "--config x.toml status --json"),
        ("status --config=x.toml", "--config=x.toml status"),
        ("status --debug --config x", "--debug --config x status"),
        ("records show -- --config", "records show -- --config"),
        ("--config x status -- --debug", "--config x status -- --debug"),
        ("", ""),
    ],
)
def test_options_of_the_whole_program_move_to_the_front(words: str, expected: str):
    assert expected.split() == hoisted(words.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_before_the_options(command: str, capsys: pytest.CaptureFixture[str]):
    code = cli.run([*command.split(), "--help"])

    told = capsys.readouterr()
    words, _, options = told.out.partition("Options:")
    assert (code, told.err) == (0, "")
    assert re.search(rf"^ .*bibsync {command}", words, re.MULTILINE)
    assert "--help" in options


@pytest.mark.parametrize(
    "arguments",
    [
        "run-once",
        "run-once --all --collection springfield",
        "run-once --all --since yesterday",
        "run-once --all --since 99999999999d",
        "run-once --all --since 2024-02-01 --until 2024-01-01",
        "run-once --all --since 2024-02-01 --until 2024-02-01",
        "run-once --all --stream loans",
        "run-once --all --wait-lock long",
        "run-once --all --wait-lock 99999999999999d",
        "run-once --all --no-such-option",
        "rejects list --state lost",
        "rejects list --reason bad",
        "rejects show twelve",
        "records export",
        "records export --collection x --format pdf",
        "status --config",
        "no-such-command",
    ],
)
def test_a_wrong_call_is_exit_2_with_a_sentence(arguments: str, capsys: pytest.CaptureFixture[str]):
    code = cli.run(arguments.split())

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert told.err.strip()


@pytest.mark.parametrize(
    ("arguments", "sentence", "command"),
    [
        ("records diff x --from abc", "--from: 'abc' is no whole number.", "records diff"),
        ("records diff", "CONTROL_NUMBER is missing.", "records diff"),
        ("records diff x --collection", "--collection needs a value.", "records diff"),
        ("records diff x --from 1", "--collection is missing.", "records diff"),
        ("runs list --limit 0", "--limit: 0 is too small; it must be at least 1.", "runs list"),
        ("runs list --limt 3", "There is no option --limt. Did you mean --limit?", "runs list"),
        ("runs show 1 2 3", "There is too much on the line: 2 3.", "runs show"),
        ("rejects dismiss abc", "ID: 'abc' is no whole number.", "rejects dismiss"),
        ("rejects dismiss \x1b[31m", "ID: '\\x1b[31m' is no whole number.", "rejects dismiss"),
        ("status --json=3", "--json takes no value.", "status"),
        ("simulate --bad 3", "--bad: 3 is too large; it must be at most 1.", "simulate"),
        ("simulate --bad x", "--bad: 'x' is no number.", "simulate"),
        ("statsu", "There is no command 'statsu'. Did you mean 'stats', 'status'?", ""),
        ("records shwo", "There is no command 'shwo'. Did you mean 'show'?", "records"),
        ("-x", "There is no option -x.", ""),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence_with_the_command_to_look_at(
    arguments: str, sentence: str, command: str, capsys: pytest.CaptureFixture[str]
):
    code = cli.run(arguments.split())

    see = " ".join(filter(None, ["bibsync", command, "--help"]))
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert told.err == f"error: {sentence} [usage]\n       See: {see}\n"


@pytest.mark.parametrize("arguments", ["", "runs"])
def test_a_call_of_nothing_shows_the_help_and_is_exit_2(
    arguments: str, capsys: pytest.CaptureFixture[str]
):
    code = cli.run(arguments.split())

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert told.err.startswith("Usage: bibsync")
    assert "[usage]" not in told.err


def test_a_configuration_that_cannot_be_read_is_exit_5_with_a_remedy_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    unreadable = tmp_path / "bibsync.toml"
    unreadable.touch(mode=0)
    place = tmp_path if os.access(unreadable, os.R_OK) else unreadable  # root reads everything

    code = cli.run(["--config", str(place), "config", "check"])

    told = capsys.readouterr()
    assert (code, told.out) == (5, "")
    assert told.err.startswith(f"{place}: ")
    assert told.err.endswith(
        "\nName a file that this user may read: --config FILE, or BIBSYNC_CONFIG.\n"
    )


@pytest.mark.parametrize("name", sorted({*reference.groups(), *reference.commands()} - {"bibsync"}))
def test_lists_of_commands_say_what_each_is_for_in_a_whole_sentence(name: str):
    command = (reference.groups() | reference.commands())[name]

    said = command.get_short_help_str(limit=45)

    assert re.fullmatch(r"[A-Z].*[\w)]\.", said), said
    assert len(command.short_help) <= 45


def test_every_option_names_its_value_in_a_word():
    """typer's own words for it are those of a programmer: `<int range>`."""
    options = [each for command in reference.commands().values() for each in command.params]

    assert [] == [
        each.name
        for each in options
        if each.name not in LEFT_TO_TYPER
        and not getattr(each, "is_flag", True)
        and not each.metavar
    ]


def test_config_without_a_file_is_wrong_usage():
    with pytest.raises(UsageWrong, match="--config needs the name of a file"):
        hoisted(["status", "--config"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T12:00:00Z", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01 12:00", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01T12:00:00.9+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("7d", datetime(2024, 5, 3, 12, 30, 15, tzinfo=UTC)),
        (" 90s ", datetime(2024, 5, 10, 12, 28, 45, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_moment_is_a_date_a_time_or_so_long_ago(text: str | None, expected: datetime | None):
    assert expected == moment(text, name="--since", now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "7", "7 d", "7w", "-7d", "2024-02-30", "99999999d", "9" * 30 + "d"),
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_moment_is_wrong_usage_with_examples(text: str):
    with pytest.raises(UsageWrong) as raised:
        moment(text, name="--since", now=NOW)

    assert f"--since: {text!r} is no date." == raised.value.message
    assert "--since 7d" in raised.value.remedy


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("5m", 300), ("6h", 21600), (" 7d ", 604800)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: int):
    assert timedelta(seconds=seconds) == span(text, name="--wait-lock")


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "9" * 30 + "d"])
def test_what_is_no_span_is_wrong_usage(text: str):
    with pytest.raises(UsageWrong, match="is no duration"):
        span(text, name="--wait-lock")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 m"),
        (61, "1 m 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 m"),
        (3601, "1 h 1 s"),
        (86400 * 3 + 3600 * 2 + 59, "3 d 2 h"),
    ],
)
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds: float | None, words: str):
    assert words == lasting(seconds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Siege & Storm — Ünïcode 書", "Siege & Storm — Ünïcode 書"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\rb", "a\\rb"),
        ("left\u202eright", "left\\u202eright"),
        ("\udcff", "\\udcff"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_vendor_s_text_can_do_nothing_to_a_terminal(text: str, shown: str):
    assert shown == printable(text)


def test_moments_are_told_in_utc_where_nobody_looks():
    zone = ZoneInfo("America/Chicago")

    assert local(NOW, zone) == "2024-05-10T12:30:15Z"
    assert local(None, zone) == "-"


SENTENCE = "The record can't be read as MARC: not well-formed, line 1, column 2707."
ODD = [
    Column("ID", ["7", "1494"], "number"),
    Column("COLLECTION", ["Ogdenville (since 2014)", "書の図書館"], "text"),
    Column("SEEN (CST)", ["2026-11-21 20:55", "-"], "fixed"),
    Column("WHAT", [SENTENCE, "-"], "text"),
]


def drawn(columns: list[Column], width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, markup=False, highlight=False)
    ruled.show(columns, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", range(30, 160))
def test_a_table_fits_its_terminal_and_breaks_no_word_number_or_time(width: int):
    lines = drawn(ODD, width)

    words = {
        word for column in ODD for each in (column.heading, *column.cells) for word in each.split()
    }
    assert max(map(cell_len, lines)) <= width
    assert {word.lower() for line in lines for word in line.split()} - {"─" * width} >= {
        word.lower() for word in words
    }
    assert any("2026-11-21 20:55" in line for line in lines)


def test_numbers_stand_on_the_right_and_only_text_folds():
    assert drawn(ODD, 90) == [
        "  ID  COLLECTION               SEEN (CST)        WHAT",
        "─" * 90,
        "   7  Ogdenville (since 2014)  2026-11-21 20:55  The record can't be read as MARC: not",
        "                                                 well-formed, line 1, column 2707.",
        "1494  書の図書館               -                 -",
    ]


def test_a_row_is_a_block_where_the_terminal_is_too_narrow_for_the_table():
    assert drawn(ODD, 40) == [
        "ID 7",
        "  collection  Ogdenville (since 2014)",
        "  seen (CST)  2026-11-21 20:55",
        "  what        The record can't be read",
        "              as MARC: not well-formed,",
        "              line 1, column 2707.",
        "",
        "ID 1494",
        "  collection  書の図書館",
        "  seen (CST)  -",
        "  what        -",
    ]


@pytest.mark.parametrize(
    ("tally", "elapsed_s", "told"),
    [
        (Tally(windows=1, received=1), 0.001, "1 window, 1 record"),
        (Tally(windows=2, received=40, retries=1), 0.9, "2 windows, 40 records, 1 retry"),
        (Tally(windows=2, received=40), 2, "2 windows, 40 records, 20/s"),
    ],
)
def test_progress_names_no_rate_before_there_is_one(tally: Tally, elapsed_s: float, told: str):
    assert told == progress.words(tally, elapsed_s)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Springfield", "Springfield"),
        ("Springfield1", "Springfiel…"),
        ("a\x1b" * 9, "a\\x1ba\\x1b…"),
    ],
)
def test_a_name_that_is_cut_says_so(name: str, shown: str):
    assert shown == progress.shortened(name, 11)


@pytest.mark.parametrize("reason", Reason)
def test_a_reject_says_in_a_sentence_why_it_is_one(reason: Reason):
    plain, detailed = sentence(reason), sentence(reason, "at the end.")

    assert re.fullmatch(r"The record [^.:]*\.", plain)
    assert detailed == f"{plain[:-1]}: at the end."


def summary(outcome: Outcome, code: str | None = None, new_rejects: int = 0) -> Summary:
    problem = Problem(code, "source", transient=True, message="", remedy="") if code else None
    return Summary(
        collection="springfield",
        stream="purchases",
        run=1,
        outcome=outcome,
        tally=Tally(new_rejects=new_rejects),
        caught_up_to=NOW,
        duration_s=1.0,
        problem=problem,
    )


FINE = summary(Outcome.SUCCEEDED)
BLANKS = replace(FINE, tally=Tally(blank=3, rejected=2))
REJECTS = summary(Outcome.SUCCEEDED, new_rejects=1)
PARTLY = summary(Outcome.PARTIAL, "source_busy")
DOWN = summary(Outcome.FAILED, "source_busy")
REFUSED = summary(Outcome.FAILED, "credentials_refused")
LOCKED = summary(Outcome.LOCKED, "locked")
PAUSED = summary(Outcome.PAUSED, "paused")
DEPOSED = summary(Outcome.DEPOSED, "deposed")
NO_STORE = summary(Outcome.FAILED, "database_unavailable")


@pytest.mark.parametrize(
    ("summaries", "by_name", "under_all"),
    [
        ([], 0, 0),
        ([FINE], 0, 0),
        ([FINE, FINE], 0, 0),
        ([BLANKS], 0, 0),
        ([REJECTS], 3, 3),
        ([FINE, REJECTS], 3, 3),
        ([PARTLY], 3, 3),
        ([DOWN], 6, 6),
        ([DOWN, DOWN], 6, 6),
        ([DOWN, REFUSED], 3, 3),
        ([DOWN, FINE], 3, 3),
        ([REFUSED], 4, 4),
        ([NO_STORE, NO_STORE], 7, 7),
        ([LOCKED], 11, 11),
        ([LOCKED, LOCKED], 11, 11),
        ([LOCKED, FINE], 3, 0),
        ([LOCKED, REJECTS], 3, 3),
        ([LOCKED, DOWN], 3, 3),
        ([LOCKED, PAUSED], 3, 11),
        ([PAUSED], 12, 0),
        ([PAUSED, PAUSED], 12, 0),
        ([PAUSED, FINE], 3, 0),
        ([PAUSED, DOWN], 3, 6),
        ([DEPOSED], 11, 11),
    ],
)
def test_several_runs_have_one_exit_code(summaries: list[Summary], by_name: int, under_all: int):
    assert by_name == exit_code(summaries, all_of_them=False)
    assert under_all == exit_code(summaries, all_of_them=True)


@pytest.mark.parametrize("command", ["status", "runs", "records", "rejects", "config", "db"])
def test_a_command_that_only_reads_loads_nothing_that_speaks_to_vendors_or_redis(command: str):
    """Loading aiohttp takes longer than all the rest of such a command."""
    loaded = f"import sys; from bibsync import cli; cli.app({command!r}); print(*sys.modules)"
    told = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )

    assert "bibsync.store" in told.stdout.split()
    assert not {"aiohttp", "redis"} & set(told.stdout.split())


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ("status --json", ("status",)),
        ("--config x status", ("status",)),
        ("--config=x --debug status", ("status",)),
        ("--config status", ()),
        ("--help", ()),
        ("statsu", ()),
        ("", ()),
    ],
)
def test_the_command_that_was_called_is_known_before_it_is_loaded(
    words: str, called: tuple[str, ...]
):
    assert called == cli._called(words.split())
