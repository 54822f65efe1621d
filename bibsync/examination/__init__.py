"""The examination: is everything as it must be before a run? What `bibsync doctor` tells.

Each check is a coroutine that returns findings: passed, warning or failed, with a sentence and,
where something is to be done, a remedy. Checks run side by side, each within its own time, and
none stops the others; a failure names what can't be checked because of it. Findings are told in
order, as soon as they and all before them are there. Nothing is written anywhere that stays: the
database's trial is rolled back, a key in Redis is taken away, the vendor is only read from.

To add a check of the surroundings: one coroutine in `place`, one row in CHECKS. To add one of a
collection's vendor: one function in `vendor`, one row in its JUDGEMENTS.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.errors import BibsyncError, first_of
from bibsync.examination import place, vendor
from bibsync.examination.finding import Finding, State, failed, invalid
from bibsync.sources import open_source
from bibsync.sources.http import Hosts
from bibsync.store import Pool

__all__ = ["CHECKS", "Finding", "State", "examine", "invalid"]

AT_ONCE = 8
"""Collections that are examined together."""

VENDOR_WITHIN_S = 100.0

CHECKS: tuple[tuple[str, float, Callable[[place.Case], Awaitable[list[Finding]]]], ...] = (
    ("configuration", 5.0, place.configuration),
    ("state_folder", 10.0, place.state_folder),
    ("database.connection", 60.0, place.database),
    ("redis", 20.0, place.redis),
)
"""What is examined once: what a failure is told under, its longest time in seconds, the check."""


async def examine(
    config: Config,
    chosen: Sequence[Collection],
    *,
    connect: Callable[[Config], AbstractAsyncContextManager[Pool]],
    told: Callable[[Finding], None],
    source: vendor.Sources | None = None,
) -> None:
    """Examine the surroundings, then each of the chosen collections; `told` hears each finding.

    `connect` reaches the database that is configured, for the length of a block. `source` opens a
    vendor's interface by the budget that a process has of it; left out: by one for this occasion.
    """
    case = place.Case(config, tuple(chosen), connect)
    gate = asyncio.Semaphore(AT_ONCE)
    try:
        async with Hosts() as hosts, asyncio.TaskGroup() as group:
            opened = source or (lambda each, permit: open_source(each, hosts, permit))
            tasks = [
                group.create_task(_within(name, within_s, check(case)), name=f"check {name}")
                for name, within_s, check in CHECKS
            ]
            tasks += [
                group.create_task(_collection(each, opened, gate), name=f"check {each.name}")
                for each in chosen
            ]
            for task in tasks:
                for finding in await task:
                    told(finding)
    except BaseExceptionGroup as several:
        raise first_of(several) from None


async def _collection(
    collection: Collection, source: vendor.Sources, gate: asyncio.Semaphore
) -> list[Finding]:
    async with gate:
        asking = vendor.examine(collection, source)
        findings = await _within("vendor.page", VENDOR_WITHIN_S, asking)
    return [replace(each, collection=collection.name) for each in findings]


async def _within(name: str, within_s: float, check: Awaitable[Iterable[Finding]]) -> list[Finding]:
    """Carry out a check in its time; what can be told in a sentence is a finding like any other."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            findings = list(await check)
    except BibsyncError as error:
        findings = [failed(name, error)]
    except TimeoutError:
        findings = [
            Finding(
                check=name,
                state=State.FAILED,
                transient=True,
                message=f"This check didn't come to an end within {within_s:.0f} s.",
                remedy="Run `bibsync doctor` again; if it stays so, see what hangs there.",
            )
        ]
    took_s = round(time.monotonic() - began, 3)
    return [replace(each, duration_s=took_s) for each in findings]
