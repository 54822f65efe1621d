"""Locks that all processes share: whoever was stopped with one stops no other for long."""

import pytest

from bibsync.store import Connection, collections, notices, requests, schedules, schema

LIMIT = "show idle_in_transaction_session_timeout"


@pytest.mark.parametrize("table", [collections, notices, requests, schedules, schema])
async def test_a_session_that_falls_silent_with_a_shared_lock_is_ended(conn: Connection, table):
    before = await conn.fetchval(LIMIT)
    async with conn.transaction():
        await conn.execute(table.LOCK)

        assert "10s" == await conn.fetchval(LIMIT)

    assert before == await conn.fetchval(LIMIT)
