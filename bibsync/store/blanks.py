"""Table blanks: stretches that the vendor answered without a body; they are asked for again.

Such a stretch counts as covered. It is due when an age of `reread`, counted from the first blank
answer, has passed without another asking; after the last age it is believed. Moments are told by
the earlier of our clock and the server's: ours may have been set forward for a while.
"""

from datetime import datetime, timedelta

from bibsync.store import Connection
from bibsync.window import Window

DUE = """
select start_at, end_at from blanks b
where collection = $1 and stream = $2 and exists (
    select from unnest($3::interval[]) as age
    where b.first_blank + age <= $4 and b.asked_at < b.first_blank + age
)
order by start_at
"""
CLEAR = """
with cleared as (
    delete from blanks
    where collection = $1 and stream = $2 and start_at < $4 and end_at > $3
    returning *
)
insert into blanks (collection, stream, start_at, end_at, first_blank, asked_at)
select c.collection, c.stream, lower(rest), upper(rest), c.first_blank, c.asked_at
from cleared c, unnest(
    tstzmultirange(tstzrange(c.start_at, c.end_at)) - tstzmultirange(tstzrange($3, $4))
) as rest
"""
ASKED = """
with touched as (
    delete from blanks
    where collection = $1 and stream = $2 and start_at < $4 and end_at > $3
    returning *
)
insert into blanks (collection, stream, start_at, end_at, first_blank, asked_at)
select collection, stream, greatest(start_at, $3), least(end_at, $4), first_blank, least($5, now())
from touched
union all
select t.collection, t.stream, lower(rest), upper(rest), t.first_blank, t.asked_at
from touched t, unnest(
    tstzmultirange(tstzrange(t.start_at, t.end_at)) - tstzmultirange(tstzrange($3, $4))
) as rest
"""
MARK = """
insert into blanks (collection, stream, start_at, end_at, first_blank, asked_at)
select $1, $2, lower(fresh), upper(fresh), least($5, now()), least($5, now())
from unnest(tstzmultirange(tstzrange($3, $4)) - coalesce(
    (select range_agg(tstzrange(start_at, end_at)) from blanks
     where collection = $1 and stream = $2),
    '{}'::tstzmultirange
)) as fresh
"""
BELIEVE = """
delete from blanks
where collection = $1 and stream = $2 and asked_at >= first_blank + $3::interval
"""


async def due(
    conn: Connection, key: tuple[int, str], reread: tuple[timedelta, ...], now: datetime
) -> tuple[Window, ...]:
    """Return the stretches that are to be asked for again, in order."""
    rows = await conn.fetch(DUE, *key, list(reread), now)
    return tuple(Window(row["start_at"], row["end_at"]) for row in rows)


async def clear(conn: Connection, key: tuple[int, str], window: Window) -> None:
    """Forget what lies in a window that a well-formed answer proved."""
    await conn.execute(CLEAR, *key, window.start, window.end)


async def mark(
    conn: Connection,
    key: tuple[int, str],
    window: Window,
    *,
    asked_at: datetime,
    reread: tuple[timedelta, ...],
) -> None:
    """Note a blank answer for `window`, asked for at `asked_at`."""
    await conn.execute(ASKED, *key, window.start, window.end, asked_at)
    await conn.execute(MARK, *key, window.start, window.end, asked_at)
    await conn.execute(BELIEVE, *key, max(reread, default=timedelta(0)))
