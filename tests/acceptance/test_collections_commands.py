"""collections list, rename and forget: nothing is deleted but by a person who says so twice."""

import shlex
import signal

from closed_pipe import first_line
from installation import NOWHERE, Installation
from watched import Watched, library, served

SETTINGS = {"source": "bibliotheca", "library_id": "springfield", "base_url": NOWHERE}
COLLECTION = {
    "name",
    "source",
    "library_id",
    "state",
    "records",
    "rejects_open",
    "first_success",
    "last_success",
}
SYNC = ("run-once", "--all", "--stream", "purchases")


async def names(installation: Installation) -> dict[str, str]:
    ended = await installation.run("collections", "list", "--json")
    assert ended.code == 0, ended.err
    return {each["name"]: each["state"] for each in ended.documents}


async def test_collections_of_the_file_and_of_the_database_are_listed(installation: Installation):
    async with served(Watched([library(titles=10), library("shelbyville", titles=5)])) as vendor:
        installation.configure(vendor.collections())
        await installation.run(*SYNC)
        first, second = vendor.collections()
        installation.configure([second, first | {"name": "new\x1bone", "library_id": "x"}])

    refused = await installation.run("collections", "list")
    installation.configure([second, first | {"name": "new one", "library_id": "x"}])
    listed = await installation.run("collections", "list", "--json")
    plain = await installation.run("collections", "list")
    terminal = await installation.run_on_a_terminal("collections", "list")
    early = await first_line(installation, "collections list")

    assert refused.code == 5
    found = {each["name"]: each for each in listed.documents}
    assert all(each.keys() == COLLECTION for each in found.values())
    assert {
        "shelbyville": "configured",
        "new one": "not_synced_yet",
        "springfield": "left_the_file",
    } == {name: each["state"] for name, each in found.items()}
    assert [found[name]["records"] for name in ("shelbyville", "new one", "springfield")] == [
        *(5, 0, 10)
    ]
    assert found["springfield"]["last_success"] >= found["springfield"]["first_success"] > "2026"
    assert found["new one"]["last_success"] is None
    assert plain.out.splitlines()[1].split("\t")[:5] == [
        *("new one", "bibliotheca", "x", "not synced yet", "0")
    ]
    assert "LAST SUCCESS" in terminal.out
    assert (early.code, early.err, early.out.count("\n")) == (0, "", 1)


