"""The pure parts of the command line: words, moments, lengths of time, exit codes."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bibsync import cli
from bibsync.cli import reference
from bibsync.cli.context import hoisted
from bibsync.cli.text import lasting, local, moment, printable, span
from bibsync.errors import Problem, UsageWrong
from bibsync.run import Outcome, Summary, Tally, exit_code

COMMANDS = tuple(name.removeprefix("bibsync").strip() for name in reference.commands())
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


def test_moments_are_shown_in_the_zone_with_its_name():
    zone = ZoneInfo("America/Chicago")

    assert local(NOW, zone) == "2024-05-10 07:30:15 CDT"
    assert local(None, zone) == "-"


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
