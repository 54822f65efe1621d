"""Table titles: the list of titles whose description has to be looked up, or was."""

from collections.abc import Iterable
from datetime import datetime

from bibsync.store import Connection

WANT = """
insert into titles (collection, control_number, wanted_since)
select $1, control_number, $3 from unnest($2::text[]) as new (control_number)
order by control_number
on conflict (collection, control_number) do nothing
"""


async def want(
    conn: Connection, collection: int, control_numbers: Iterable[str], now: datetime
) -> None:
    """Put new titles onto the list, inside the transaction that stores their records."""
    keys = sorted(control_numbers)
    if keys:
        await conn.execute(WANT, collection, keys, now)
