"""Table days: when each UTC day was last read from end to end, so that it is read again in time."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from bibsync.daybook import DayRead
from bibsync.store import Connection
from bibsync.window import Window, day

DUE = """
select d.day
from (
    select generate_series($3::timestamptz, $4::timestamptz, interval '24 hours') as day
) as d
left join days r
  on r.collection = $1 and r.stream = $2 and r.day = (d.day at time zone 'UTC')::date
join lanes l on l.collection = $1 and l.stream = $2 and l.lane = 0
where case
    when d.day + interval '24 hours' <= l.from_at then false
    else tstzrange(greatest(d.day, l.from_at), d.day + interval '24 hours') <@ l.covered
  end
  and exists (
    select from unnest($5::interval[]) as age
    where d.day + interval '24 hours' + age <= $6
      and (r.read_at is null or r.read_at < d.day + interval '24 hours' + age)
)
order by d.day
"""
NOTE = """
insert into days as d (collection, stream, day, read_at, count, digest)
select $1, $2, (noted.day at time zone 'UTC')::date, least(noted.read_at, now()),
       noted.count, noted.digest
from unnest($3::timestamptz[], $4::timestamptz[], $5::int[], $6::bytea[])
    as noted (day, read_at, count, digest)
on conflict (collection, stream, day) do update
set read_at = excluded.read_at, count = excluded.count, digest = excluded.digest
where d.read_at <= excluded.read_at
"""
"""No day is noted as read in the server's future: had our clock been set forward for a while, the
day would not be read again before that moment."""


async def due(
    conn: Connection,
    key: tuple[int, str],
    reread: tuple[timedelta, ...],
    *,
    start: datetime,
    now: datetime,
) -> tuple[Window, ...]:
    """Return the covered days from midnight `start` on that some age asks to read again."""
    if not reread:
        return ()
    rows = await conn.fetch(DUE, *key, start, now - min(reread), list(reread), now)
    return tuple(day(row["day"]) for row in rows)


async def note(conn: Connection, key: tuple[int, str], read: Iterable[DayRead]) -> None:
    """Note days that were read from end to end, inside the transaction of their last page."""
    days = sorted(read, key=lambda each: each.midnight)
    if days:
        await conn.execute(
            NOTE,
            *key,
            [each.midnight for each in days],
            [each.read_at for each in days],
            [each.count for each in days],
            [each.digest for each in days],
        )
