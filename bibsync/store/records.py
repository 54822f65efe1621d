"""Tables records, record_states and record_versions: what the vendor's records say now and said.

The look-up comes first and most records end there: equal bytes need no parse and write nothing.
What differs is written by one statement a page, sorted by control number; the predecessor of a
changed record is kept with the run that replaced it. Two answers are ordered by when they were
asked for, `Asked`, never by a clock.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from bibsync.record import Record
from bibsync.store import Connection

TOUCH_AFTER = timedelta(days=1)
"""`last_seen` of an unchanged record is written at most this often."""
BATCH = 200

UNLIKE = """
select asked.place, s.raw_hash is not distinct from asked.raw_hash as is_stale
from (
    select control_number, place, substring($3::bytea from place::int * 32 - 31 for 32) as raw_hash
    from unnest(string_to_array($2, chr(31))) with ordinality as a (control_number, place)
) as asked
left join record_states s on s.collection = $1 and s.control_number = asked.control_number
where s.raw_hash is distinct from asked.raw_hash or s.last_seen <= $4
"""
LOOK_UP = """
select control_number, raw_hash, last_seen from record_states
where collection = $1 and control_number = any($2::text[])
"""
STORE = """
with page as (
    select * from unnest(
        $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[]
    ) as p (
        control_number, raw_hash, fingerprint, title, author, isbns, publisher, published,
        language, subjects, format, cover_url, material_type, repairs, marc
    )
),
judged as (
    select p.*, s.control_number is null as is_new,
           s.control_number is not null and s.fingerprint <> p.fingerprint as is_changed
    from page p
    left join record_states s on s.collection = $1 and s.control_number = p.control_number
    where s.control_number is null or (s.asked_epoch, s.asked_serial) <= ($17::bigint, $18::bigint)
),
kept as (
    insert into record_versions (
        collection, control_number, version, fingerprint, marc, valid_from, replaced_at, replaced_by
    )
    select $1, r.control_number, r.version, s.fingerprint, r.marc, r.last_changed, $19, $20
    from judged j
    join records r on r.collection = $1 and r.control_number = j.control_number
    join record_states s on s.collection = $1 and s.control_number = j.control_number
    where j.is_changed
),
stated as (
    insert into record_states as s (
        collection, control_number, raw_hash, fingerprint, asked_epoch, asked_serial, last_seen
    )
    select $1, control_number, raw_hash, fingerprint, $17, $18, $19
    from judged order by control_number
    on conflict (collection, control_number) do update
    set raw_hash = excluded.raw_hash, fingerprint = excluded.fingerprint,
        asked_epoch = excluded.asked_epoch, asked_serial = excluded.asked_serial,
        last_seen = excluded.last_seen
),
written as (
    insert into records as r (
        collection, control_number, version, title, author, isbns, publisher, published, language,
        subjects, format, cover_url, material_type, repairs, marc, first_seen, last_changed
    )
    select $1, control_number, 1, title, author, string_to_array(isbns, chr(31)), publisher,
           published, language, string_to_array(subjects, chr(31)), format, cover_url,
           material_type, string_to_array(repairs, chr(31)), marc::json, $19, $19
    from judged where is_new or is_changed order by control_number
    on conflict (collection, control_number) do update
    set version = r.version + 1, title = excluded.title, author = excluded.author,
        isbns = excluded.isbns, publisher = excluded.publisher, published = excluded.published,
        language = excluded.language, subjects = excluded.subjects, format = excluded.format,
        cover_url = excluded.cover_url, material_type = excluded.material_type,
        repairs = excluded.repairs, marc = excluded.marc, last_changed = excluded.last_changed
)
select control_number, is_new, is_changed from judged
"""
TOUCH = """
update record_states set last_seen = $3
where collection = $1 and control_number = any($2::text[]) and last_seen < $3
"""
COUNT = """
select collection, count(*) as records, count(withdrawn_at) as withdrawn
from records group by collection
"""
COUNT_FORMATS = """
select collection, format, count(*) as records, count(withdrawn_at) as withdrawn
from records group by collection, format order by collection, format
"""
WITHDRAWN_BY_DAY = """
select (withdrawn_at at time zone 'UTC')::date as day, count(*) as withdrawn
from records where withdrawn_at >= $1 group by 1
"""
ONE = """
select c.name as collection_name, r.*, s.fingerprint, s.last_seen, t.description,
       t.looked_up_at, t.wanted_since, t.due_at, t.problem
from records r
join collections c on c.collection = r.collection
join record_states s
  on s.collection = r.collection and s.control_number = r.control_number
left join titles t on t.collection = r.collection and t.control_number = r.control_number
where r.collection = $1 and r.control_number = $2
"""
AFTER = """
select c.name as collection_name, r.*, s.fingerprint, s.last_seen, t.description
from records r
join collections c on c.collection = r.collection
join record_states s
  on s.collection = r.collection and s.control_number = r.control_number
left join titles t on t.collection = r.collection and t.control_number = r.control_number
where r.collection = $1 and r.control_number > $2
  and (r.last_changed >= $3 or t.described_at >= $3)
