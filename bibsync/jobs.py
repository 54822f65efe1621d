"""The jobs: what a schedule may start or a person may ask for, one row each in JOBS.

A job does its work for one request and says what came of it; whether it is tried again is the
dispatch's matter. To add one: a coroutine where its noun lives, a row here, its name in
`settings.keys`, a line in docs/jobs.md.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from types import MappingProxyType
from typing import Any, Final

from bibsync import census, cleanup, examination, harvest, store
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.errors import BibsyncError, Problem
from bibsync.examination import Finding, State
from bibsync.harvest import GOES_ON, Means
from bibsync.run import METADATA, PURCHASES, Order, Outcome, Summary, Tally
from bibsync.store import Pool, lanes, pauses, titles

MISSED = timedelta(days=31)
"""How far back a snapshot looks for days on which no replica was there."""
REFRESHED = 1000
"""Titles of a collection that a metadata job has looked up again: 40 requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What a replica goes by: the configuration in force, its collections by number, its means."""

    config: Config
    numbers: Mapping[int, Collection]
    means: Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request being done: its row, the collection if it is about one, and what it counts.

    `ended` hears the summary of each run.
    """

    row: Any
    duty: Duty
    collection: Collection | None
    ended: Callable[[Summary], None]
    tallies: dict[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a job."""

    outcome: Outcome = Outcome.SUCCEEDED
    problem: Problem | None = None
    result: Mapping[str, object] | None = None
    run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the table: what it does, in words, and how; `of_each`: for each collection."""

    words: str
    act: Callable[[Task], Awaitable[Done]]
    of_each: bool = False


async def purchases(task: Task) -> Done:
    """Sync a collection's purchases, then look its new titles up."""
    row = task.row
    order = Order(
        since=row["since"],
        until=row["until"],
        force_reimport=row["force_reimport"],
        lane=row["lane"],
        trigger=row["trigger"],
        request=row["request"],
    )
    return await _harvest(task, [order, _look_ups(row)])


async def metadata(task: Task) -> Done:
    """Look titles up again: those without a description, then those of the longest ago."""
    means = task.duty.means
    async with store.acquire(means.pool) as conn:
        await titles.refresh(conn, task.row["collection"], means.now(), most=REFRESHED)
    return await _harvest(task, [_look_ups(task.row)])


async def statistics(task: Task) -> Done:
    """Count what there is anew, for everyone to read."""
    async with store.acquire(task.duty.means.pool) as conn, conn.transaction():
        return Done(result=await census.renew(conn))


async def snapshot(task: Task) -> Done:
    """Note what the day that ended came to, for each collection, and the days nobody noted."""
    async with store.acquire(task.duty.means.pool) as conn, conn.transaction():
        today = (await store.clock(conn)).astimezone(UTC).date()
        await census.fill(conn, today - MISSED, today)
        return Done(result=await census.snapshot(conn))


async def clean(task: Task) -> Done:
    """Delete what is older than it has to be kept."""
    days = task.duty.config.cleanup.days_to_keep
    return Done(result=await cleanup.clean(task.duty.means.pool, days))


async def health(task: Task) -> Done:
    """Try the whole chain, as `doctor` does, and keep what was found.

    Vendors are asked within the budget of all runs; one that is to be left alone, as its collection
    is paused or as it said so itself, isn't.
    """
    config, means, pool = task.duty.config, task.duty.means, task.duty.means.pool
    findings: list[Finding] = []
    left_alone = await _left_alone(task.duty)
    chosen = [each for each in config.collections if each.name not in left_alone]

    @asynccontextmanager
    async def connect(_: Config) -> AsyncIterator[Pool]:
        yield pool

    await examination.examine(
        config, chosen, connect=connect, told=findings.append, source=means.source
    )
    bad = [each for each in findings if each.state is State.FAILED]
    return Done(
        outcome=Outcome.FAILED if bad else Outcome.SUCCEEDED,
        problem=_problem(bad[0]) if bad else None,
        result={
            "findings": [each.as_json() for each in findings],
            "left_alone": sorted(left_alone),
        },
    )


async def _left_alone(duty: Duty) -> set[str]:
    """Return the names of the collections whose vendor isn't to be asked now."""
    async with store.acquire(duty.means.pool) as conn:
        paused, standings = await pauses.in_force(conn), await lanes.standings(conn)
        now = await store.clock(conn)
    parked = {
        number
        for (number, _), standing in standings.items()
        if standing.parked_until and standing.parked_until > now
    }
    return {each.name for number, each in duty.numbers.items() if number in {*paused, *parked}}


JOBS: Final[Mapping[str, Job]] = MappingProxyType(
    {
        "purchases": Job(words="Sync purchases, look new titles up", act=purchases, of_each=True),
        "metadata": Job(words="Look titles up again", act=metadata, of_each=True),
        "statistics": Job(words="Count what there is", act=statistics),
        "snapshot": Job(words="Note what the day came to", act=snapshot),
        "cleanup": Job(words="Delete what needn't be kept", act=clean),
        "health": Job(words="Try the whole chain", act=health),
    }
)


def _look_ups(row: Any) -> Order:
    return Order(stream=METADATA, trigger=row["trigger"], request=row["request"])


async def _harvest(task: Task, orders: list[Order]) -> Done:
    """Do these orders, one after the other, as long as they go well; the worst is what came."""
    assert task.collection is not None, task.row  # noqa: S101 - the table says of which jobs
    summaries: list[Summary] = []
    for order in orders:
        tally = task.tallies[order.stream] = Tally()
        summaries.append(
            await harvest.harvest(
                task.collection,
                task.row["collection"],
                order,
                task.duty.means,
                tally=tally,
                ended=task.ended,
            )
        )
        if summaries[-1].outcome not in GOES_ON:
            break
    worst = next(
        (each for each in summaries if each.outcome is not Outcome.SUCCEEDED), summaries[-1]
    )
    first = next((each for each in summaries if each.stream == PURCHASES), summaries[0])
    return Done(
        outcome=worst.outcome,
        problem=worst.problem,
        result={"summaries": [each.as_json() for each in summaries]},
        run=first.run,
    )


def _problem(finding: Finding) -> Problem:
    whose = f"{finding.collection}: " if finding.collection else ""
    return Problem(
        code=finding.code or BibsyncError.code,
        origin="bibsync",
        transient=finding.transient,
        message=whose + finding.message,
        remedy=finding.remedy or BibsyncError.default_remedy,
    )
