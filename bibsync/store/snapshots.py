"""Table snapshots: what each UTC day of a collection came to.

`records` is how many were stored when the day ended, withdrawn ones among them; all else happened
on that day: records stored for the first time, changed, withdrawn; records set aside for the first
time; and what the runs that ended on it asked. Records and rejects are counted from their own rows,
not from what runs counted, so that what a killed run stored isn't missing.

What comes from runs, versions and rejects is null where these may have been cleaned up when the day
was taken. A figure once known is never replaced by null.
"""

from collections.abc import AsyncGenerator
from datetime import date
from typing import Any

from bibsync.store import Connection

FIGURES = (
    "records", "new", "changed", "withdrawn", "rejects", "requests", "runs", "failed_runs",
)  # fmt: skip
BATCH = 500
FIRST = (date.min, "")
"""Before every day of every collection."""
TAKING_S = 3600.0

TAKE = """
with days as (
    select c.collection, c.kept_since, d.day::date as day, d.day at time zone 'UTC' as begins
    from collections c
    cross join generate_series(
        $1::date::timestamp, $2::date::timestamp - interval '1 day', interval '1 day'
    ) as d (day)
    where (c.created_at at time zone 'UTC')::date <= d.day::date
),
span as (
    select $1::date::timestamp at time zone 'UTC' as since,
           $2::date::timestamp at time zone 'UTC' as until
),
stored as (
    select collection, greatest((first_seen at time zone 'UTC')::date, $1::date - 1) as day,
           count(*) as new
    from records, span where first_seen < until group by 1, 2
),
counted as (
    select collection, day, d.begins, coalesce(s.new, 0) as new,
           sum(coalesce(s.new, 0)) over (partition by collection order by day) as records,
           d.kept_since is null or d.kept_since <= d.begins as is_known
    from days d full join stored s using (collection, day)
),
withdrawn as (
    select collection, (withdrawn_at at time zone 'UTC')::date as day, count(*) as withdrawn
    from records, span where withdrawn_at >= since and withdrawn_at < until group by 1, 2
),
changed as (
    select collection, (replaced_at at time zone 'UTC')::date as day, count(*) as changed
    from record_versions, span where replaced_at >= since and replaced_at < until group by 1, 2
),
set_aside as (
    select collection, (first_seen at time zone 'UTC')::date as day, count(*) as rejects
    from rejects, span where first_seen >= since and first_seen < until group by 1, 2
),
ran as (
    select collection, (finished at time zone 'UTC')::date as day, sum(requests) as requests,
           count(*) as runs, count(*) filter (where outcome in ('failed', 'partial')) as failed_runs
    from runs, span where finished >= since and finished < until group by 1, 2
),
taken as (
    insert into snapshots as s (
        collection, day, records, new, withdrawn, changed, rejects, requests, runs, failed_runs,
        taken_at
    )
    select collection, day, n.records, n.new, coalesce(w.withdrawn, 0),
           case when is_known then coalesce(c.changed, 0) end,
           case when is_known then coalesce(a.rejects, 0) end,
           case when is_known then coalesce(r.requests, 0) end,
           case when is_known then coalesce(r.runs, 0) end,
           case when is_known then coalesce(r.failed_runs, 0) end, clock_timestamp()
    from counted n
    left join withdrawn w using (collection, day)
    left join changed c using (collection, day)
    left join set_aside a using (collection, day)
    left join ran r using (collection, day)
    where n.begins is not null
    order by collection, day
    on conflict (collection, day) do update
    set records = excluded.records, new = excluded.new, withdrawn = excluded.withdrawn,
        changed = coalesce(excluded.changed, s.changed),
        rejects = coalesce(excluded.rejects, s.rejects),
        requests = coalesce(excluded.requests, s.requests),
        runs = coalesce(excluded.runs, s.runs),
        failed_runs = coalesce(excluded.failed_runs, s.failed_runs), taken_at = excluded.taken_at
    where $3
    returning s.collection, s.day, s.runs is null as is_incomplete
)
select c.name, c.kept_since, count(*) as days, count(t.day) as taken,
       count(*) filter (where t.is_incomplete) as incomplete
from days d
join collections c using (collection)
left join taken t using (collection, day)
group by c.collection, c.name, c.kept_since
order by c.name
"""
LISTED = """
select s.*, c.name
from snapshots s join collections c using (collection)
where ($1::date is null or s.day >= $1) and ($2::date is null or s.day < $2)
  and ($3::int is null or s.collection = $3) and (s.day, c.name) > ($4::date, $5::text)
order by s.day, c.name
limit $6
"""
RANGED = """
with figures as (
    select s.day, c.name, f.figure, f.value
    from snapshots s
    join collections c using (collection)
    cross join lateral (
        values ('records', s.records), ('new', s.new), ('changed', s.changed),
               ('withdrawn', s.withdrawn), ('rejects', s.rejects), ('requests', s.requests),
               ('runs', s.runs), ('failed_runs', s.failed_runs)
    ) as f (figure, value)
    where ($1::date is null or s.day >= $1) and ($2::date is null or s.day < $2)
),
daily as (
    select name, figure, value from figures
    union all
    select null, figure, case when count(value) = count(*) then sum(value) end
    from figures group by day, figure
)
select name, figure, count(value) as days, min(value)::bigint as min, max(value)::bigint as max,
       round(avg(value), 3)::float8 as mean,
       percentile_cont(0.5) within group (order by value) as median, sum(value)::bigint as total
from daily
group by name, figure
order by name nulls last, figure
"""


async def take(conn: Connection, since: date, until: date, *, again: bool) -> list[Any]:
    """Take every day from `since` on and before `until` of every collection that there was.

    `again` replaces days that were taken before; without it they stay. Returns for each collection
    how many `days` that makes, how many were `taken`, and how many of those are `incomplete`
    because they are older than `kept_since`. The days must have ended.
    """
    rows: list[Any] = await conn.fetch(TAKE, since, until, again, timeout=TAKING_S)
    return rows


async def each(
    conn: Connection, since: date | None, until: date | None, collection: int | None = None
) -> AsyncGenerator[Any, None]:
    """Yield the days from `since` on and before `until`, by day and name; None leaves it open."""
    last = FIRST
    while rows := await listed(conn, since, until, collection, after=last, limit=BATCH):
        for row in rows:
            yield row
        last = (rows[-1]["day"], rows[-1]["name"])


async def listed(
    conn: Connection,
    since: date | None,
    until: date | None,
    collection: int | None = None,
    *,
    after: tuple[date, str],
    limit: int,
) -> list[Any]:
    """Return the next days and collections behind `after`, in the order of `each`."""
    rows: list[Any] = await conn.fetch(LISTED, since, until, collection, *after, limit)
    return rows


async def ranged(conn: Connection, since: date | None, until: date | None) -> list[Any]:
    """Return each figure's least, greatest, mean, median and sum over the days from `since` on.

    A row each for a collection and a figure, and of all collections together, without a name: those
    are of the sums of each day, and pass over a day of which one collection's figure isn't known.
    """
    rows: list[Any] = await conn.fetch(RANGED, since, until, timeout=TAKING_S)
    return rows


def document(row: Any) -> dict[str, Any]:
    """Return what `snapshots list --json` says of a day."""
    return {
        "day": row["day"].isoformat(),
        "collection": row["name"],
        **{figure: row[figure] for figure in FIGURES},
    }
