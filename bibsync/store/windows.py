"""Table open_windows: windows that were begun, the checkpoint after every page.

A window that failed after its retries keeps its row, with `failed_at`, until it is covered.
"""

from collections.abc import Iterable
from datetime import datetime

from bibsync.choice import Kind, OpenWindow, Piece
from bibsync.store import Connection
from bibsync.store.fences import Standing
from bibsync.window import Window

BEGUN = """
select lane, kind, start_at, end_at, received, last_key, last_pos, began, failed_at
from open_windows where collection = $1 and stream = $2 order by start_at, lane
"""
CHECKPOINT = """
insert into open_windows (
    collection, stream, lane, start_at, end_at, kind, received, last_key, last_pos, began
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (collection, stream, lane, start_at, end_at) do update
set kind = excluded.kind, received = excluded.received, last_key = excluded.last_key,
    last_pos = excluded.last_pos, began = excluded.began, failed_at = null, problem = null
returning (
    select enabled and (paused_at is null or coalesce(paused_until, 'infinity') <= now())
    from collections where collection = $1
)
"""
CHECKPOINT_ALONE = """
with fence as (
    update fences set ver = ver + 1
    where collection = $1 and stream = $2 and epoch = $11 and holder = $12 and ver = $13
    returning ver
)
insert into open_windows (
    collection, stream, lane, start_at, end_at, kind, received, last_key, last_pos, began
)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 from fence
on conflict (collection, stream, lane, start_at, end_at) do update
set kind = excluded.kind, received = excluded.received, last_key = excluded.last_key,
    last_pos = excluded.last_pos, began = excluded.began, failed_at = null, problem = null
returning (
    select enabled and (paused_at is null or coalesce(paused_until, 'infinity') <= now())
    from collections where collection = $1
)
"""
"""CHECKPOINT that carries the fence: nothing is inserted where that isn't found."""
FAIL = """
insert into open_windows (
    collection, stream, lane, start_at, end_at, kind, received, last_pos, began, failed_at, problem
)
values ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8, $9)
on conflict (collection, stream, lane, start_at, end_at) do update
set failed_at = excluded.failed_at, problem = excluded.problem
"""
DROP = """
delete from open_windows
where collection = $1 and stream = $2 and lane = $3 and start_at = $4 and end_at <= $5
"""
DROP_SHORTER = """
delete from open_windows
where collection = $1 and stream = $2 and lane = $3 and start_at = $4 and end_at < $5
"""
DROP_EACH = """
delete from open_windows w using unnest($3::int[], $4::timestamptz[], $5::timestamptz[])
    as gone (lane, start_at, end_at)
where w.collection = $1 and w.stream = $2
  and (w.lane, w.start_at, w.end_at) = (gone.lane, gone.start_at, gone.end_at)
"""
FORGET_FAILED = """
delete from open_windows w using lanes l
where w.collection = $1 and w.stream = $2 and w.failed_at is not null
  and (l.collection, l.stream, l.lane) = (w.collection, w.stream, w.lane)
  and tstzrange(w.start_at, w.end_at) <@ l.covered
"""


async def begun(conn: Connection, key: tuple[int, str]) -> tuple[OpenWindow, ...]:
    """Return every window that was begun and isn't finished, failed ones too."""
    return tuple(
        OpenWindow(
            row["lane"],
            Kind(row["kind"]),
            Window(row["start_at"], row["end_at"]),
            row["received"],
            row["last_key"],
            row["last_pos"],
            row["began"],
            row["failed_at"],
        )
        for row in await conn.fetch(BEGUN, *key)
    )


async def checkpoint(
    conn: Connection,
    key: tuple[int, str],
    piece: Piece,
    mark: tuple[int, str | None, int],
    *,
    began: datetime,
) -> bool:
    """Note how far the window is read, inside the transaction that stores the page.

    `mark` is what was received, the last key and its position, counted from 1. Tells whether the
    collection is still to be synced.
    """
    return bool(await conn.fetchval(CHECKPOINT, *key, *_place(piece), *mark, began))


async def checkpoint_alone(
    conn: Connection,
    key: tuple[int, str],
    piece: Piece,
    mark: tuple[int, str | None, int],
    *,
    began: datetime,
    standing: Standing,
) -> bool | None:
    """Do what `checkpoint` does, as a transaction of its own; None: the fence is another's."""
    enabled: bool | None = await conn.fetchval(
        CHECKPOINT_ALONE, *key, *_place(piece), *mark, began, *standing
    )
    return enabled


async def fail(
    conn: Connection, key: tuple[int, str], piece: Piece, *, now: datetime, why: str
) -> None:
    """Note that the window was given up for this run."""
    await conn.execute(DROP_SHORTER, *key, piece.lane, piece.window.start, piece.window.end)
    await conn.execute(FAIL, *key, *_place(piece), now, now, why)


async def drop(conn: Connection, key: tuple[int, str], piece: Piece) -> None:
    """Forget the checkpoint of a window that is finished or was halved.

    Also one with an earlier end: what was chosen may have been cut to the vendor's present.
    """
    await conn.execute(DROP, *key, piece.lane, piece.window.start, piece.window.end)


async def drop_each(conn: Connection, key: tuple[int, str], gone: Iterable[OpenWindow]) -> None:
    """Forget windows that no run will go on with."""
    each = list(gone)
    await conn.execute(
        DROP_EACH,
        *key,
        [open_.lane for open_ in each],
        [open_.window.start for open_ in each],
        [open_.window.end for open_ in each],
    )


async def forget_failed(conn: Connection, key: tuple[int, str]) -> None:
    """Forget failures whose window is covered by now."""
    await conn.execute(FORGET_FAILED, *key)


def _place(piece: Piece) -> tuple[int, datetime, datetime, str]:
    return piece.lane, piece.window.start, piece.window.end, piece.kind.value
