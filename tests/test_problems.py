"""Every problem has a code, a cause and a remedy, and stands on docs/problems.md."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibsync import errors, fault, problems
from bibsync.errors import BibsyncError, SourceBusy, SourceParked, SourceTimedOut
from bibsync.fault import Fault
from bibsync.reject import PLAIN, REMEDY, Reason

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "problems.md").read_text()
KINDS = list(problems.kinds())
CODE = {path: path.read_text() for path in (ROOT / "bibsync").rglob("*.py")}
SENTENCES = re.compile(r"(?:bibsync|[A-Z`]).*[\w`)][.]", re.DOTALL)
INTERPOLATED = re.compile(r"\{\w*\}")


def words_given(name: str) -> Iterator[str]:
    """Yield, as source, what the code gives as `outcome`, or as the first argument of `name`."""
    for path, text in CODE.items():
        for node in ast.walk(ast.parse(text, filename=str(path))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                yield from (ast.unparse(arg) for arg in node.args[:1] if name == "NotAPage")
                yield from (ast.unparse(key.value) for key in node.keywords if key.arg == "outcome")


def row_of(word: str) -> str:
    return next(line for line in PAGE.splitlines() if line.startswith(f"| `{word}` |"))


def test_the_page_is_what_the_code_says():
    assert problems.page() == PAGE, "python -m bibsync.problems > docs/problems.md"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_says_in_sentences_what_it_means_and_what_to_do(kind):
    assert "code" in vars(kind), "a kind of error has a code of its own"
    assert "cause" in vars(kind), "and a cause"
    assert SENTENCES.fullmatch(kind.cause), kind.cause
    assert SENTENCES.fullmatch(kind.default_remedy), kind.default_remedy
    assert f"\n## {kind.code}\n" in PAGE
    assert f"](#{kind.code}) | {kind.exit_code} |" in PAGE


def test_no_two_kinds_of_error_share_a_code():
    codes = [kind.code for kind in KINDS]

    assert len(codes) == len(set(codes))


def test_the_errors_that_the_source_names_are_all_found():
    """The list is made by importing; here the same classes are looked for in the text."""
    classes = [
        (node.name, {ast.unparse(base).split(".")[-1] for base in node.bases})
        for text in CODE.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    ]
    named = {"BibsyncError"}
    while more := {name for name, above in classes if above & named} - named:
        named |= more

    assert {kind.__name__ for kind in KINDS} == named


def test_an_exit_code_is_known_for_every_kind_wherever_it_is_defined():
    assert {kind.code: kind.exit_code for kind in KINDS} == dict(errors.EXIT_CODES)


def test_a_kind_that_is_defined_elsewhere_gets_its_exit_code():
    """In a process of its own, so that the made-up kind is unknown to all other tests."""
    code = """
from bibsync import errors
kind = type("Elsewhere", (errors.NotFound,), {"code": "elsewhere", "exit_code": 10})
print(errors.EXIT_CODES["elsewhere"])
"""
    ran = [sys.executable, "-c", code]
    told = subprocess.run(ran, capture_output=True, text=True, check=True)  # noqa: S603 - our own

    assert told.stdout == "10\n"


def test_the_tree_in_the_docstring_names_every_kind_with_its_exit_code():
    drawn = dict(re.findall(r"[├└]── (\w+) .*?(?:exit (\d+))?$", errors.__doc__, re.MULTILINE))

    exits = {
        kind.__name__: str(kind.exit_code) for kind in KINDS if kind.__module__ == errors.__name__
    }
    assert exits.keys() - {"BibsyncError"} == drawn.keys()
    assert {name: told for name, told in drawn.items() if told} == {
        name: exits[name] for name, told in drawn.items() if told
    }


@pytest.mark.parametrize("word", Fault)
def test_every_fault_of_an_answer_is_explained_and_can_come(word):
    told = fault.plain(word)
    spoken = [path for path, text in CODE.items() if f"Fault.{word.name}" in text]

    assert SENTENCES.fullmatch(told.cause), told.cause
    assert SENTENCES.fullmatch(told.remedy), told.remedy
    assert f"| `{word}` | {told.cause} | {told.remedy} |" in row_of(word)
    assert {path.name for path in spoken} - {"fault.py"}, "no code says so any more"


@pytest.mark.parametrize("name", ["SourceBusy", "NotAPage"])
def test_the_code_gives_no_word_that_the_page_lacks(name):
    given = set(words_given(name))

    assert given
    for source in given:
        assert re.fullmatch(
            rf"Fault\.({'|'.join(Fault.__members__)})|fault\.of_status\(answer\.status\)"
            r"|outcome|reason\.outcome",  # handed on, from what is checked here too
            source,
        ), source


def test_every_status_has_an_answer():
    for status in range(100, 600):
        told = fault.plain(fault.of_status(status))

        assert SENTENCES.fullmatch(told.cause)
        assert f"| {told.cause} | {told.remedy} |" in PAGE


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_a_reject_is_explained(reason):
    row = row_of(reason)

    assert PLAIN[reason] in row
    assert SENTENCES.fullmatch(REMEDY[reason])
    assert REMEDY[reason] in row


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (SourceBusy("Busy.", outcome=Fault.HTML), "html"),
        (SourceBusy("Busy.", outcome=fault.of_status(418)), "http_418"),
        (SourceTimedOut("Late."), "timeout"),
        (SourceParked("Later.", wait_s=900, detail=fault.of_status(503)), "http_503"),
        (SourceParked("Later.", wait_s=900), None),
        (BibsyncError("Oh."), None),
    ],
    ids=str,
)
def test_a_problem_tells_what_was_wrong_with_the_answer(error, detail):
    assert detail == error.problem.as_json()["detail"]


def test_an_error_says_what_the_page_says_to_do():
    error = SourceBusy("The certificate isn't valid.", outcome=Fault.TLS)

    assert f"| {error.remedy} |" in row_of("tls")


def test_a_remedy_of_this_case_wins_over_the_page():
    error = SourceBusy("Busy.", outcome=Fault.TLS, remedy="Do this.")

    assert error.problem.remedy == "Do this."


def test_the_page_is_plain_text_without_gaps():
    """Nothing was left to be filled in."""
    assert not INTERPOLATED.search(PAGE)
    assert [line for line in PAGE.splitlines() if line != line.rstrip()] == []
