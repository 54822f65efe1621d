"""Table schedules: when jobs are due, as the configuration says it or as somebody edited it.

Everything is counted by the server's clock, so that replicas whose clocks differ agree. A slot is
claimed by moving `last_slot`; an edit raises `version`, so that no slot of the times before it is
claimed any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from bibsync.cron import Timing
from bibsync.store import LET_GO, Connection

LOCK = f"select pg_advisory_xact_lock(hashtext('bibsync.schedules')), {LET_GO}"
NOW = "select clock_timestamp()"
ALL = """
select s.*, f.fired_at as last_fired, f.outcome as last_outcome
from schedules s
left join lateral (
    select fired_at, outcome from firings f
    where f.schedule = s.schedule order by f.firing desc limit 1
) f on true
order by s.schedule
"""
PUT = """
insert into schedules as s (
    schedule, job, cron, once_at, timezone, enabled, expires, jitter, catch_up, retries,
    retry_delay, keep_results, collections, configured, edited_at, edited_by, counted_from
)
values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::json,
    case when $15::text is null then null else clock_timestamp() end, $15, clock_timestamp()
)
on conflict (schedule) do update
set job = excluded.job, cron = excluded.cron, once_at = excluded.once_at,
    timezone = excluded.timezone, enabled = excluded.enabled, expires = excluded.expires,
    jitter = excluded.jitter, catch_up = excluded.catch_up, retries = excluded.retries,
    retry_delay = excluded.retry_delay, keep_results = excluded.keep_results,
    collections = excluded.collections, configured = excluded.configured,
    edited_at = excluded.edited_at, edited_by = excluded.edited_by, version = s.version + 1,
    counted_from = case
        when (s.cron, s.once_at, s.timezone, s.job)
             is distinct from (excluded.cron, excluded.once_at, excluded.timezone, excluded.job)
          or (excluded.enabled and not s.enabled) then excluded.counted_from
        else s.counted_from
    end
"""
NOTE_CONFIGURED = "update schedules set configured = $2::text::json where schedule = $1"
DROP = "delete from schedules where schedule = any($1::text[])"
CLAIM = """
update schedules set last_slot = $3
where schedule = $1 and version = $2 and enabled
  and coalesce(last_slot, '-infinity') < $3 and counted_from < $3
returning true
"""
TERMS: Final = (
    "job", "cron", "once_at", "timezone", "enabled", "expires", "jitter", "catch_up", "retries",
    "retry_delay", "keep_results", "collections",
)  # fmt: skip
"""What a schedule says; the rest of a row is what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a schedule says: the job, its times, and how it is carried out.

    `once_at` is in UTC. No `expires`: it may begin however late. No `collections`: all of them.
    """

    job: str
    cron: str | None
    once_at: datetime | None
    timezone: str
    enabled: bool
    expires: timedelta | None
    jitter: timedelta
    catch_up: bool
    retries: int
    retry_delay: timedelta
    keep_results: timedelta
    collections: tuple[str, ...]

    @property
    def timing(self) -> Timing:
        """When it is due."""
        return Timing(self.cron, self.once_at, ZoneInfo(self.timezone))

    @property
    def written(self) -> str:
        """The terms as JSON: what was configured is compared with what comes later."""
        values = {name: getattr(self, name) for name in TERMS}
        return orjson.dumps(values, default=_plain, option=orjson.OPT_UTC_Z).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A schedule. `configured` are the terms of file or program, None where neither has it now."""

    name: str
    terms: Terms
    configured: Mapping[str, Any] | None
    edited_at: datetime | None
    edited_by: str | None
    version: int
    counted_from: datetime
    last_slot: datetime | None
    last_fired: datetime | None
    last_outcome: str | None

    @property
    def past(self) -> datetime:
        """Slots up to here have come or don't count."""
        return max(self.counted_from, self.last_slot or self.counted_from)


async def now(conn: Connection) -> datetime:
    """Return the server's time, which all replicas go by."""
    moment: datetime = await conn.fetchval(NOW)
    return moment


async def all_rows(conn: Connection) -> list[Row]:
    """Return every schedule, by name."""
    return [_row(each) for each in await conn.fetch(ALL)]


async def put(
    conn: Connection, name: str, terms: Terms, *, configured: str | None, edited_by: str | None
) -> None:
    """Make a schedule, or give it these terms; `edited_by` None: they are the configured ones.

    Other times, and those of one that had been disabled, begin with the next slot.
    """
    values = [getattr(terms, each) for each in TERMS]
    await conn.execute(PUT, name, *values, configured, edited_by)


async def note_configured(conn: Connection, name: str, configured: str | None) -> None:
    """Note what is configured for a schedule that was edited."""
    await conn.execute(NOTE_CONFIGURED, name, configured)


async def drop(conn: Connection, names: Sequence[str]) -> None:
    """Delete schedules; what they fired stays."""
    await conn.execute(DROP, names)


async def claim(conn: Connection, row: Row, slot: datetime) -> bool:
    """Take a slot, inside the transaction that fires it; False: another did, or it was edited."""
    return bool(await conn.fetchval(CLAIM, row.name, row.version, slot))


def _row(row: Any) -> Row:
    values = {each: row[each] for each in TERMS}
    values["collections"] = tuple(values["collections"])
    configured = orjson.loads(row["configured"]) if row["configured"] else None
    rest = (
        "edited_at", "edited_by", "version", "counted_from", "last_slot", "last_fired",
        "last_outcome",
    )  # fmt: skip
    return Row(
        name=row["schedule"],
        terms=Terms(**values),
        configured=configured,
        **{each: row[each] for each in rest},
    )


def _plain(value: object) -> float:
    assert isinstance(value, timedelta), value  # noqa: S101 - the only term JSON has no form for
    return value.total_seconds()
