"""runs list and show: what was done, by whom, and what stopped it."""

import pytest
from closed_pipe import first_line
from installation import Installation
from watched import Watched, library, served

from bibsync.simulator import Defect

RUN = {
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
    "id": int,
    "trigger": str,
    "replica": str,
    "started": str,
    "finished": str,
}
"""The fields of the contract, section 5, and their types where all went well."""
PURCHASES = ("run-once", "--all", "--stream", "purchases", "--json")


async def test_runs_are_listed_newest_first_with_the_contract_s_fields(installation: Installation):
    bad = library(titles=60, bad=0.2, defects=[Defect.NO_001])
    async with served(Watched([bad])) as vendor:
        installation.configure(vendor.collections())
        first = await installation.run(*PURCHASES)
        vendor.next_answers("springfield", ["http_502"] * 6)
        second = await installation.run(*PURCHASES)
    listed = ("runs", "list")

    every = await installation.run(*listed, "--json")
    failed = await installation.run(*listed, "--outcome", "failed", "--json")
    none = await installation.run(*listed, "--since", "2999-01-01")
    plain = await installation.run(*listed, "--collection", "springfield", "--limit", "1")
    terminal = await installation.run_on_a_terminal(*listed, "--stream", "purchases")
    early = await first_line(installation, "runs list --json")

    assert [second.document["run"], first.document["run"]] == [e["id"] for e in every.documents]
    done = every.documents[1]
    assert {name: type(done[name]) for name in RUN} == RUN
    assert (done["trigger"], done["outcome"]) == ("person", "succeeded")
    counted = {name: done[name] for name in first.document if name != "duration_s"}
    assert counted == {name: first.document[name] for name in counted}
    assert failed.documents == every.documents[:1]
    assert failed.document["problem"] == second.document["problem"]
    assert (none.code, none.out, none.err) == (0, "", "There are no such runs.\n")
    assert plain.out.split("\t")[:4] == [
        *(str(second.document["run"]), "springfield", "purchases", "failed")
    ]
    assert len(plain.out.splitlines()) == 1
    assert "OUTCOME" in terminal.out
    assert "───" in terminal.out
    assert (early.code, early.err, early.out.count("\n")) == (0, "", 1)


async def test_a_run_is_shown_with_its_problem_its_rejects_and_its_changes(
    installation: Installation,
):
    bad = library(titles=60, bad=0.2, defects=[Defect.NO_001])
    async with served(Watched([bad])) as vendor:
        installation.configure(vendor.collections())
        first = (await installation.run(*PURCHASES)).document
        vendor.next_answers("springfield", ["http_502"] * 6)
        second = (await installation.run(*PURCHASES)).document
    rejects = (await installation.run("rejects", "list", "--json")).documents
    show = ("runs", "show")

    done = await installation.run(*show, first["run"], "--json")
    failed = await installation.run(*show, second["run"])
    terminal = await installation.run_on_a_terminal(*show, first["run"])
    early = await first_line(installation, f"runs show {first['run']}")
    none = [await installation.run(*show, number) for number in (10**6, 10**30)]

    assert [each["id"] for each in rejects] == done.document["reject_ids"] != []
    assert done.document["rejects_first_met"] == len(rejects) == first["new_rejects"]
    assert done.document["records_changed"] == first["changed"] == 0
    problem = second["problem"]
    assert failed.out.startswith(
        f"Run {second['run']} of springfield, purchases: failed\n"
        f"{problem['message']} [{problem['code']}]\n{problem['remedy']}\n\nBegun "
    )
    assert "changed; the version before" not in failed.out
    assert f"{len(rejects)} rejects met for the first time" in terminal.out
    assert (early.code, early.err, early.out.count("\n")) == (0, "", 1)
    assert [10, 10] == [each.code for each in none]


async def test_a_run_under_way_has_no_outcome_yet(installation: Installation, vendor: Watched):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "ok", "timeout"])
    running = await installation.start(*PURCHASES)
    await vendor.asked(3)

    listed = await installation.run("runs", "list", "--outcome", "running", "--json")
    table = await installation.run("runs", "list")
    shown = await installation.run("runs", "show", listed.document["id"])
    running.kill()
    await running.ended()

    assert listed.code == 0
    nothing = [listed.document[word] for word in ("outcome", "finished", "duration_s", "problem")]
    assert nothing == [None] * 4
    assert table.out.split("\t")[3] == "running"
    assert "Ended" not in shown.out


@pytest.mark.parametrize("words", ["--stream loans", "--outcome bad", "--since then", "--limit 0"])
async def test_a_wrong_choice_of_runs_is_exit_2(bare: Installation, words: str):
    ended = await bare.run("runs", "list", *words.split())

    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize(("words", "code"), [("list", 0), ("list --json", 0), ("show 1", 10)])
async def test_where_nobody_set_up_anything_there_are_no_runs(
    bare: Installation, words: str, code: int
):
    ended = await bare.run("runs", *words.split())

    assert (ended.code, ended.out, bare.files()) == (code, "", ["bibsync.toml"])
