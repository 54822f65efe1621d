"""Table titles: which titles are to be looked up, and what the vendor told of the others.

A title is on the list as long as `due_at` is set. A description takes it off; without one it stays,
with the reason, and is asked for again at growing intervals: nothing is given up.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bibsync.item import Description
from bibsync.store import Connection

WANT = """
insert into titles (collection, control_number, wanted_since, due_at)
select $1, control_number, least($3, now()), least($3, now())
from unnest($2::text[]) as new (control_number)
order by control_number
on conflict (collection, control_number) do nothing
"""
"""Moments are told by the earlier of our clock and the server's, here and below: one that was set
forward for a while must not put titles off for as long."""
DUE = """
select control_number, attempts > 0 as is_known from titles
where collection = $1 and due_at <= $2 and asked_by is distinct from $3
  and (problem is not null) = $4 and control_number > $5
order by control_number limit $6
"""
COUNT_DUE = "select count(*) from titles where collection = $1 and due_at <= $2"
WAITING = """
select control_number, wanted_since, due_at, problem from titles
where collection = $1 and due_at is not null and control_number > $2
order by control_number limit $3
"""
DESCRIBE = """
with answer as (
    select * from unnest($2::text[], $3::text[], $4::bytea[])
        as a (control_number, description, fingerprint)
),
judged as (
    select a.*, t.fingerprint is null as is_new, t.fingerprint <> a.fingerprint as is_changed
    from answer a join titles t on t.collection = $1 and t.control_number = a.control_number
    order by a.control_number
    for update of t
),
noted as (
    update titles t
    set looked_up_at = $5, due_at = null, absences = 0, attempts = 0, problem = null,
        described_at = case when is_new or is_changed then $5 else t.described_at end,
        fingerprint = case when is_new or is_changed then j.fingerprint else t.fingerprint end,
        description = case when is_new or is_changed then j.description::json else t.description end
    from judged j
    where t.collection = $1 and t.control_number = j.control_number
)
select is_new, coalesce(is_changed, false) as is_changed from judged
"""
POSTPONE = """
update titles
set absences = absences + 1, attempts = 0, problem = $3,
    due_at = least($4, now()) + (least(2 ^ least(absences, 10), 64) - 0.25) * interval '1 day'
where collection = $1 and control_number = any($2::text[])
"""
DEFER = """
update titles
set attempts = attempts + 1, problem = $3,
    due_at = least($4, now()) + (least(2 ^ least(attempts, 10), 64) - 0.25) * interval '1 day'
where collection = $1 and control_number = any($2::text[])
"""
FAIL = """
update titles set problem = $3, asked_by = $4
where collection = $1 and control_number = any($2::text[])
"""
REFRESH = """
update titles set due_at = least($2, now())
where collection = $1 and control_number = any(array(
    select control_number from titles
    where collection = $1 and (due_at is null or (due_at > $2 and description is null))
    order by looked_up_at nulls first, control_number limit $3
))
"""
STANDINGS = """
select collection, count(*) filter (where description is not null) as described,
       count(due_at) as waiting, min(wanted_since) filter (where due_at is not null) as oldest,
       max(looked_up_at) as last
from titles group by collection
"""

BATCH = 500
ABSENT = "absent: the vendor's list leaves it out"
"""The reason of a title that the vendor, asked for it, did not mention."""


class Described(NamedTuple):
    """What a look-up changed: titles described for the first time, and those that now differ."""

    new: int
    changed: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a collection's titles stand: `waiting` are on the list, the oldest since `oldest`."""

    described: int
    waiting: int
    oldest: datetime | None
    last: datetime | None


async def want(
    conn: Connection, collection: int, control_numbers: Iterable[str], now: datetime
) -> None:
    """Put new titles onto the list, inside the transaction that stores their records."""
    keys = sorted(control_numbers)
    if keys:
        await conn.execute(WANT, collection, keys, now)


class Due(NamedTuple):
    """A title to be looked up; `is_known`: it was asked for alone before and had no answer."""

    control_number: str
    is_known: bool


async def due(
    conn: Connection,
    collection: int,
    now: datetime,
    *,
    run: int,
    in_vain: bool,
    after: str,
    limit: int,
) -> tuple[Due, ...]:
    """Return titles that are due and that `run` hasn't failed to look up, by control number.

    Of those behind `after` only; `in_vain`: those that were asked for before, or the others.
    """
    rows = await conn.fetch(DUE, collection, now, run, in_vain, after, limit)
    return tuple(Due(*row) for row in rows)


async def count_due(conn: Connection, collection: int, now: datetime) -> int:
    """Return how many titles are to be looked up now."""
    count: int = await conn.fetchval(COUNT_DUE, collection, now)
    return count


async def describe(
    conn: Connection, collection: int, told: Iterable[Description], now: datetime
) -> Described:
    """Take titles off the list, writing their description where it differs from what is kept."""
    each = sorted(told, key=lambda description: description.control_number)
    if not each:
        return Described(0, 0)
    rows = await conn.fetch(
        DESCRIBE,
        collection,
        [description.control_number for description in each],
        [description.document.decode() for description in each],
        [description.fingerprint for description in each],
        now,
    )
    return Described(sum(row["is_new"] for row in rows), sum(row["is_changed"] for row in rows))


async def postpone(conn: Connection, collection: int, absent: Sequence[str], now: datetime) -> None:
    """Keep titles on the list that the vendor left out: due in a day, then in 2, 4 ... 64 days."""
    if absent:
        await conn.execute(POSTPONE, collection, sorted(absent), ABSENT, now)


async def defer(conn: Connection, collection: int, title: str, why: str, now: datetime) -> None:
    """Keep a title on the list that the vendor has no answer for, though for others: due as above.

    Else it would be asked for first and in vain by every run.
    """
    await conn.execute(DEFER, collection, [title], why, now)


async def fail(
    conn: Connection, collection: int, titles: Sequence[str], why: str, *, run: int
) -> None:
    """Note why `run` could not look titles up; they stay due."""
    await conn.execute(FAIL, collection, sorted(titles), why, run)


async def refresh(conn: Connection, collection: int, now: datetime, *, most: int) -> None:
    """Put titles back onto the list: the undescribed ones, then those looked up longest ago."""
    await conn.execute(REFRESH, collection, now, most)


async def waiting(conn: Connection, collection: int) -> AsyncGenerator[Any, None]:
    """Yield the titles on the list with the reason, by control number, in constant memory."""
    last = ""
    while rows := await conn.fetch(WAITING, collection, last, BATCH):
        for row in rows:
            yield row
        last = rows[-1]["control_number"]


async def standings(conn: Connection) -> dict[int, Standing]:
    """Return how the titles of each collection stand."""
    return {
        row["collection"]: Standing(row["described"], row["waiting"], row["oldest"], row["last"])
        for row in await conn.fetch(STANDINGS)
    }
