"""Table fences: whose commits count.

The first statement of every page transaction is ADVANCE: it finds its row only while no later run
has raised the epoch, and it holds that row until the commit. `ver` counts commits, so that one
whose answer was lost can be told from one that never happened. What needs one statement only
(`windows.CHECKPOINT_ALONE`) carries ADVANCE in it.
"""

from typing import NamedTuple

from bibsync.store import Connection

RAISE = """
insert into fences as f (collection, stream, epoch, holder, ver) values ($1, $2, 1, $3, 0)
on conflict (collection, stream) do update
set epoch = f.epoch + 1, holder = excluded.holder, ver = f.ver + 1
returning epoch, ver
"""
ADVANCE = """
update fences set ver = ver + 1
from (select set_config('idle_in_transaction_session_timeout', $6, true)) as limited
where collection = $1 and stream = $2 and epoch = $3 and holder = $4 and ver = $5
returning ver
"""
READ = """
select epoch, holder, ver from fences where collection = $1 and stream = $2 for update
"""
LIMIT_WAIT = "select set_config('lock_timeout', $1, true)"
END_BLOCKERS = """
select a.pid, pg_terminate_backend(a.pid)
from pg_stat_activity a
where a.pid = any(pg_blocking_pids($1)) and a.application_name = 'bibsync'
  and a.usename = current_user and a.pid <> pg_backend_pid()
"""
BACKEND = "select pg_backend_pid()"


class Standing(NamedTuple):
    """What a statement that carries the fence must find, and makes one more of: `ver`."""

    epoch: int
    holder: str
    ver: int


async def raise_epoch(
    conn: Connection, key: tuple[int, str], holder: str, *, wait_ms: int
) -> tuple[int, int]:
    """Depose whoever ran before; return the new epoch and ver.

    Waits at most `wait_ms` for a transaction of the deposed run that is under way.
    """
    await conn.execute(LIMIT_WAIT, f"{wait_ms}ms")
    row = await conn.fetchrow(RAISE, *key, holder)
    return row["epoch"], row["ver"]


async def advance(
    conn: Connection, key: tuple[int, str], *, epoch: int, holder: str, ver: int, idle_ms: int
) -> bool:
    """Open the page transaction; False: deposed, or this very commit landed before.

    A client that stops inside the transaction for `idle_ms` loses its session.
    """
    return await conn.fetchval(ADVANCE, *key, epoch, holder, ver, f"{idle_ms}ms") is not None


async def landed(
    conn: Connection, key: tuple[int, str], *, epoch: int, holder: str, ver: int
) -> bool:
    """Tell whether the commit that was to make `ver` of this epoch and holder has happened.

    Waits for a session that is still at it: the row is read for update.
    """
    row = await conn.fetchrow(READ, *key)
    return row is not None and (row["epoch"], row["holder"], row["ver"]) == (epoch, holder, ver)


async def backend(conn: Connection) -> int:
    """Return the server process behind this connection."""
    pid: int = await conn.fetchval(BACKEND)
    return pid


async def end_blockers(conn: Connection, pid: int) -> list[int]:
    """End the sessions of stopped bibsync processes that keep backend `pid` waiting."""
    return [row["pid"] for row in await conn.fetch(END_BLOCKERS, pid)]
