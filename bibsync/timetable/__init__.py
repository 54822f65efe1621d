"""The timetable: which jobs are due when, kept in the database, and how a slot becomes work.

    file, built in ─ seed ─┐
    edit, reset ───────────┴─► schedules ─ fire_due ─► firing ─► requests, one a collection

Promises: a slot fires once, however many replicas look: all go by the server's clock, and claiming
the slot, noting the firing and asking for the work are one transaction. Of slots that were missed
the latest alone fires, if its schedule catches up and it hasn't expired; what is passed over is
said. An edited schedule keeps its terms whatever the file says later; the difference is shown, and
`reset` returns to the file. Edits begin with the next slot.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import structlog

from bibsync import events, store
from bibsync.config import Config, Schedule
from bibsync.errors import NotFound, UsageWrong
from bibsync.run import utc_text
from bibsync.settings.keys import JOBS_OF_EACH
from bibsync.store import Connection, Pool, firings, requests, schedules
from bibsync.store.schedules import Row, Terms
from bibsync.timetable.shown import documents, expected
from bibsync.timetable.slots import due_slot, next_due, next_slot
from bibsync.timetable.terms import at_in_zone, built_in, configured, read_changes, terms_of

__all__ = [
    "Fired",
    "Tick",
    "built_in",
    "configured",
    "documents",
    "due_slot",
    "edit",
    "expected",
    "fire_due",
    "fire_now",
    "next_due",
    "next_slot",
    "reset",
    "seed",
]

LATE_S = 60.0
"""A slot that comes later than this was missed: no replica was there."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fired:
    """A slot that came, how many seconds late, and how many requests it came to.

    `passed_over` says why nothing is done for it, None where it fired.
    """

    schedule: str
    slot: datetime
    late_s: float
    requests: int = 0
    passed_over: str | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """What one look at the timetable came to; the next slot is `wait` away, None: there is none."""

    fired: tuple[Fired, ...]
    wait: timedelta | None


async def seed(conn: Connection, config: Config) -> None:
    """Bring the timetable in step with the configuration, inside one transaction."""
    await conn.execute(schedules.LOCK)
    known = {row.name: row for row in await schedules.all_rows(conn)}
    wanted = configured(config)
    for name, terms in wanted.items():
        row = known.get(name)
        if row is None or (row.edited_at is None and not _is_as(row, terms)):
            await schedules.put(conn, name, terms, configured=terms.written, edited_by=None)
        elif row.configured != orjson.loads(terms.written):
            await schedules.note_configured(conn, name, terms.written)
    left = [row for name, row in known.items() if name not in wanted]
    await schedules.drop(conn, [row.name for row in left if row.edited_at is None])
    for row in left:
        if row.edited_at is not None and row.configured is not None:
            await schedules.note_configured(conn, row.name, None)


async def edit(
    conn: Connection, name: str, changes: Mapping[str, object], *, config: Config, by: str
) -> None:
    """Give a schedule other terms, or make one, inside one transaction.

    `changes` are keys and values as the file has them in `[[schedules]]`; a new schedule that
    names no time zone has the configuration's. In force at once on every replica, from the next
    slot on. One that is again as it is configured is no longer an edited one.

    Raises:
        UsageWrong: a change has no meaning; all of them are named.
        NotFound: there is no such schedule, and `changes` names no job for a new one; or they
            name a collection that the configuration doesn't have.
    """
    await conn.execute(schedules.LOCK)
    row = next((each for each in await schedules.all_rows(conn) if each.name == name), None)
    if row is None and "job" not in changes:
        raise await _unknown(conn, name)
    read = read_changes(changes)
    config.chosen(read.get("collections"))
    made = Schedule(name=name, job=read.get("job", ""), timezone=config.timezone)
    before = row.terms if row else terms_of(made)
    if "cron" in read:
        read["once_at"] = None
    elif "once_at" in read:
        read["cron"] = None
    after = replace(before, **read)
    after = at_in_zone(after, ZoneInfo(after.timezone))
    if after.collections and after.job not in JOBS_OF_EACH:
        raise UsageWrong(
            f'Schedule "{name}": {after.job} is about all collections, not about some.',
            remedy="Nothing was changed; leave the collections out.",
        )
    if after.enabled:
        _demand_times(name, after, await schedules.now(conn))
    known = row.configured if row else None
    noted = orjson.dumps(known).decode() if known is not None else None
    same = known == orjson.loads(after.written)
    await schedules.put(conn, name, after, configured=noted, edited_by=None if same else by)


def _demand_times(name: str, terms: Terms, now: datetime) -> None:
    """Refuse terms by which a schedule would never fire: an edited one is counted from now on."""
    if terms.cron is None and terms.once_at is None:
        raise UsageWrong(f'Schedule "{name}" has no time.', remedy="Give it one of cron and at.")
    if terms.once_at is not None and terms.once_at <= now:
        raise UsageWrong(
            f'Schedule "{name}" would never fire: its time, {utc_text(terms.once_at)}, is over.',
            remedy="Give it a later one; `bibsync schedule run` fires a schedule at once.",
        )


