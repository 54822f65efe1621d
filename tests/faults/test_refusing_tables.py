"""A database that refuses statements or keeps them waiting, while its server is well.

The errors are PostgreSQL's own, raised by a trigger at a table that the run writes: once, or for as
long as the fault lasts.
"""

import json

import asyncpg
import pytest
from installation import Installation, until

from bibsync.events import STORE_RECONNECTED
from tests.faults.scene import PATIENT, Scene, staged
from tests.faults.wire import Fault

REFUSE = """
create sequence if not exists fired;
create or replace function refuse() returns trigger language plpgsql as $$
    begin
        if nextval('fired') <= {times} then {act}; end if;
        return null;
    end
$$;
create trigger refuse after insert or update on {table} for each statement execute function refuse()
"""
FIRED = "select case when is_called then last_value else 0 end from fired"
EVER = 10**9
RECORDS, LEASES = "records", "leases"
WRITTEN = (RECORDS, "fences", LEASES, "lanes", "open_windows", "record_states", "runs", "titles")
TERMINATE = "perform pg_terminate_backend(pg_backend_pid())"
CANCEL = "perform pg_cancel_backend(pg_backend_pid())"
LOCKED = "(select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
LOCKED += " and application_name = 'bibsync' and datname = current_database())"


def error(state: str) -> str:
    return f"raise exception 'made up' using errcode = '{state}'"


PASSING = {
    "serialization": error("40001"),
    "deadlock": error("40P01"),
    "read-only": error("25006"),
    "lock timeout": error("55P03"),
    "disk full": error("53100"),
    "no memory": error("53200"),
    "no connection": error("53300"),
    "restart": error("57P03"),
    "input or output": error("58030"),
    "internal": error("XX000"),
    "terminated": TERMINATE,
    "cancelled": CANCEL,
}


async def refuse(scene: Scene, act: str, *tables: str, times: int = 1) -> None:
    for table in tables:
        await scene.conn.execute(REFUSE.format(act=act, table=table, times=times))


async def relent(scene: Scene, *tables: str) -> None:
    for table in tables:
        await scene.conn.execute(f"drop trigger refuse on {table}")


def reconnected(err: str) -> int:
    """Return how often the log says that the store was tried again."""
    events = [json.loads(line)["event"] for line in err.splitlines() if line.startswith("{")]
    return events.count(STORE_RECONNECTED)


@pytest.mark.parametrize("name", PASSING)
async def test_an_error_that_passes_costs_a_page_nothing(installation: Installation, name: str):
    async with staged(installation) as scene:
        await refuse(scene, PASSING[name], RECORDS)

        ended = await scene.run()

        assert (0, 1) == (ended.code, reconnected(ended.err)), ended
        assert 1 < await scene.conn.fetchval(FIRED)
        await scene.is_whole()


@pytest.mark.parametrize("table", [each for each in WRITTEN if each not in {RECORDS, LEASES}])
async def test_a_session_that_is_ended_at_any_table_is_made_anew(
    installation: Installation, table: str
):
    async with staged(installation) as scene:
        await refuse(scene, TERMINATE, table)

        ended = await scene.run()

        assert 0 == ended.code, ended
        assert 1 < await scene.conn.fetchval(FIRED)
        await scene.is_whole()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("serialization", "Other work in the database kept its rows locked for too long."),
        ("read-only", "The database is read-only."),
        ("disk full", "The database's disk is full."),
        ("no memory", "The database can't be reached: it has no memory left."),
        ("no connection", "The database can't be reached: it has no connection left."),
        ("restart", "The database can't be reached: it is starting up or shutting down."),
        ("input or output", "The database met an error of its own."),
        ("internal", "The database met an error of its own."),
        ("cancelled", "The database broke a statement off"),
    ],
)
async def test_an_error_that_lasts_ends_the_run_with_a_sentence(
    installation: Installation, name: str, sentence: str
):
    async with staged(installation) as scene:
        await refuse(scene, PASSING[name], LEASES, times=EVER)

        ended = await scene.run()

        problem = ended.document["problem"]
        assert (7, "database_unavailable") == (ended.code, problem["code"]), ended
        assert sentence in problem["message"]
        assert 0 < await scene.conn.fetchval(FIRED)
        await relent(scene, LEASES)
        await scene.is_whole()


async def test_a_disk_that_fills_up_in_the_middle_ends_the_run_in_time(installation: Installation):
    """As the lease can't be renewed any more either, the run ends before others may begin."""
    async with staged(installation) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)
        await refuse(scene, PASSING["disk full"], *WRITTEN, times=EVER)

        ended = await running.ended()

        problem = ended.document["problem"]
        assert (7, "database_unavailable") == (ended.code, problem["code"]), ended
        assert 0 < await scene.conn.fetchval(FIRED)
        await relent(scene, *WRITTEN)
        await scene.is_whole()


async def test_a_table_that_an_operator_locks_keeps_the_run_and_its_lease_waiting(
    installation: Installation,
):
    renewed = "(select max(expires_at) > '{}' from leases)"
    async with staged(installation, lease_ttl_s=2) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)
        operator = await asyncpg.connect(installation.database)
        async with operator.transaction():
            await operator.execute("lock table records, record_states in access exclusive mode")
            await until(scene.conn, LOCKED)
            lasting = await scene.conn.fetchval("select max(expires_at) from leases")
            await until(scene.conn, renewed.format(lasting.isoformat()))
            another = await scene.run("--stream", "purchases")
        await operator.close()

        ended = await running.ended()

        assert (11, 0) == (another.code, ended.code), (another, ended)
        await scene.is_whole()


async def test_leases_that_an_operator_locks_end_the_run_in_time(installation: Installation):
    async with staged(installation, lease_ttl_s=2, sync=PATIENT) as scene:
        running = await scene.installation.fork("run-once", "--all", "--json")
        await scene.vendor.asked(3)
        scene.wires["vendor"].strike(Fault.BLACK_HOLE)
        operator = await asyncpg.connect(installation.database)
        async with operator.transaction():
            await operator.execute("lock table leases in access exclusive mode")
            await until(scene.conn, LOCKED)

            ended = await running.ended()

        await operator.close()
        assert (7, "failed") == (ended.code, ended.document["outcome"]), ended
        await scene.wires["vendor"].mend()
        await scene.is_whole()
