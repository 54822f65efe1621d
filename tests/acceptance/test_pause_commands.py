"""pause and resume: collections are left alone for a while, and everyone is told why."""

from installation import NOWHERE, Installation
from watched import Watched, library, served

SYNC = ("run-once", "--all", "--stream", "purchases")


async def test_a_paused_collection_is_not_asked_and_says_who_why_and_until_when(
    installation: Installation,
):
    async with served(Watched([library(titles=10), library("shelbyville", titles=5)])) as vendor:
        installation.configure(vendor.collections())

        paused = await installation.run(
            *("pause", "--collection", "springfield", "--for", "6h", "--reason", "new key")
        )
        every = await installation.run(*SYNC, "--json")
        one = await installation.run("run-once", "--collection", "springfield", "--json")
        seen = await installation.run("status", "--json")
        check = await installation.run("status", "--check")
        resumed = await installation.run("resume", "--all", "--reason", "they are back")
        again = await installation.run(*SYNC, "--json")

    assert paused.code == 0, paused.err
    assert paused.out.startswith("springfield is paused until 2")
    assert (0, 12) == (every.code, one.code)
    outcomes = {each["collection"]: each["outcome"] for each in every.documents}
    assert {"springfield": "paused", "shelbyville": "succeeded"} == outcomes
    problem = one.documents[0]["problem"]
    assert "paused" == problem["code"]
    assert problem["message"].endswith(": new key")
    assert " until 2" in problem["message"]
    first = seen.document["collections"][0]
    assert ("paused", "new key") == (first["health"], first["pause"]["reason"])
    assert "@" in first["pause"]["by"]
    assert check.code == 0
    assert "springfield goes on with its next run: they are back\n" == resumed.out
    assert "1 collection was not paused.\n" == resumed.err
    assert ["succeeded"] * 2 == [each["outcome"] for each in again.documents]


async def test_a_pause_stops_a_run_under_way_behind_its_page(installation: Installation):
    async with served(Watched([library(titles=4000)])) as vendor:
        installation.configure(vendor.collections(), sync="requests_per_second = 20\n")
        running = await installation.start("run-once", "--collection", "springfield", "--json")
        await vendor.asked(4)

        paused = await installation.run("pause", "--all")
        ended = await running.ended()
        asked = vendor.requests

        await installation.run("resume", "--all")
        installation.configure(vendor.collections())
        again = await installation.run(*SYNC)
        must_have, _ = vendor.must_have("springfield")

    assert paused.code == 0, paused.err
    assert (12, "paused") == (ended.code, ended.document["outcome"])
    assert 0 < ended.document["received"] < 4000
    assert asked < 80
    assert again.code == 0, again.err
    assert must_have == await installation.stored()


async def test_pauses_that_make_no_sense_are_refused(installation: Installation):
    installation.configure([{"name": "springfield", "library_id": "s", "base_url": NOWHERE}])

    for words, code in (
        (("pause",), 2),
        (("pause", "--all", "--collection", "springfield"), 2),
        (("pause", "--all", "--for", "soon"), 2),
        (("pause", "--all", "--reason", "two\nlines"), 2),
        (("pause", "--collection", "shelbyville"), 10),
        (("resume",), 2),
        (("resume", "--collection", "shelbyville"), 10),
        (("resume", "--all", "--reason", "two\nlines"), 2),
    ):
        refused = await installation.run(*words)
        assert code == refused.code, (words, refused.err)
    assert 0 == (await installation.run("resume", "--all")).code
