"""run-once as a script meets it: what it prints, how it ends, what it leaves in the database."""

from datetime import UTC, datetime, timedelta

import pytest
from installation import NOWHERE, Installation
from watched import LONG_AGO, TODAY, Watched, library, served

from bibsync.simulator import Defect

SUMMARY = {
    "type": str,
    "collection": str,
    "stream": str,
    "run": int,
    "outcome": str,
    "windows": int,
    "blank": int,
    "pages": int,
    "requests": int,
    "retries": int,
    "received": int,
    "new": int,
    "changed": int,
    "unchanged": int,
    "rejected": int,
    "caught_up_to": str,
    "duration_s": float,
    "problem": type(None),
}
"""The fields of the contract, section 5, and their types where all went well."""
PROBLEM = {"code", "origin", "transient", "message", "remedy", "detail"}


async def test_a_first_run_stores_what_the_vendor_has_and_says_so_in_one_line(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())

    ended = await installation.run("run-once", "--all", "--json")

    assert ended.code == 0
    assert {name: type(ended.document[name]) for name in SUMMARY} == SUMMARY
    assert ended.document["type"] == "summary"
    assert (ended.document["collection"], ended.document["stream"]) == ("springfield", "purchases")
    assert (ended.document["outcome"], ended.document["new"]) == ("succeeded", 120)
    age = datetime.now(UTC) - datetime.fromisoformat(ended.document["caught_up_to"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert (vendor.must_have("springfield")[0]) == await installation.stored()


async def test_new_rejects_are_exit_3_and_known_ones_are_not(installation: Installation):
    bad = library(bad=0.2, defects=[Defect.NO_001])
    async with served(Watched([bad])) as vendor:
        installation.configure(vendor.collections())

        first = await installation.run("run-once", "--all", "--json")
        again = await installation.run("run-once", "--all", "--force-reimport", "--json")

        records, reasons = vendor.must_have("springfield")
    assert (3, 0) == (first.code, again.code)
    assert first.document["rejected"] == again.document["rejected"] == reasons.total() > 0
    assert (first.document["outcome"], again.document["outcome"]) == ("succeeded", "succeeded")
    assert reasons == await installation.rejected()
    assert records == await installation.stored()


async def test_an_unknown_collection_is_exit_10_and_the_known_ones_are_named(
    bare: Installation,
):
    bare.configure([{"name": "springfield", "library_id": "x", "base_url": NOWHERE}])

    ended = await bare.run("run-once", "--collection", "springfeld")

    assert (ended.code, ended.out) == (10, "")
    assert 'There is no collection "springfeld"' in ended.err
    assert '"springfield"' in ended.err


async def test_without_collections_there_is_nothing_to_do_and_a_word_about_it(
    bare: Installation,
):
    ended = await bare.run("run-once", "--all")

    assert (ended.code, ended.out) == (0, "")
    assert "names no collection" in ended.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"base_url": NOWHERE}, "can't be reached"),
        ({"base_url": "http://vendor.invalid/"}, "vendor.invalid"),
        ({"base_url": "https{}"}, "No secure connection"),
    ],
    ids=["connection refused", "unknown host", "https spoken to http"],
)
async def test_an_address_that_leads_nowhere_is_exit_6_in_one_sentence(
    installation: Installation, vendor: Watched, more: dict[str, str], words: str
):
    address = more["base_url"].format(vendor.base_url.removeprefix("http"))
    installation.configure(vendor.collections(base_url=address, start_date=TODAY))

    ended = await installation.run("run-once", "--all", BIBSYNC_LOG__LEVEL="error")
    status = await installation.stream()

    assert ended.code == 6
    assert "network" == status["last_run"]["problem"]["origin"]
    assert "springfield\tpurchases\tfailed" in ended.out
    assert words in ended.err
    assert len([line for line in ended.err.splitlines() if words in line]) == 1, ended.err


