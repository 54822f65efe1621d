"""Table titles: which titles are to be looked up, and what the vendor told of the others.

A title is on the list as long as `due_at` is set. A description takes it off; without one it stays,
with the reason, and is asked for again at growing intervals: nothing is given up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from bibsync.item import Description
from bibsync.store import Connection

WANT = """
insert into titles (collection, control_number, wanted_since, due_at)
select $1, control_number, $3, $3 from unnest($2::text[]) as new (control_number)
order by control_number
on conflict (collection, control_number) do nothing
"""
DUE = """
select control_number from titles
where collection = $1 and due_at <= $2 and control_number > $3
order by control_number limit $4
"""
COUNT_DUE = "select count(*) from titles where collection = $1 and due_at <= $2"
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
    set looked_up_at = $5, due_at = null, attempts = 0, problem = null,
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
set attempts = attempts + 1, problem = $3,
    due_at = $4::timestamptz + (least(2 ^ least(attempts, 10), 64) - 0.25) * interval '1 day'
where collection = $1 and control_number = any($2::text[])
"""
FAIL = """
update titles set attempts = attempts + 1, problem = $3
where collection = $1 and control_number = any($2::text[])
"""
STANDINGS = """
select collection, count(*) filter (where description is not null) as described,
       count(due_at) as waiting, min(wanted_since) filter (where due_at is not null) as oldest,
       max(looked_up_at) as last
from titles group by collection
"""

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


async def due(
    conn: Connection, collection: int, now: datetime, *, after: str, limit: int
) -> tuple[str, ...]:
    """Return titles to be looked up now, by control number, those behind `after` only."""
    rows = await conn.fetch(DUE, collection, now, after, limit)
    return tuple(row["control_number"] for row in rows)


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


async def fail(conn: Connection, collection: int, titles: Sequence[str], why: str) -> None:
    """Note why titles could not be looked up; they stay due."""
    await conn.execute(FAIL, collection, sorted(titles), why)


async def standings(conn: Connection) -> dict[int, Standing]:
    """Return how the titles of each collection stand."""
    return {
        row["collection"]: Standing(row["described"], row["waiting"], row["oldest"], row["last"])
        for row in await conn.fetch(STANDINGS)
    }