async def reset(conn: Connection, name: str, config: Config) -> bool:
    """Return a schedule to what file or program say, inside one transaction.

    False: neither has it, and it is gone.

    Raises:
        NotFound: there is no such schedule.
    """
    await conn.execute(schedules.LOCK)
    terms = configured(config).get(name)
    if terms is not None:
        await schedules.put(conn, name, terms, configured=terms.written, edited_by=None)
        return True
    if name not in {row.name for row in await schedules.all_rows(conn)}:
        raise await _unknown(conn, name)
    await schedules.drop(conn, [name])
    return False


async def fire_now(conn: Connection, name: str, *, trigger: str, by: str) -> tuple[int, list[int]]:
    """Fire a schedule beside its slots, inside one transaction, also a disabled one.

    Returns the number of the firing and those of the requests it came to.

    Raises:
        NotFound: there is no such schedule.
    """
    row = next((each for each in await schedules.all_rows(conn) if each.name == name), None)
    if row is None:
        raise await _unknown(conn, name)
    now = await schedules.now(conn)
    firing = await firings.fire(conn, name, row.terms.job, slot=None, trigger=trigger, by=by)
    assert firing is not None  # noqa: S101 - the slot is the server's present
    asked = _asked(row, now, firing, trigger=trigger, by=by, priority=requests.WISHED)
    return firing, await _ask(conn, row.terms, now, timedelta(0), asked)


async def fire_due(pool: Pool, *, by: str) -> Tick:
    """Fire every slot that is due and that nobody has fired yet; `by` is this replica's name."""
    fired: list[Fired] = []
    async with store.acquire(pool) as conn:
        now = await schedules.now(conn)
        rows = await schedules.all_rows(conn)
        for row in rows:
            slot = due_slot(row, now)
            if slot is not None:
                async with conn.transaction():
                    came = await _fire(conn, row, slot, now, by)
                fired += _told(came)
    following = [next_slot(row, now) for row in rows]
    waits = [slot - now for slot in following if slot is not None]
    return Tick(tuple(fired), min(waits, default=None))


async def _fire(conn: Connection, row: Row, slot: datetime, now: datetime, by: str) -> Fired | None:
    """Claim a slot and ask for its work, or pass it over; None: another replica has it."""
    await conn.execute(schedules.LOCK)
    if not await schedules.claim(conn, row, slot):
        return None
    late_s = (now - slot).total_seconds()
    why = _passed_over(row.terms, late_s)
    firing = await firings.fire(
        conn,
        row.name,
        row.terms.job,
        slot=slot,
        trigger="schedule",
        by=by,
        outcome="dropped" if why else None,
    )
    if firing is None:
        return None
    if why:
        return Fired(row.name, slot, late_s, passed_over=why)
    by_schedule = f"schedule {row.name}"
    asked = _asked(
        row, slot, firing, trigger="schedule", by=by_schedule, priority=requests.SCHEDULED
    )
    numbers = await _ask(conn, row.terms, slot, row.terms.jitter, asked)
    return Fired(row.name, slot, late_s, len(numbers))


def _told(came: Fired | None) -> list[Fired]:
    """Tell what a slot came to, once it is committed; return it where it fired."""
    if came is None:
        return []
    slot = {"schedule": came.schedule, "slot": utc_text(came.slot)}
    if came.passed_over:
        log.warning(events.SLOT_MISSED, **slot, because=came.passed_over)
        return []
    late_s = round(came.late_s, 3)
    log.info(events.SCHEDULE_FIRED, **slot, late_s=late_s, requests=came.requests)
    return [came]


def _passed_over(terms: Terms, late_s: float) -> str | None:
    """Return why a slot that comes so late doesn't fire, None where it does."""
    if terms.expires is not None and late_s > terms.expires.total_seconds():
        return "it expired before any replica was there"
    if late_s > LATE_S and not terms.catch_up:
        return "no replica was there, and the schedule doesn't catch up"
    return None


def _asked(
    row: Row, slot: datetime, firing: int, *, trigger: str, by: str, priority: int
) -> requests.Terms:
    terms = row.terms
    return requests.Terms(
        trigger=trigger,
        by=by,
        firing=firing,
        priority=priority,
        expires_at=slot + terms.expires if terms.expires else None,
        retries=terms.retries,
        retry_delay=terms.retry_delay,
        keep_results=terms.keep_results,
    )


async def _ask(
    conn: Connection, terms: Terms, due_at: datetime, jitter: timedelta, asked: requests.Terms
) -> list[int]:
    if terms.job in JOBS_OF_EACH:
        return await requests.ask_each(
            conn, terms.job, asked, due_at=due_at, jitter=jitter, names=terms.collections
        )
    spread = random.random() * jitter  # noqa: S311 - so that not everything begins at once
    return [await requests.ask(conn, requests.Wish(job=terms.job, due_at=due_at + spread), asked)]


def _is_as(row: Row, terms: Terms) -> bool:
    return row.terms == terms and row.configured == orjson.loads(terms.written)


async def _unknown(conn: Connection, name: str) -> NotFound:
    there = ", ".join(f'"{row.name}"' for row in await schedules.all_rows(conn)) or "none yet"
    return NotFound(f'There is no schedule "{name}".', remedy=f"There is: {there}.")
