"""bibsync notify: who is told of problems."""

from datetime import UTC, datetime

import typer

from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.text import out_json, say, table
from bibsync.notify import trial
from bibsync.notify.trial import Tried

CHECK_FAILED = 8

app = typer.Typer(
    no_args_is_help=True, help="See to who is told of problems.\n\nbibsync notify test"
)


@app.callback()
def group() -> None:
    """Keep `test` a command of its own, though it is the only one."""


@app.command("test", short_help="Send a test message over every channel.")
def try_out(json: Json = False) -> None:
    """Send a test message over every channel of [notify], and tell whether it went.

    bibsync notify test

    The heartbeat's address is asked once. Exit 8 if one didn't go; it is not sent again later.
    """
    config = configuration()
    tried = context.run(trial.try_all(config.notify, now=datetime.now(UTC)))
    failed = [each for each in tried if each.failed]
    if json:
        for each in tried:
            out_json(each.as_json())
        went = len(tried) - len(failed)
        out_json({"type": "summary", "passed": went, "failed": len(failed)})
    else:
        _show(tried)
    raise typer.Exit(CHECK_FAILED if failed else 0)


def _show(tried: list[Tried]) -> None:
    if not tried:
        say(
            "Nobody is told of problems: [notify] names neither email_to with smtp_url, nor "
            "webhook_url, nor heartbeat_url."
        )
        return
    rows = [
        (
            each.channel,
            "failed" if each.failed else "sent",
            f"{each.failed.message} [{each.failed.code}]" if each.failed else "",
            each.failed.remedy if each.failed else "",
        )
        for each in tried
    ]
    table(("CHANNEL", "STATE", "MESSAGE", "REMEDY"), rows)
