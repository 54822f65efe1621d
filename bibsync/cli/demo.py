"""bibsync demo: see it work, without a server, an account or a configuration."""

import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bibsync import config as configuration, events, store
from bibsync.cli import context, daemon, syncing
from bibsync.cli.text import out, say, table
from bibsync.config import Config
from bibsync.reject import SHORT, Reason
from bibsync.run import METADATA, PURCHASES, Order, Outcome, Summary
from bibsync.settings.shapes import LISTEN
from bibsync.simulator import showcase
from bibsync.store import Pool, collections, records, rejects, titles

STREAMS = [Order(), Order(stream=METADATA)]
MOST_RUNS = 8
"""The faulty vendor may fail a window for good; the next run heals it, as it would at night."""

NEXT = """
Five things to try next:
  {0} demo --keep             keep the data, then look at it
  {0} simulate --faults all   the vendor by itself, with everything that can go wrong
  {0} simulate --marc FILE    serve your own MARC records as purchases
  {0} config check            with a bibsync.toml of your own account (see README.md)
  {0} run-once --all          sync it; run it again and nothing is stored twice
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the result table shows of one collection."""

    name: str
    records: int
    described: int
    rejected: Counter[str]
    requests: int
    retries: int
    received: int
    seconds: float
    true: bool

    @property
    def reasons(self) -> str:
        """The rejects, in plain words."""
        return ", ".join(f"{count} {SHORT[Reason(why)]}" for why, count in self.rejected.items())


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data and a configuration to look at it with.")
    ] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Leave the daemon on, with its interface; Ctrl-C ends it."),
    ] = False,
) -> None:
    """Sync three made-up libraries into a real database: no server, no account, no configuration.

    bibsync demo

    One of the libraries answers with faults, one has a history since 2014. At the end the database
    is compared with what the vendor says is true: exit 0 if they are equal.
    """
    context.forget_variables("BIBSYNC_")
    folder = Path(tempfile.mkdtemp(prefix="bibsync-demo-"))
    try:
        equal = context.run(_demo(folder, serve=serve))
    finally:
        if keep:
            _tell_kept(folder)
        else:
            _remove(folder)
    raise typer.Exit(0 if equal else 1)


