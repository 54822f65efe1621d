"""Every problem that bibsync can tell of, as a page for those who meet one.

`python -m bibsync.problems` prints docs/problems.md. Nothing is written here but headings: the
sentences are those of `errors`, `fault`, `reject` and the interface, which commands, JSON and log
show too.
"""

import importlib
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Final

import bibsync
from bibsync import fault, reject
from bibsync.errors import BibsyncError
from bibsync.web import problems as of_web

WIDTH: Final = 100
OPENING: Final = """\
# Problems, and what to do

Whatever goes wrong has a code. It stands in brackets behind the sentence that a command prints, as
`problem.code` in JSON and in the log's event `run.ended`, and as `code` in events that tell of a
part of a run. No problem loses a record: what was not read to its proven end is not counted as
read, and the next run asks for it again.

This page is made from the code: `python -m bibsync.problems > docs/problems.md`.

| code | exit | passes by itself |
| --- | --- | --- |
"""
ANSWERS: Final = """\
## What was wrong with the vendor's answer

The word is `problem.detail` in JSON, and `outcome` in the log's events `request.retried`,
`window.failed` and `lookup.failed`. A request is repeated `retries` times before it is a problem.

| word | what it means | what to do |
| --- | --- | --- |
"""
REFUSALS: Final = """\
## What only the HTTP interface refuses

The word is the `code` of a problem document, as those above are there too. What was refused has
changed nothing. [api.md](api.md) describes the interface.

| code | status | what it means | what to do |
| --- | --- | --- | --- |
"""
REASONS: Final = """\
## Why a record was set aside

The word is the `reason` of a reject. The record is kept with its bytes; it costs no other record of
its page, and does not make a later run fail.

| reason | what it means | what to do |
| --- | --- | --- |
"""


def kinds() -> Iterator[type[BibsyncError]]:
    """Yield every kind of error of the whole package, each before those that are a kind of it."""
    for module in pkgutil.walk_packages(bibsync.__path__, "bibsync."):
        importlib.import_module(module.name)
    yield from _below(BibsyncError)


def page() -> str:
    """Return the page, as Markdown."""
    every = list(kinds())
    parts = [OPENING, *(_row(each) for each in every), "\n", *(_told(each) for each in every)]
    parts += [ANSWERS, *_answers(), "\n", REFUSALS, *_refusals(), "\n", REASONS]
    parts += [
        f"| `{reason}` | {reject.PLAIN[reason]} | {reject.REMEDY[reason]} |\n"
        for reason in reject.Reason
    ]
    return "".join(parts)


def _below(kind: type[BibsyncError]) -> Iterator[type[BibsyncError]]:
    yield kind
    for each in sorted(kind.__subclasses__(), key=_place):
        yield from _below(each)


def _place(kind: type[BibsyncError]) -> tuple[str, str]:
    """Leave those of the tree in its order; others follow, whatever was imported first."""
    module = kind.__module__
    return ("", "") if module == BibsyncError.__module__ else (module, kind.code)


def _row(kind: type[BibsyncError]) -> str:
    passes = "yes" if kind.transient else "no"
    return f"| [`{kind.code}`](#{kind.code}) | {kind.exit_code} | {passes} |\n"


def _told(kind: type[BibsyncError]) -> str:
    remedy = f"**What to do:** {kind.default_remedy}"
    return f"## {kind.code}\n\n{_wrapped(kind.cause)}\n\n{_wrapped(remedy)}\n\n"


def _answers() -> Iterator[str]:
    for word, plain in [*fault.PLAIN.items(), *fault.STATUSES.items()]:
        yield f"| `{word}` | {plain.cause} | {plain.remedy} |\n"
    other = fault.OTHER_STATUS
    yield f"| `http_` and any other status | {other.cause} | {other.remedy} |\n"


def _refusals() -> Iterator[str]:
    for each in of_web.KINDS:
        yield f"| `{each.code}` | {each.status} | {each.cause} | {each.remedy} |\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


if __name__ == "__main__":
    sys.stdout.write(page())