async def test_a_renamed_collection_keeps_everything_and_the_file_is_to_follow(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run(*SYNC)
    stored = await installation.stored()

    first = await installation.run("collections", "rename", "springfield", "Centre")
    between = await names(installation)
    installation.configure(vendor.collections(name="Centre"))
    after = await names(installation)
    run = await installation.run(*SYNC, "--json")
    back = await installation.run("collections", "rename", "Centre", "springfield", "--json")
    terminal = await installation.run_on_a_terminal("collections", "rename", "springfield", "North")

    assert first.code == 0
    assert 'warning: the configuration says "springfield"' in first.err
    assert {"springfield": "not_synced_yet", "Centre": "left_the_file"} == between
    assert {"Centre": "configured"} == after
    assert (run.code, run.document["new"]) == (0, 0)
    assert back.document == {"before": "Centre", "name": "springfield", "configured_as": "Centre"}
    assert '"springfield" is "North" now.' in terminal.out
    assert stored == await installation.stored("North")


async def test_a_name_that_the_file_takes_back_makes_no_second_collection(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run(*SYNC)
    await installation.run("collections", "rename", "springfield", "Centre")

    run = await installation.run(*SYNC, "--json")

    assert (run.code, run.document["new"]) == (0, 0)
    assert {"springfield": "configured"} == await names(installation)


async def test_a_renaming_that_cannot_be_is_refused(installation: Installation):
    async with served(Watched([library(titles=5), library("shelbyville", titles=5)])) as vendor:
        installation.configure(vendor.collections())
        await installation.run(*SYNC)
        rename = ("collections", "rename")

        ended = [
            await installation.run(*rename, old, new)
            for old, new in (
                ("springfield", "shelbyville"),
                ("springfeld", "Centre"),
                ("springfield", " "),
                ("springfield", "\udcff"),
            )
        ]

    assert [2, 10, 2, 2] == [each.code for each in ended]
    assert 'There is a collection "shelbyville" already.' in ended[0].err
    assert {"springfield": "configured", "shelbyville": "configured"} == await names(installation)


async def test_forgetting_tells_first_what_would_be_lost_and_how_to_say_it(
    installation: Installation, vendor: Watched
):
    name = "Spring'field $x"
    installation.configure(vendor.collections(name=name))
    await installation.run(*SYNC)
    forget = ("collections", "forget", name)

    asked = await installation.run(*forget)
    wrong = await installation.run(*forget, "--confirm", "springfield")
    unknown = await installation.run("collections", "forget", "nobody", "--confirm", "nobody")
    told = await installation.run(*forget, "--json")
    [command] = [line for line in asked.err.splitlines() if "--confirm" in line]
    done = await installation.run(*shlex.split(command.partition("bibsync ")[2]))
    gone = await installation.run(*forget)

    assert [13, 2, 10, 13] == [each.code for each in (asked, wrong, unknown, told)]
    assert asked.out == ("records\t120\nearlier versions of records\t0\nrejects\t0\nruns\t1\n")
    assert told.document == {
        "collection": name,
        "records": 120,
        "versions": 0,
        "rejects": 0,
        "runs": 1,
        "forgotten": False,
        "configured": True,
    }
    assert (done.code, done.out) == (0, asked.out)
    assert "the next run begins it anew" in done.err
    assert gone.code == 10
    assert {name: "not_synced_yet"} == await names(installation)


async def test_a_forgotten_collection_is_begun_anew_by_the_next_run(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run(*SYNC)
    forget = ("collections", "forget", "springfield", "--confirm", "springfield")

    forgotten = await installation.run(*forget, "--json")
    run = await installation.run(*SYNC, "--json")
    terminal = await installation.run_on_a_terminal(*forget)
    installation.configure([])
    await installation.run(*SYNC)

    assert (forgotten.code, forgotten.document["forgotten"]) == (0, True)
    assert (run.code, run.document["new"]) == (0, 120)
    assert terminal.code == 0
    assert "COUNT" in terminal.out
    assert {} == await names(installation)


async def test_a_collection_is_not_forgotten_while_a_run_is_at_it(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "ok", "timeout"])
    running = await installation.start(*SYNC)
    await vendor.asked(3)
    forget = ("collections", "forget", "springfield", "--confirm", "springfield")

    locked = await installation.run(*forget)
    running.send(signal.SIGTERM)
    await running.ended()
    free = await installation.run(*forget, "--json")

    assert (locked.code, locked.out) == (11, "")
    assert f"process {running.process.pid} on " in locked.err
    assert "Nothing was changed." in locked.err
    assert (free.code, free.document["runs"]) == (0, 1)


async def test_a_moved_library_is_refused_until_the_old_one_is_forgotten(
    installation: Installation,
):
    async with served(Watched([library(titles=5), library("shelbyville", titles=7)])) as vendor:
        one, other = vendor.collections()
        installation.configure([one])
        await installation.run(*SYNC)
        installation.configure([other | {"name": "springfield"}])

        refused = await installation.run(*SYNC)
        command = refused.err.partition("delete them: bibsync ")[2].splitlines()[0]
        forgotten = await installation.run(*shlex.split(command))
        run = await installation.run(*SYNC, "--json")

    assert refused.code == 5
    assert (forgotten.code, run.code, run.document["new"]) == (0, 0, 7)


async def test_where_nobody_set_up_anything_collections_are_those_of_the_file(bare: Installation):
    bare.configure([SETTINGS | {"name": "springfield"}])

    listed = await bare.run("collections", "list", "--json")
    others = [
        await bare.run("collections", *words.split())
        for words in ("rename springfield x", "forget springfield")
    ]

    assert listed.document["state"] == "not_synced_yet"
    assert [10, 10] == [each.code for each in others]
    assert ["bibsync.toml"] == bare.files()
