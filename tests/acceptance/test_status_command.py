"""status: the document that monitoring reads, and what it says of a collection's life."""

from datetime import UTC, datetime, timedelta

import asyncpg
from installation import NOWHERE, Installation
from watched import LONG_AGO, TODAY, Watched

from bibsync.simulator import Faults

COLLECTION = {
    "name": str,
    "health": str,
    "activity": str,
    "records": int,
    "withdrawn": int,
    "rejects_open": int,
    "streams": list,
}
STREAM = {
    "stream": str,
    "caught_up_to": str,
    "gaps": int,
    "lag_s": int,
    "last_success": str,
    "last_run": dict,
    "lease": type(None),
    "next_due": type(None),
}


async def test_the_document_has_the_contract_s_fields_and_types(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    run = await installation.run("run-once", "--all", "--json")

    ended = await installation.run("status", "--json")

    [collection] = ended.document["collections"]
    stream, looked_up = collection["streams"]
    assert ended.document.keys() >= {"schema", "collections", "schedules"}
    assert ended.document["schema"] == "bibsync.status/1"
    assert {name: type(collection[name]) for name in COLLECTION} == COLLECTION
    assert {name: type(stream[name]) for name in STREAM} == STREAM
    assert (collection["health"], collection["activity"], collection["records"]) == (
        "ok",
        "idle",
        120,
    )
    assert stream["last_run"].keys() == run.document.keys()
    assert {k: v for k, v in stream["last_run"].items() if k != "duration_s"} == {
        k: v for k, v in run.document.items() if k != "duration_s"
    }
    assert {name: type(looked_up[name]) for name in STREAM} == STREAM
    assert (looked_up["titles_described"], looked_up["titles_waiting"]) == (120, 0)
    assert looked_up["last_run"] == run.lookups[0] | {
        "duration_s": looked_up["last_run"]["duration_s"]
    }
    age = datetime.now(UTC) - datetime.fromisoformat(stream["last_success"])
    assert timedelta(0) <= age < timedelta(minutes=1)


async def test_health_goes_from_never_run_to_failing_to_ok_to_late(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    before = await installation.run("status", "--json", "--check")
    vendor.faults = Faults(http_502=1.0)
    await installation.run("run-once", "--all")
    failing = await installation.run("status", "--json", "--check")
    vendor.faults = Faults.none()
    await installation.run("run-once", "--all")
    well = await installation.run("status", "--json", "--check")
    conn = await asyncpg.connect(database)
    await conn.execute("update runs set finished = finished - interval '37 hours'")
    await conn.close()

    late = await installation.run("status", "--check")

    seen = [each.document["collections"][0]["health"] for each in (before, failing, well)]
    assert ["never_run", "failing", "ok"] == seen
    assert "\tlate\t" in late.out
    assert "springfield: late, no sync succeeded since " in late.err
    assert "bibsync runs list --collection springfield" in late.err
    assert [0, 8, 0, 8] == [each.code for each in (before, failing, well, late)]
    assert failing.document["collections"][0]["activity"] == "waiting_to_retry"


async def test_it_says_who_paused_a_collection_and_how_it_goes_on(installation: Installation):
    installation.configure([{"name": "spring field", "library_id": "s", "base_url": NOWHERE}])
    await installation.run("pause", "--all", "--reason", "new key")

    status = await installation.run("status")

    assert "spring field: paused by " in status.err
    assert "  bibsync resume --collection 'spring field'\n" in status.err


IN_LINE = """
insert into requests (
    collection, job, trigger, requested_by, requested_at, priority, due_at, started, attempts
)
select collection, 'purchases', 'schedule', 'a schedule', now(), 1, '2096-01-01', $1, $2
from collections
"""


async def test_what_waits_is_activity_and_when_it_is_due(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    conn = await asyncpg.connect(database)

    async def waiting(began: datetime | None, attempts: int) -> tuple[str, str]:
        await conn.execute("delete from requests")
        await conn.execute(IN_LINE, began, attempts)
        told = (await installation.run("status", "--json")).document["collections"][0]
        return told["activity"], told["streams"][0]["next_due"]

    due = "2096-01-01T00:00:00Z"
    now = datetime.now(UTC)
    assert ("idle", due) == await waiting(None, 0), "its time hasn't come"
    assert ("waiting_for_lease", due) == await waiting(now, 0)
    await conn.execute("update runs set outcome = 'failed'")
    assert ("waiting_to_retry", due) == await waiting(now, 1)
    await conn.close()


async def test_a_collection_that_left_the_file_is_disabled_and_goes_on_when_put_back(
    installation: Installation, vendor: Watched
):
    other = {"name": "other", "library_id": "x", "base_url": NOWHERE, "start_date": TODAY}
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    installation.configure([other])
    await installation.run("run-once", "--all")
    gone = await installation.run("status", "--json")
    exported = await installation.stored()
    asked = vendor.requests
    installation.configure(vendor.collections())

    back = await installation.run("run-once", "--all", "--json")

    left = gone.document["collections"][1]["streams"][0]
    assert (left["caught_up_to"] >= f"{TODAY}", left["gaps"]) == (True, 0)
    assert left["lag_s"] < 86400
    health = {each["name"]: each["health"] for each in gone.document["collections"]}
    assert {"other": "failing", "springfield": "disabled"} == health
    assert len(exported) == 120
    assert (back.code, back.document["new"]) == (0, 0)
    assert vendor.requests - asked < 6
    assert (await installation.stream())["caught_up_to"] == back.document["caught_up_to"]


async def test_a_run_under_way_is_activity_and_no_health(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "ok", "timeout"])
    running = await installation.start("run-once", "--all")
    await vendor.asked(3)

    ended = await installation.run("status", "--json", "--check")
    running.process.kill()
    await running.ended()
    killed = await installation.run("status", "--json")

    [gone] = killed.document["collections"]
    assert ("idle", None) == (gone["activity"], gone["streams"][0]["lease"])
    [collection] = ended.document["collections"]
    assert ended.code == 0
    assert (collection["health"], collection["activity"]) == ("never_run", "running")
    assert set(collection["streams"][0]["lease"]) == {"holder", "since"}
    assert f"{LONG_AGO}T00:00:00Z" == collection["streams"][0]["caught_up_to"]