order by r.control_number
limit $4
"""
FINGERPRINTS = """
select control_number, encode(fingerprint, 'hex') as fingerprint
from record_states where collection = $1
"""
COUNTING_S = 600.0
LIMIT_WAIT = "set local lock_timeout = '1s'"
ANALYZE = "analyze records, record_states"


class Asked(NamedTuple):
    """When an answer was asked for: the run's epoch and the request's number within the run."""

    epoch: int
    serial: int


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a stored record without reading it."""

    raw_hash: bytes
    last_seen: datetime

    def is_stale(self, now: datetime) -> bool:
        """Tell whether `last_seen` is old enough to be written anew."""
        return now - self.last_seen >= TOUCH_AFTER


@dataclass(frozen=True, slots=True)
class Stored:
    """What one page changed: control numbers of new and of changed records."""

    new: tuple[str, ...]
    changed: tuple[str, ...]


async def unlike(
    conn: Connection, collection: int, answered: Sequence[tuple[str, bytes]], now: datetime
) -> dict[int, bool]:
    """Compare control numbers and raw hashes with what is stored; whatever is equal stays unsaid.

    Returns the places in `answered`, from 0, of those that are new or have other bytes: False; and
    of those that are equal, but whose `last_seen` is old enough to be written anew: True. The
    comparison is PostgreSQL's, so that a page without news, which is nearly every page, costs the
    client next to nothing; one text and one run of hashes cost it a third of two arrays.
    """
    rows = await conn.fetch(
        UNLIKE,
        collection,
        "\x1f".join([control_number for control_number, _ in answered]),
        b"".join([raw_hash for _, raw_hash in answered]),
        now - TOUCH_AFTER,
    )
    return {row["place"] - 1: row["is_stale"] for row in rows}


async def look_up(conn: Connection, collection: int, keys: Iterable[str]) -> dict[str, State]:
    """Return the states of those of `keys` that are stored."""
    rows = await conn.fetch(LOOK_UP, collection, sorted(set(keys)))
    return {row["control_number"]: State(row["raw_hash"], row["last_seen"]) for row in rows}


async def store(
    conn: Connection,
    collection: int,
    records: Iterable[Record],
    *,
    asked: Asked,
    run: int,
    now: datetime,
) -> Stored:
    """Store the records of a page, which are distinct, unless a later-asked answer did before."""
    page = sorted(records, key=lambda record: record.control_number)
    if not page:
        return Stored((), ())
    rows = await conn.fetch(STORE, collection, *_columns(page), *asked, now, run)
    return Stored(
        tuple(row["control_number"] for row in rows if row["is_new"]),
        tuple(row["control_number"] for row in rows if row["is_changed"]),
    )


async def touch(conn: Connection, collection: int, keys: Sequence[str], now: datetime) -> None:
    """Note that unchanged records were met again."""
    if keys:
        await conn.execute(TOUCH, collection, sorted(set(keys)), now)


async def analyze(conn: Connection) -> None:
    """Refresh the planner's figures: a look-up planned on an empty table stays a full scan.

    Where another session keeps the tables for longer than a second, it is left out.
    """
    await conn.execute(LIMIT_WAIT)
    await conn.execute(ANALYZE)


async def counts(conn: Connection) -> dict[int, tuple[int, int]]:
    """Return how many records each collection has, and how many of them are withdrawn."""
    rows = await conn.fetch(COUNT)
    return {row["collection"]: (row["records"], row["withdrawn"]) for row in rows}


async def counts_by_format(conn: Connection) -> list[Any]:
    """Return collection, format, and how many records, how many of them withdrawn."""
    rows: list[Any] = await conn.fetch(COUNT_FORMATS, timeout=COUNTING_S)
    return rows


async def withdrawn_by_day(conn: Connection, since: datetime) -> dict[date, int]:
    """Return how many records were withdrawn on each UTC day that has some."""
    rows = await conn.fetch(WITHDRAWN_BY_DAY, since, timeout=COUNTING_S)
    return {row["day"]: row["withdrawn"] for row in rows}


async def fingerprints(conn: Connection, collection: int) -> dict[str, str]:
    """Return the fingerprint of every record in hex, to compare with a ledger of the truth."""
    rows = await conn.fetch(FINGERPRINTS, collection)
    return {row["control_number"]: row["fingerprint"] for row in rows}


async def one(conn: Connection, collection: int, control_number: str) -> Any | None:
    """Return a record's row with its state, None where there is none."""
    return await conn.fetchrow(ONE, collection, control_number)


async def each(conn: Connection, collection: int, since: datetime) -> AsyncGenerator[Any, None]:
    """Yield the rows that were changed or described at or after `since`, by control number.

    A record that changes meanwhile is seen before or after its change, never twice.
    """
    last = ""
    while rows := await conn.fetch(AFTER, collection, last, since, BATCH):
        for row in rows:
            yield row
        last = rows[-1]["control_number"]


def _columns(page: list[Record]) -> list[list[Any]]:
    joined = "\x1f".join
    return [
        [record.control_number for record in page],
        [record.raw_hash for record in page],
        [record.fingerprint for record in page],
        [record.title for record in page],
        [record.author for record in page],
        [joined(record.isbns) for record in page],
        [record.publisher for record in page],
        [record.published for record in page],
        [record.language for record in page],
        [joined(record.subjects) for record in page],
        [record.format for record in page],
        [record.cover_url for record in page],
        [record.material_type for record in page],
        [joined(record.repairs) for record in page],
        [record.marc.decode() for record in page],
    ]
