"""Table record_versions: what records said before, each version with the run that replaced it.

`store.records` writes it, together with the change. Here a record's current version and its former
ones are read as one sequence: the current one has neither `replaced_at` nor `replaced_by`.
"""

from collections.abc import AsyncGenerator
from typing import Any

from bibsync.store import Connection

BATCH = 20

BEFORE = """
select c.name as collection_name, v.*
from (
    select r.collection, r.control_number, r.version, s.fingerprint, r.marc,
           r.last_changed as valid_from, null::timestamptz as replaced_at,
           null::bigint as replaced_by, r.withdrawn_at
    from records r
    join record_states s
      on s.collection = r.collection and s.control_number = r.control_number
    where r.collection = $1 and r.control_number = $2
    union all
    select collection, control_number, version, fingerprint, marc, valid_from, replaced_at,
           replaced_by, null
    from record_versions
    where collection = $1 and control_number = $2
) v
join collections c on c.collection = v.collection
where $3::bigint is null or v.version < $3
order by v.version desc
limit $4
"""

COUNT = "select collection, count(*) as versions from record_versions group by collection"
COUNTING_S = 600.0


async def each(conn: Connection, collection: int, control_number: str) -> AsyncGenerator[Any, None]:
    """Yield every version of a record, the newest first, in constant memory."""
    last = None
    while rows := await conn.fetch(BEFORE, collection, control_number, last, BATCH):
        for row in rows:
            yield row
        last = rows[-1]["version"]


async def one(conn: Connection, collection: int, control_number: str, version: int) -> Any | None:
    """Return that version of a record, None where there is none."""
    row = await before(conn, collection, control_number, version + 1)
    return row if row and row["version"] == version else None


async def before(
    conn: Connection, collection: int, control_number: str, version: int | None = None
) -> Any | None:
    """Return the newest version that is older than `version`, or of all; None if there is none."""
    return await conn.fetchrow(BEFORE, collection, control_number, version, 1)


async def counts(conn: Connection) -> dict[int, int]:
    """Return how many former versions are kept of each collection's records."""
    rows = await conn.fetch(COUNT, timeout=COUNTING_S)
    return {row["collection"]: row["versions"] for row in rows}
