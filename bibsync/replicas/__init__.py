"""What replicas share: leases, and the turns at vendors' hosts.

`coordinated` is all that the rest of the program knows of this package. Without a Redis, leases
are kept in PostgreSQL and each process has turns of its own. With one it must answer at the
start; losing it later costs only waiting, is logged once, and its return too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from bibsync import store
from bibsync.errors import RedisUnavailable
from bibsync.lease import Leases, PostgresLeases
from bibsync.replicas import address
from bibsync.sources.budget import SharedTurns
from bibsync.store import Pool

if TYPE_CHECKING:
    from bibsync.replicas.client import Contact


@dataclass(frozen=True, slots=True)
class Coordination:
    """Where leases and turns are kept; `redis` tells whether it is lost, None: there is none."""

    leases: Leases
    turns: "SharedTurns | None" = None
    redis: "Contact | None" = None


@asynccontextmanager
async def coordinated(
    url: SecretStr | None, pool: Pool, *, ttl: timedelta
) -> AsyncIterator[Coordination]:
    """Connect to the Redis of this address, if there is one; close at the end.

    The shorter the leases' time to live, the shorter Redis is waited for.

    Raises:
        RedisUnavailable: it can't be used.
    """
    if url is None:
        yield Coordination(PostgresLeases(pool))
        return
    from bibsync.replicas import client, leases, turns  # noqa: PLC0415 - redis takes 0.2 s to import

    try:
        at = address.read(url.get_secret_value())
    except ValueError as unfit:
        raise RedisUnavailable(f"[redis] url {unfit}.") from None
    async with store.acquire(pool) as conn:
        scope = await store.identity(conn)
    limit_s = min(client.LIMIT_S, ttl.total_seconds() * client.LIMIT_SHARE)
    async with client.connected(at, limit_s=limit_s) as contact:
        both = leases.BothLeases(leases.RedisLeases(contact, scope=scope), PostgresLeases(pool))
        yield Coordination(both, turns.RedisTurns(contact), contact)