async def test_a_vendor_that_is_down_is_exit_6_and_the_next_run_makes_up_for_it(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    vendor.next_answers("springfield", ["http_502"] * 12)

    down = await installation.run("run-once", "--all", "--json")
    vendor._scripts.clear()  # how many of them the first run has met depends on its windows
    up = await installation.run("run-once", "--all", "--json")

    assert (down.code, up.code) == (6, 0)
    assert down.document["problem"].keys() == PROBLEM
    assert down.document["problem"]["transient"] is True
    assert down.document["problem"]["origin"] == "source"
    assert down.document["problem"]["detail"] == "http_502"
    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_refused_credentials_are_exit_4_and_cost_one_request(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(account_key="a wrong one"))

    ended = await installation.run("run-once", "--all", "--json")

    assert ended.code == 4
    assert ended.document["problem"]["code"] == "credentials_refused"
    assert vendor.requests == 1


async def test_a_broken_configuration_is_exit_5_and_asks_nobody(
    bare: Installation, vendor: Watched
):
    [settings] = vendor.collections()
    bare.configure([{"libary_id": settings.pop("library_id"), **settings}])

    ended = await bare.run("run-once", "--all")

    assert (ended.code, ended.out, vendor.requests) == (5, "", 0)
    assert 'unknown key "libary_id"; did you mean "library_id"?' in ended.err


@pytest.mark.parametrize(
    "failures",
    [("refused",), ("refused", "refused"), ("refused", "down"), ("refused", "fine")],
    ids=" and ".join,
)
async def test_several_collections_have_their_common_code_or_3(
    installation: Installation, vendor: Watched, failures: tuple[str, ...]
):
    kinds = {
        "fine": {},
        "refused": {"account_key": "a wrong one"},
        "down": {"base_url": NOWHERE, "start_date": TODAY},
    }
    installation.configure(
        each | kinds[failure] | {"name": f"{number} {failure}"}
        for number, failure in enumerate(failures)
        for each in vendor.collections()
    )

    ended = await installation.run("run-once", "--all", "--json")

    assert ended.code == (4 if set(failures) == {"refused"} else 3)
    assert len(ended.without_lookups) == len(failures)


async def test_a_dry_run_lists_windows_asks_nobody_and_writes_nothing(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())

    ended = await installation.run("run-once", "--all", "--dry-run", "--json")
    status = await installation.run("status", "--json")

    assert (ended.code, vendor.requests) == (0, 0)
    assert all(
        each.keys() == {"type", "collection", "stream", "kind", "start", "end"}
        for each in ended.documents
    )
    assert f"{LONG_AGO}T00:00:00Z" == min(each["start"] for each in ended.documents)
    assert [] == status.document["collections"][0]["streams"]


async def test_since_and_until_limit_a_run_and_leave_the_rest_a_gap(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    span = ("--since", "2d", "--until", f"{TODAY}")

    ended = await installation.run("run-once", "--all", *span, "--json")
    status = await installation.run("status", "--json")

    stream = status.document["collections"][0]["streams"][0]
    assert ended.code == 0
    assert 0 < ended.document["new"] < 20
    assert (stream["caught_up_to"], stream["gaps"]) == (f"{LONG_AGO}T00:00:00Z", 1)


async def test_a_forced_reimport_of_a_span_reads_all_of_it_again(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    span = ("--since", f"{LONG_AGO}", "--until", f"{TODAY}")

    ended = await installation.run("run-once", "--all", *span, "--force-reimport", "--json")

    assert ended.code == 0
    assert (ended.document["new"], ended.document["changed"]) == (0, 0)
    assert ended.document["unchanged"] >= 120


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://bibsync@127.0.0.1:9/bibsync", "can't be reached"),
        ("postgresql://127.0.0.1:notaport/bibsync", "not a PostgreSQL address"),
        ("{}&user=stranger", "refuses the user or the password"),
        ("{other}", "does not exist"),
    ],
    ids=["nobody there", "no address", "a stranger", "no such database"],
)
async def test_a_database_that_cannot_be_used_is_exit_7_in_one_sentence(
    installation: Installation, vendor: Watched, url: str, words: str
):
    own = installation.database or ""
    other = own.replace("/bibsync_test_", "/no_bibsync_test_")
    installation.database = url.format(own.replace("user=", "was="), other=other)
    installation.configure(vendor.collections())

    ended = await installation.run("run-once", "--all")

    assert (ended.code, ended.out, vendor.requests) == (7, "", 0)
    assert words in ended.err
    assert len(ended.err.splitlines()) == 2, ended.err
