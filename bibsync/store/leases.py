"""Table leases: who may run; it confirms the leases in Redis too. Told by the server's clock alone.

A row is never deleted, only expired. A lease is known by its holder, a word made anew for each
acquisition, so that a late renewal or release of an old holder touches nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bibsync.store import Connection

TAKE = """
insert into leases as l (
    collection, stream, holder, replica, machine, process, process_began, since, expires_at
)
values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp() + $8)
on conflict (collection, stream) do update
set holder = excluded.holder, replica = excluded.replica, machine = excluded.machine,
    process = excluded.process, process_began = excluded.process_began,
    since = excluded.since, expires_at = excluded.expires_at
where l.expires_at < clock_timestamp() or l.holder in ($3, $9)
   or l.expires_at > clock_timestamp() + $8 + interval '1 hour'
returning true
"""
HELD = """
select holder, replica, machine, process, process_began, since
from leases where collection = $1 and stream = $2 and expires_at >= clock_timestamp()
"""
HELD_NOW = """
select collection, stream, holder, replica, machine, process, process_began, since
from leases where expires_at >= clock_timestamp()
"""
RENEW = """
update leases set expires_at = clock_timestamp() + $4
where collection = $1 and stream = $2 and holder = $3 and expires_at >= clock_timestamp()
returning true
"""
RELEASE = """
update leases set expires_at = '-infinity'
where collection = $1 and stream = $2 and holder = $3
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lease.

    `token` is new for each acquisition. `replica` is for people, `machine` names a host, its boot
    and its process namespace; together with `process` and when that `began` it tells whether the
    holder still exists.
    """

    token: str
    replica: str
    machine: str
    process: int
    began: float


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that is held, by whom and since when."""

    holder: Holder
    since: datetime

    @property
    def sentence(self) -> str:
        """Say who is at it, where and since when."""
        host = self.holder.replica.rsplit(":", 1)[0]
        return (
            f"Another run is at it: process {self.holder.process} on {host}, "
            f"since {self.since:%Y-%m-%d %H:%M} UTC."
        )


async def take(
    conn: Connection,
    key: tuple[int, str],
    holder: Holder,
    *,
    ttl: timedelta,
    instead_of: str | None = None,
) -> bool:
    """Take the lease of (collection, stream) if it is free, expired, ours or `instead_of`'s."""
    taken = await conn.fetchval(
        TAKE,
        *key,
        holder.token,
        holder.replica,
        holder.machine,
        holder.process,
        holder.began,
        ttl,
        instead_of or holder.token,
    )
    return bool(taken)


async def held(conn: Connection, key: tuple[int, str]) -> Held | None:
    """Return who holds the lease now, None where nobody does."""
    row = await conn.fetchrow(HELD, *key)
    return Held(Holder(*row[:5]), row["since"]) if row else None


async def held_now(conn: Connection) -> dict[tuple[int, str], Held]:
    """Return every lease that is held, by whom and since when."""
    return {
        (row["collection"], row["stream"]): Held(Holder(*row[2:7]), row["since"])
        for row in await conn.fetch(HELD_NOW)
    }


async def renew(conn: Connection, key: tuple[int, str], token: str, *, ttl: timedelta) -> bool:
    """Prolong the lease; False: it was lost, stop the work."""
    return bool(await conn.fetchval(RENEW, *key, token, ttl))


async def release(conn: Connection, key: tuple[int, str], token: str) -> None:
    """Free the lease at once; nothing happens where it was lost already."""
    await conn.execute(RELEASE, *key, token)
