"""Table rejects: records that could not be stored, with their raw bytes, place and reason.

Met again with the same bytes and reason, a reject is the same one: it is counted as met again, not
reported as new. marc.identity says which bytes don't count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.reject import Reason, Reject
from bibsync.run import utc_text
from bibsync.store import Connection
from bibsync.window import Window

STORE = """
insert into rejects as r (
    collection, stream, run, window_start, window_end, position, reason, identity, message, raw,
    first_seen, last_seen
)
select $1, $2, $3, $4, $5, p.position, p.reason, p.identity, p.message, p.raw, $6, $6
from unnest($7::int[], $8::text[], $9::bytea[], $10::text[], $11::bytea[])
    as p (position, reason, identity, message, raw)
order by p.reason, p.identity
on conflict (collection, reason, identity) do update
set last_seen = excluded.last_seen, attempts = r.attempts + 1
returning reject, reason, message, position, xmax = 0 as is_new
"""
LIST = """
select r.reject as id, c.name as collection, r.run, r.window_start, r.window_end, r.position,
       r.reason, r.message, r.first_seen, r.last_seen, r.attempts, r.state
from rejects r join collections c on c.collection = r.collection
where ($1::int is null or r.collection = $1) and ($2::text is null or r.reason = $2)
  and ($3::text is null or r.state = $3) and r.reject > $4
order by r.reject
limit $5
"""
ONE = """
select r.reject as id, c.name as collection, r.run, r.window_start, r.window_end, r.position,
       r.reason, r.message, r.first_seen, r.last_seen, r.attempts, r.state, r.raw
from rejects r join collections c on c.collection = r.collection
where r.reject = $1
"""
COUNT_OPEN = """
select collection, count(*) as open from rejects where state = 'open' group by collection
"""
COUNT_OPEN_BY_REASON = """
select c.name as collection, r.reason, count(*) as open
from rejects r join collections c on c.collection = r.collection
where r.state = 'open'
group by c.name, r.reason
"""
AMONG = """
select r.reject as id, c.name as collection, r.state
from rejects r join collections c on c.collection = r.collection
where r.reject = any($1::bigint[])
"""
CHOSEN_BY_COLLECTION = """
select c.collection, c.name
from collections c
where ($1::int is null or c.collection = $1) and exists (
    select from rejects r
    where r.collection = c.collection and ($2::text is null or r.reason = $2)
      and (r.state = 'open' and $3::bigint[] is null
           or r.state <> 'resolved' and r.reject = any($3))
)
order by c.name
"""
CHOSEN = """
select reject from rejects
where collection = $1 and ($2::text is null or reason = $2)
  and (state = 'open' and $3::bigint[] is null or state <> 'resolved' and reject = any($3))
  and reject < $4
order by reject desc
limit $5
"""
MET_AFTER = """
select c.name, r.reason, count(*) as count, max(r.reject) as newest
from rejects r
join collections c on c.collection = r.collection
left join unnest($1::text[], $2::bigint[]) as known (name, newest) on known.name = c.name
where r.state = 'open' and r.reject > $3 and r.reject > coalesce(known.newest, $3)
group by c.name, r.reason
order by c.name, r.reason
"""
NEWEST = "select coalesce(max(reject), 0) from rejects"
RAW = "select raw from rejects where collection = $1 and reject = $2"
RESOLVE = """
update rejects set state = 'resolved', settled_at = clock_timestamp()
where collection = $1 and reject = any($2::bigint[])
"""
MEET_AGAIN = """
update rejects r
set attempts = r.attempts + 1, last_seen = greatest(r.last_seen, $2), message = now.message,
    reason = case when exists (
        select from rejects other
        where other.collection = r.collection and other.identity = r.identity
          and other.reject <> r.reject
    ) then r.reason else now.reason end
from unnest($3::bigint[], $4::text[], $5::text[]) as now (reject, reason, message)
where r.collection = $1 and r.reject = now.reject
"""
DISMISS = """
with chosen as (
    select reject from rejects
    where state = 'open' and ($1::int is null or collection = $1)
      and ($2::text is null or reason = $2) and ($3::bigint[] is null or reject = any($3))
    order by collection, reason, identity
    for update
)
update rejects set state = 'dismissed', settled_at = clock_timestamp()
where reject in (select reject from chosen)
returning reject
"""
FIRST_MET_BY = "select reject from rejects where collection = $1 and run = $2 order by reject"
LAST = 2**63 - 1
"""The largest number that PostgreSQL can give to a reject."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rejects are meant: the open ones of a collection, for a reason; None: of any.

    `numbers` names them one by one instead, dismissed ones too.
    """

    collection: int | None = None
    reason: str | None = None
    numbers: tuple[int, ...] | None = None


async def store(
    conn: Connection,
    key: tuple[int, str],
    rejects: Iterable[Reject],
    *,
    run: int,
    window: Window,
    now: datetime,
) -> list[Any]:
    """Keep the rejects of a page; return the rows of those that weren't known before."""
    page = {(each.reason, each.identity): each for each in rejects}.values()
    if not page:
        return []
    rows = await conn.fetch(
        STORE,
        *key,
        run,
        window.start,
        window.end,
        now,
        [each.position for each in page],
        [each.reason.value for each in page],
        [each.identity for each in page],
        [each.message for each in page],
        [each.raw for each in page],
    )
    return [row for row in rows if row["is_new"]]


