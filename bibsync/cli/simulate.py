"""bibsync simulate: the vendor simulator by itself."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bibsync.cli import context
from bibsync.cli.text import out_json, say
from bibsync.errors import UsageWrong
from bibsync.settings.moments import moment
from bibsync.simulator import Faults, Library, Vendor, serve

EVER = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
LIBRARY, ACCOUNT, KEY = "simulated", "partner", "secret"
ENTRY = """
[[collections]]
name = "{library}"
source = "bibliotheca"
library_id = "{library}"
account_id = "{account}"
account_key = "{key}"
base_url = "{base_url}"
requests_per_second = 1000.0
"""


def simulate(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0: any free one.")
    ] = 8471,
    faults: Annotated[
        str,
        typer.Option(metavar="KINDS", help='"none", "all", or kinds: "http_502=0.05,blank=0.1".'),
    ] = "none",
    titles: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Purchases to make up.")
    ] = 1000,
    since: Annotated[str, typer.Option(metavar="TIME", help="First purchase.")] = "365d",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Left out: now.")] = None,
    bad: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of records with a defect.")
    ] = 0.0,
    late: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="SHARE", help="Share that shows up to 64 days late."),
    ] = 0.0,
    retitled: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share that changes later.")
    ] = 0.0,
    removed: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share that is withdrawn later.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Same seed, same history, same faults.")
    ] = 0,
    latency: Annotated[int, typer.Option(min=0, metavar="MS", help="Milliseconds per answer.")] = 0,
    marc: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Serve these MARC records (ISO 2709 or MARCXML)."),
    ] = None,
    library: Annotated[
        str, typer.Option(metavar="ID", help="library_id of the account.")
    ] = LIBRARY,
) -> None:
    """Serve a made-up cloudLibrary on this machine, with its quirks and, if asked for, faults.

    bibsync simulate --faults all

    bibsync simulate --marc records.mrc --since 2024-01-01 --until 2024-02-01

    Its account is account_id "partner" with account_key "secret".
    """
    now = datetime.now(UTC)
    start = moment(since, name="--since", now=now) or now
    end = moment(until, name="--until", now=now) or now
    days = (start.date(), max(end.date(), start.date() + timedelta(days=1)))
    kinds = Faults.parse(faults)
    if marc:
        served = _of_files(library, marc, days)
    else:
        served = Library.virtual(
            library,
            ACCOUNT,
            KEY,
            titles=titles,
            since=days[0],
            until=days[1],
            seed=seed,
            bad=bad,
            late=late,
            retitled=retitled,
            removed=removed,
        )
    vendor = Vendor([served], faults=kinds, seed=seed, latency_s=latency / 1000)
    context.run(_serve(vendor, library, port))


def _of_files(name: str, files: list[Path], days: tuple[date, date]) -> Library:
    for file in files:
        if not file.is_file():
            raise UsageWrong(f"--marc: there is no file {file}.", remedy="Name a MARC file.")
    library = Library.of_marc(name, ACCOUNT, KEY, files=files, since=days[0], until=days[1])
    for kind, count in library.left_out.items():
        say(f"Left out: {count}, {kind}.")
    if not any(library.bought.between(EVER, NEVER)):
        raise UsageWrong("--marc: there is no record that can be served.")
    return library


async def _serve(vendor: Vendor, library: str, port: int) -> None:
    try:
        async with serve(vendor, port=port) as base_url:
            out_json({"base_url": base_url, "library_id": library, "account_id": ACCOUNT})
            say(ENTRY.format(library=library, account=ACCOUNT, key=KEY, base_url=base_url))
            say(f"Serving on {base_url}; the truth is at {base_url}simulator/truth/{library}")
            await asyncio.Event().wait()
    except OSError as error:
        raise UsageWrong(
            f"Port {port} can't be used: {error.strerror}.", remedy="Choose another with --port."
        ) from None
