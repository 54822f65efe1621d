"""run-once and backfill with --queue: the daemon does it, and nobody waits."""

from datetime import timedelta

from attended import attending, configure, looking
from installation import NOWHERE, Installation
from watched import LONG_AGO, Watched, library, served

SPAN = ("--since", f"{LONG_AGO}", "--until", f"{LONG_AGO + timedelta(days=2)}")


async def test_a_daemon_syncs_what_was_left_to_it(
    installation: Installation, vendor: Watched, database: str
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("request.ended", outcome="succeeded")

        [left] = (await installation.run("run-once", "--all", "--queue", "--json")).documents
        await daemon.told("request.ended", times=2, outcome="succeeded")

        told = await conn.fetchrow(
            "select trigger, requested_by, outcome from requests where request = $1",
            left["request"],
        )
    assert {"collection": "springfield", "request": left["request"]} == left
    assert ("person", "succeeded") == (told["trigger"], told["outcome"])
    assert "@" in told["requested_by"]
    must_have, _ = vendor.must_have("springfield")
    assert must_have == await installation.stored()


async def test_a_daemon_reads_a_stretch_again(
    installation: Installation, vendor: Watched, database: str
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("request.ended", outcome="succeeded")

        left = await installation.run("backfill", "--collection", "springfield", *SPAN, "--queue")
        await daemon.told("request.ended", times=2, outcome="succeeded")

        runs = await conn.fetch(
            "select unchanged, new from runs where trigger = 'backfill' and stream = 'purchases'"
        )
    assert left.code == 0, left.err
    assert left.out.startswith("springfield: request ")
    [run] = runs
    assert run["unchanged"] > 0
    assert 0 == run["new"]


async def test_who_asks_twice_has_asked_once(installation: Installation):
    installation.configure([{"name": "springfield", "library_id": "s", "base_url": NOWHERE}])
    whole, part = ("run-once", "--all", "--queue", "--json"), ("--since", "7d")

    first, again = [(await installation.run(*whole)).document for _ in range(2)]
    other = (await installation.run(*whole, *part)).document

    assert first == again
    assert first["request"] != other["request"]


async def test_only_those_that_are_named_are_left_to_it(installation: Installation):
    async with served(Watched([library(), library("shelbyville", titles=5)])) as vendor:
        installation.configure(vendor.collections())

        left = await installation.run(
            "run-once", "--collection", "shelbyville", "--queue", "--json"
        )

        assert ["shelbyville"] == [each["collection"] for each in left.documents]
        assert 0 == vendor.requests


async def test_what_cannot_be_left_to_it_is_refused(installation: Installation):
    installation.configure([{"name": "springfield", "library_id": "s", "base_url": NOWHERE}])
    backfill = ("backfill", "--collection", "springfield", *SPAN, "--queue")

    for words, code in (
        (("run-once", "--all", "--queue", "--dry-run"), 2),
        (("run-once", "--all", "--queue", "--wait-lock", "5s"), 2),
        (("run-once", "--collection", "shelbyville", "--queue"), 10),
        ((*backfill, "--wait-lock", "5s"), 2),
        (("backfill", "--collection", "shelbyville", *SPAN, "--queue"), 10),
    ):
        refused = await installation.run(*words)
        assert code == refused.code, (words, refused.err)
        assert "" == refused.out