async def listed(
    conn: Connection,
    *,
    collection: int | None = None,
    reason: str | None = None,
    state: str | None = "open",
    after: int = 0,
    limit: int = 200,
) -> list[Any]:
    """Return rejects by number, without their bytes; None matches everything."""
    rows: list[Any] = await conn.fetch(LIST, collection, reason, state, after, limit)
    return rows


async def one(conn: Connection, number: int) -> Any | None:
    """Return a reject with its raw bytes, None where there is none."""
    return await conn.fetchrow(ONE, number)


async def count_open(conn: Connection) -> dict[int, int]:
    """Return how many rejects of each collection wait for a person."""
    return {row["collection"]: row["open"] for row in await conn.fetch(COUNT_OPEN)}


async def count_open_by_reason(conn: Connection) -> dict[tuple[str, str], int]:
    """Return how many rejects wait for a person, by the collection's name and the reason."""
    rows = await conn.fetch(COUNT_OPEN_BY_REASON)
    return {(row["collection"], row["reason"]): row["open"] for row in rows}


async def met_after(
    conn: Connection, known: Mapping[str, int], *, at_least: int
) -> dict[str, tuple[dict[str, int], int]]:
    """Return how many open rejects of each reason a collection has, and the newest one's number.

    Those up to the number that is `known` of the collection are left out, and up to `at_least` all.
    """
    rows = await conn.fetch(MET_AFTER, [*known], [*known.values()], at_least)
    found: dict[str, tuple[dict[str, int], int]] = {}
    for name, reason, count, newest in rows:
        reasons, before = found.get(name, ({}, 0))
        found[name] = ({**reasons, reason: count}, max(before, newest))
    return found


async def newest(conn: Connection) -> int:
    """Return the number of the newest reject of any collection, 0 where there is none."""
    number: int = await conn.fetchval(NEWEST)
    return number


async def among(conn: Connection, numbers: Iterable[int]) -> list[Any]:
    """Return id, collection and state of those of `numbers` that there are."""
    possible = sorted({number for number in numbers if 0 < number <= LAST})
    rows: list[Any] = await conn.fetch(AMONG, possible)
    return rows


async def chosen_by_collection(conn: Connection, choice: Choice) -> dict[int, str]:
    """Return number and name of the collections that the chosen rejects are of, by name."""
    rows = await conn.fetch(CHOSEN_BY_COLLECTION, choice.collection, choice.reason, choice.numbers)
    return {row["collection"]: row["name"] for row in rows}


async def chosen(
    conn: Connection, collection: int, choice: Choice, *, before: int = LAST, limit: int
) -> list[int]:
    """Return the numbers of the chosen rejects of a collection below `before`, newest first."""
    rows = await conn.fetch(CHOSEN, collection, choice.reason, choice.numbers, before, limit)
    return [row["reject"] for row in rows]


async def raw(conn: Connection, collection: int, number: int) -> bytes:
    """Return the bytes of a reject of that collection."""
    kept: bytes = await conn.fetchval(RAW, collection, number)
    return kept


async def resolve(conn: Connection, collection: int, numbers: Sequence[int]) -> None:
    """Note that the records of these rejects are stored now."""
    if numbers:
        await conn.execute(RESOLVE, collection, numbers)


async def meet_again(
    conn: Connection,
    collection: int,
    told: Sequence[tuple[int, Reason, str]],
    now: datetime,
) -> None:
    """Note why these rejects still can't be stored; their state stays.

    A reject takes today's reason as well, unless the same bytes are a reject of another reason too.
    """
    if told:
        numbers, reasons, messages = (list(column) for column in zip(*told, strict=True))
        await conn.execute(MEET_AGAIN, collection, now, numbers, reasons, messages)


async def dismiss(conn: Connection, choice: Choice) -> int:
    """Dismiss the open ones among the chosen rejects; return how many those were.

    They are locked in the order in which a page's rejects are written.
    """
    numbers = choice.numbers
    return len(await conn.fetch(DISMISS, choice.collection, choice.reason, numbers))


async def first_met_by(conn: Connection, collection: int, run: int) -> list[int]:
    """Return the numbers of the rejects that a run met first."""
    return [row["reject"] for row in await conn.fetch(FIRST_MET_BY, collection, run)]


def document(row: Any) -> dict[str, Any]:
    """Return what `rejects list --json` says of a reject."""
    return {
        "id": row["id"],
        "collection": row["collection"],
        "run": row["run"],
        "window_start": utc_text(row["window_start"]),
        "window_end": utc_text(row["window_end"]),
        "position": row["position"],
        "reason": row["reason"],
        "message": row["message"],
        "first_seen": utc_text(row["first_seen"]),
        "last_seen": utc_text(row["last_seen"]),
        "attempts": row["attempts"],
        "state": row["state"],
    }
