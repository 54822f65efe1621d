"""A trial: may this user write here? What is written is rolled back, whatever comes of it.

Like the migrations, a trial is a transaction of its own. It takes no lock that a run waits for:
no key is changed, and a table of this name is nobody else's.
"""

import asyncpg

from bibsync import store
from bibsync.store import Connection

MAKE = "create table bibsync_trial (nothing integer)"
CHANGE = "update collections set name = name"
REMOVE = "delete from records where false"

REFUSALS = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
)


async def write(conn: Connection, *, empty: bool) -> None:
    """Make a table where the database is `empty`, else change rows; then undo it.

    Raises:
        StoreUnavailable: the server refuses it, with the reason.
    """
    attempt = conn.transaction()
    await attempt.start()
    try:
        for statement in (MAKE,) if empty else (CHANGE, REMOVE):
            await conn.execute(statement)
    except REFUSALS as error:
        raise store.unavailable(error) from None
    finally:
        await attempt.rollback()
