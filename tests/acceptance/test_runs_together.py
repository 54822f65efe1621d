"""Several processes at one database: who works, who is told to leave it, who takes over."""

import asyncio
import signal
from collections import Counter

import asyncpg
from installation import Installation, Running, until
from watched import LONG_AGO, Watched, library, served

STREAMS = ("purchases", "metadata")
NOTE_TRIES = """
create table tries (process integer);
create function note_try() returns trigger language plpgsql as $$
    begin insert into tries values (new.process); return new; end
$$;
create trigger note_try before insert on leases for each row execute function note_try();
"""
"""Tells in the table `tries` which processes have tried to take a lease, or got it."""


async def held_up(installation: Installation, vendor: Watched) -> Running:
    """Start a run and wait until it hangs on its third request, with its lease."""
    vendor.next_answers("springfield", ["ok", "ok", "timeout"])
    running = await installation.start("run-once", "--all", "--json")
    await vendor.asked(3)
    return running


async def test_a_locked_collection_is_exit_11_and_its_holder_is_named(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    first = await held_up(installation, vendor)

    second = await installation.run("run-once", "--all", "--json")
    lease = (await installation.stream())["lease"]
    first.send(signal.SIGTERM)
    await first.ended()

    problem = second.document["problem"]
    assert (second.code, second.document["outcome"], problem["code"]) == (11, "locked", "locked")
    assert f"process {first.process.pid} on " in problem["message"]
    assert lease["holder"].endswith(f":{first.process.pid}")
    assert "since" in problem["message"]


async def test_locked_beside_success_is_exit_0_under_all_and_3_by_name(installation: Installation):
    async with served(Watched([library(), library("shelbyville", titles=10)])) as vendor:
        installation.configure(vendor.collections(windows_at_once=1, start_date=LONG_AGO))
        vendor.next_answers("springfield", ["ok", "ok", "timeout"])
        first = await installation.start("run-once", "--collection", "springfield")
        await vendor.asked(3)

        under_all = await installation.run("run-once", "--all", "--json")
        names = ("--collection", "springfield", "--collection", "shelbyville")
        by_name = await installation.run("run-once", *names, "--json")
        first.send(signal.SIGTERM)
        await first.ended()

    outcomes = {each["collection"]: each["outcome"] for each in under_all.documents}
    assert {"springfield": "locked", "shelbyville": "succeeded"} == outcomes
    assert (under_all.code, by_name.code) == (0, 3)


async def test_a_run_that_waits_for_the_lock_begins_when_it_is_free(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections(windows_at_once=1))
    first = await held_up(installation, vendor)
    conn = await asyncpg.connect(database)
    await conn.execute(NOTE_TRIES)
    second = await installation.start("run-once", "--all", "--json", "--wait-lock", "5m")
    await until(conn, f"exists (select from tries where process = {second.process.pid})")
    await conn.close()

    first.send(signal.SIGINT)
    await first.ended()
    ended = await second.ended()

    assert (ended.code, ended.document["outcome"]) == (0, "succeeded")
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_the_run_of_a_killed_process_is_taken_over_at_once(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    first = await held_up(installation, vendor)
    first.send(signal.SIGKILL)
    await first.ended()

    second = await installation.run("run-once", "--all", "--json")

    assert (second.code, second.document["outcome"]) == (0, "succeeded")
    assert second.document["duration_s"] < 30  # half a lease, at which it would be free by itself
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_two_runs_that_begin_together_do_the_work_once(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())

    ended = await asyncio.gather(
        *(installation.run("run-once", "--all", "--json") for _ in range(2))
    )

    worked = [each for each in ended if each.document["outcome"] == "succeeded"]
    assert {each.code for each in ended} <= {0, 11}
    assert sum(each.document["new"] for each in worked) == 120
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_three_processes_share_six_collections_and_miss_nothing(installation: Installation):
    libraries = [library(f"branch {n}", titles=40 + n) for n in range(6)]
    async with served(Watched(libraries, latency_s=0.01)) as vendor:
        installation.configure(vendor.collections(), more="[daemon]\nconcurrency = 1")

        ended = await asyncio.gather(
            *(installation.run("run-once", "--all", "--json") for _ in range(3))
        )

        expected = {each: vendor.must_have(each)[0] for each in vendor.libraries}
    summaries = [document for each in ended for document in each.documents]
    new: Counter[tuple[str, str]] = Counter()
    for each in summaries:
        new[each["collection"], each["stream"]] += each["new"]
    assert {each.code for each in ended} <= {0, 11}
    counts = {name: len(prints) for name, prints in expected.items()}
    assert {(name, stream): count for name, count in counts.items() for stream in STREAMS} == new
    assert {"succeeded", "locked"} >= {each["outcome"] for each in summaries}
    for name, prints in expected.items():
        assert prints == await installation.stored(name)