def _remove(folder: Path) -> None:
    """Remove all; as root, the server may lie elsewhere, where the link `cluster` points."""
    elsewhere = folder / "cluster"
    if elsewhere.is_symlink():
        shutil.rmtree(elsewhere.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _tell_kept(folder: Path) -> None:
    out(f"Kept in {folder}. Look at it with:")
    for command in ("status", "rejects list"):
        out(f"  {_program()} --config {shlex.quote(str(folder / 'bibsync.toml'))} {command}")


def _program() -> str:
    """Return how this very program is called from here, which may lie outside the PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m bibsync"
    return "bibsync" if shutil.which("bibsync") else shlex.quote(str(called))


async def _demo(folder: Path, *, serve: bool) -> bool:
    events.configure("error", "auto")
    today = datetime.now(UTC).date()
    libraries = showcase.libraries(today)
    say("Starting a vendor simulator and a PostgreSQL of its own ...")
    async with showcase.started() as base_url:
        file = folder / "bibsync.toml"
        file.touch(mode=0o600)
        file.write_text(_written(libraries, base_url, folder))
        config = configuration.load(file, {})
        async with context.writable(config) as pool:
            say(f"Syncing {len(libraries)} libraries ...")
            began = time.monotonic()
            runs = await _synced(config)
            seconds = time.monotonic() - began
            shown = [
                await _compared(
                    pool, each, base_url, [r for r in runs if r.collection == each.name]
                )
                for each in libraries
            ]
            _report(shown, seconds)
            if serve:
                await _served(config)
    return all(each.true for each in shown)


def _written(libraries: tuple[showcase.Shown, ...], base_url: str, folder: Path) -> str:
    head = f"""# bibsync demo, {datetime.now(UTC):%Y-%m-%d}
state_dir = "{folder}"
[log]
level = "error"
[web]
listen = "{LISTEN.host}:{_port()}"
[sync]
requests_per_second = 100000.0        # the vendor is ourselves; leave this out for a real one
windows_at_once = 4
"""
    each = [
        f"""
[[collections]]
name = "{library.name}"
source = "bibliotheca"
library_id = "{library.library_id}"
account_id = "{showcase.ACCOUNT}"
account_key = "{showcase.KEY}"
base_url = "{base_url}"
start_date = {library.since}
"""
        for library in libraries
    ]
    return head + "".join(each)


async def _synced(config: Config) -> list[Summary]:
    """Run until every collection succeeded, as a schedule would; usually that is once or twice."""
    runs: list[Summary] = []
    due = list(config.collections)
    for _ in range(MOST_RUNS):
        done: list[Summary] = []
        await syncing.sync(config, due, STREAMS, wait_lock=timedelta(0), ended=done.append)
        runs += done
        left = {each.collection for each in done if each.outcome is not Outcome.SUCCEEDED}
        due = [each for each in due if each.name in left]
        if not due:
            break
    return runs


async def _compared(
    pool: Pool, library: showcase.Shown, base_url: str, runs: list[Summary]
) -> Shown:
    """Compare what is stored of a library with the vendor's truth."""
    runs = [run for run in runs if run.collection == library.name]
    ledger = await showcase.truth(base_url, library.library_id)
    expected = {number: each["fingerprint"] for number, each in ledger["records"].items()}
    async with store.acquire(pool) as conn:
        number = (await collections.named(conn, library.name)).number
        prints = await records.fingerprints(conn, number)
        rejected = await rejects.listed(conn, collection=number, limit=10_000)
        known = (await titles.standings(conn)).get(number)
    described = known.described if known else 0
    return Shown(
        name=library.name,
        records=len(prints),
        described=described,
        rejected=Counter(row["reason"] for row in rejected),
        requests=sum(run.tally.requests for run in runs),
        retries=sum(run.tally.retries for run in runs),
        received=sum(run.tally.received for run in runs if run.stream == PURCHASES),
        seconds=sum(run.duration_s for run in runs),
        true=prints == expected
        and described == len(expected)
        and Counter(row["reason"] for row in rejected)
        == Counter(each["reason"] for each in ledger["rejects"])
        and all(run.outcome is Outcome.SUCCEEDED for run in runs[-1:]),
    )


async def _served(config: Config) -> None:
    """Leave the daemon on, beside the vendor that it syncs from."""

    @asynccontextmanager
    async def told(_: object) -> AsyncIterator[None]:
        say(f"The daemon answers at http://{config.web.listen}/ until Ctrl-C.")
        yield

    await daemon.serving(
        config, load_again=lambda: configuration.load(config.path, {}), also=[told]
    )


def _port() -> int:
    """Return the port that the interface has by default, any other where that is taken."""
    for port in (LISTEN.port, 0):
        with suppress(OSError), socket.create_server((LISTEN.host, port)) as free:
            chosen: int = free.getsockname()[1]
            return chosen
    return LISTEN.port


def _report(shown: list[Shown], seconds: float) -> None:
    table(
        (
            *("COLLECTION", "RECORDS", "DESCRIBED", "SET ASIDE", "REQUESTS", "RETRIED", "PER 50"),
            "SAME AS VENDOR",
        ),
        (
            (
                each.name,
                each.records,
                each.described,
                each.rejected.total(),
                each.requests,
                each.retries,
                round(each.requests * 50 / max(each.records, 1), 1),
                "yes" if each.true else "NO",
            )
            for each in shown
        ),
    )
    out("Set aside, each with its bytes, its place and its reason:")
    for each in shown:
        out(f"  {each.name}: {each.reasons or 'nothing'}")
    received = sum(each.received for each in shown)
    out(f"{received} records received in {seconds:.1f} s: {received / seconds:.0f} a second.")
    out(NEXT.format(_program()))
