"""bibsync doctor: is everything as it must be before a run."""

import sys
from collections import Counter
from typing import Annotated

import typer

from bibsync import events, examination
from bibsync.cli import completion, context
from bibsync.cli.context import DEBUG, Json, configuration
from bibsync.cli.text import flush, out, out_json, printable, say, table
from bibsync.errors import ConfigInvalid
from bibsync.examination import Finding, State

CHECK_FAILED = 8


def doctor(
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Examine this collection; may be given several times. Left out: all.",
            autocompletion=completion.collections,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check all that a run needs: configuration, database, Redis, each collection's login and page.

    bibsync doctor

    bibsync doctor --collection "Springfield cloudLibrary"

    Each check passed, gave a warning or failed, with what to do and what therefore could not be
    checked. Nothing is written. Exit 8 if one failed, 5 if the configuration can't be read.
    """
    try:
        config = configuration(warned=False)
    except ConfigInvalid as error:
        if json:
            _tell_invalid(error)
        raise
    chosen = config.chosen(collection)
    events.configure("debug" if DEBUG.on else "error", config.log.format)
    counts: Counter[State] = Counter()

    def told(finding: Finding) -> None:
        counts[finding.state] += 1
        out_json(finding.as_json()) if json else _show(finding)

    context.run(examination.examine(config, chosen, connect=context.connected, told=told))
    _sum_up(counts, json=json)
    raise typer.Exit(CHECK_FAILED if counts[State.FAILED] else 0)


def _tell_invalid(error: ConfigInvalid) -> None:
    """Print what is wrong with the configuration, for programs; people are told like always."""
    findings = examination.invalid("configuration", error)
    for finding in findings:
        out_json(finding.as_json())
    _sum_up(Counter({State.FAILED: len(findings)}), json=True)


def _show(finding: Finding) -> None:
    message = finding.message + (f" [{finding.code}]" if finding.code else "")
    if not sys.stdout.isatty():
        columns = ("STATE", "CHECK", "COLLECTION", "MESSAGE", "REMEDY")
        row = (finding.state, finding.check, finding.collection or "", message)
        table(columns, [(*row, finding.remedy or "")])
        flush()
        return
    subject = f"{finding.collection}: " if finding.collection else ""
    out(printable(f"{finding.state:<8}  {finding.check:<19}  {subject}{message}"))
    if finding.remedy:
        out(printable(f"{'':<8}  {'':<19}  {finding.remedy}"))
    flush()


def _sum_up(counts: Counter[State], *, json: bool) -> None:
    good, doubtful, bad = counts[State.PASSED], counts[State.WARNING], counts[State.FAILED]
    if json:
        out_json({"type": "summary", "passed": good, "warnings": doubtful, "failed": bad})
        return
    plural = "" if doubtful == 1 else "s"
    say(f"{good} passed, {doubtful} warning{plural}, {bad} failed.")
