"""bibsync cleanup: delete what is older than it has to be kept."""

from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer

from bibsync import cleanup as sweeping
from bibsync.cli import context, questions
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import local, out_json, say, table
from bibsync.config import Config
from bibsync.settings.values import Unfit

NOTHING = "There is nothing to clean up."
LONGEST = 36_500
WHAT = {
    "runs": "runs",
    "versions": "earlier versions of records",
    "rejects": "settled rejects",
    "results": "results of requests",
    "requests": "requests",
    "firings": "firings of schedules",
    "notices": "ended notices",
    "idempotency_keys": "idempotency keys",
    "replicas": "replicas that are gone",
}
"""What is deleted, and how people call it."""
ANSWERS = {"y": True, "yes": True, "n": False, "no": False}
STOPPED = "Stopped. What was deleted stays deleted; the next cleanup goes on."


def cleanup(
    days_to_keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LONGEST,
            metavar="DAYS",
            help="How long things are kept. Left out: as [cleanup] says.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would go; write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask first on a terminal.")] = False,
    json: Json = False,
) -> None:
    """Delete old runs, earlier versions, settled rejects and what else is no longer needed.

    bibsync cleanup --dry-run

    bibsync cleanup --days-to-keep 365

    Never records as they are now, open rejects, or the runs that status is made of. On a terminal
    it asks first, without --json.
    """
    config = configuration()
    days = config.cleanup.days_to_keep if days_to_keep is None else days_to_keep
    asks = not (dry_run or yes or json) and questions.are_possible()
    document = context.run(_clean(config, days, dry_run=dry_run or asks), stopped=STOPPED)
    if asks and document and any(document["counts"].values()):
        _show(document)
        if not _agreed():
            say("Nothing was deleted.")
            return
        document = context.run(_clean(config, days, dry_run=False), stopped=STOPPED)
    if document is None:
        say(NOTHING)
    elif json:
        out_json(document)
    else:
        _report(document, config.timezone, shown=asks)


async def _clean(config: Config, days: int, *, dry_run: bool) -> dict[str, Any] | None:
    async with context.readable(config) as pool:
        if pool is None:
            return None
        return await sweeping.clean(pool, days, dry_run=dry_run)


def _agreed() -> bool:
    """Ask a person whether all that shall go."""
    with questions.broken_off_quietly():
        answer = questions.ask("Delete all that for good? y or n", _answer, default="n")
    return ANSWERS[answer]


def _answer(text: str) -> str:
    if text.lower() not in ANSWERS:
        raise Unfit("is neither y nor n")
    return text.lower()


def _show(document: dict[str, Any]) -> None:
    counts = document["counts"]
    table(("WHAT", "COUNT"), ((name, counts[word]) for word, name in WHAT.items()))


def _report(document: dict[str, Any], zone: tzinfo, *, shown: bool) -> None:
    """Say what went; a person who was asked has seen the table already."""
    if not any(document["counts"].values()):
        say(NOTHING)
        return
    if not shown:
        _show(document)
    days, since = document["days_to_keep"], datetime.fromisoformat(document["kept_since"])
    done = "would be" if document["dry_run"] else "was"
    say(f"All that {done} deleted: {days} days are kept, since {local(since, zone)}.")
