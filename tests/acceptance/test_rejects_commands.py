"""rejects show, retry and dismiss: what a person sees of a reject, and how it is settled."""

import base64
import re
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest
from closed_pipe import first_line
from installation import Installation
from watched import Watched, library, served

from bibsync.simulator import Defect

FIELDS = {"type", "id", "collection", "became", "control_number", "reason", "message"}
READABLE = "update rejects set raw = $1 where reject = $2"
"""As if a reader of old could not read what today's can."""

SEVENTY_MORE = """
insert into rejects (collection, stream, run, window_start, window_end, position, reason, identity,
                     message, raw, first_seen, last_seen)
select collection, stream, run, window_start, window_end, position, reason, int4send(n), message,
       raw, first_seen, last_seen
from rejects, generate_series(1, 70) n where reject = $1
"""


def element(key: str) -> bytes:
    return (
        "<marc:record><marc:leader>00000nam a2200000   4500</marc:leader>"
        f'<marc:controlfield tag="001">{key}</marc:controlfield>'
        '<marc:datafield tag="245" ind1="1" ind2="0"><marc:subfield code="a">Kept &amp; read'
        "</marc:subfield></marc:datafield></marc:record>"
    ).encode()


@pytest.fixture
async def vendor() -> AsyncIterator[Watched]:
    """Return a vendor a fifth of whose records can't be stored."""
    bad = library(titles=60, bad=0.2, defects=[Defect.NO_001, Defect.BROKEN_XML])
    async with served(Watched([bad])) as vendor:
        yield vendor


@pytest.fixture
async def conn(database: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database)
    yield conn
    await conn.close()


@pytest.fixture
async def ids(
    installation: Installation, vendor: Watched, conn: asyncpg.Connection
) -> dict[str, list[int]]:
    """Return the numbers of the rejects that a sync left, by reason."""
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all", "--stream", "purchases")
    rows = await conn.fetch(
        "select reason, array_agg(reject order by reject) as ids from rejects group by reason"
    )
    found = {row["reason"]: row["ids"] for row in rows}
    assert all(len(each) > 1 for each in found.values()), found
    return found


async def test_a_list_says_where_each_reject_was_met_and_why_in_a_sentence(
    installation: Installation, ids: dict[str, list[int]]
):
    documents = (await installation.run("rejects", "list", "--json")).documents
    listed = await installation.run("rejects", "list")
    shown = await installation.run("rejects", "show", documents[0]["id"])
    terminal = await installation.run_on_a_terminal("rejects", "list", columns=160)
    dismissed = await installation.run("rejects", "dismiss", "--all")
    none = await installation.run("rejects", "list")
    no_such = await installation.run("rejects", "list", "--reason", "oversize_record")

    assert [
        [str(each["id"]), "springfield", each["window"], str(each["position"]), *each["why"]]
        for each in (
            row
            | {"window": f"{row['window_start']} .. {row['window_end']}"}
            | {"why": [row["reason"], row["message"]]}
            for row in documents
        )
    ] == [line.split("\t") for line in listed.out.splitlines()]
    assert all(re.fullmatch(r"The record .*\.", each["message"]) for each in documents)
    assert documents[0]["message"] == shown.out.splitlines()[1]
    assert "WINDOW (UTC)" in terminal.out
    assert (dismissed.code, none.out, none.err) == (0, "", "There are no open rejects.\n")
    assert no_such.err == "There are no such rejects.\n"


async def test_a_reject_is_shown_in_the_form_that_is_asked_for(
    installation: Installation, ids: dict[str, list[int]], conn: asyncpg.Connection
):
    number = ids["missing_control_number"][0]
    raw = await conn.fetchval("select raw from rejects where reject = $1", number)
    show = ("rejects", "show", number)

    text = await installation.run(*show)
    xml = await installation.run(*show, "--format", "marcxml")
    hexes = await installation.run(*show, "--format", "hex")
    bytes_ = await installation.run(*show, "--format", "raw")
    document = (await installation.run(*show, "--json")).document
    terminal = await installation.run_on_a_terminal(*show, "--format", "raw")

    assert text.out.startswith(f"Reject {number} of springfield, open\n")
    assert "\n=245  1" in text.out
    assert "\n=001" not in text.out
    assert xml.out.startswith('<record xmlns="http://www.loc.gov/MARC21/slim">\n  <leader>')
    assert '\n  <datafield tag="245" ind1="1" ind2="0">\n    <subfield code="a">' in xml.out
    assert xml.out.endswith("\n  </datafield>\n</record>\n")
    lines = [line.split("  ")[0].partition(": ") for line in hexes.out.splitlines()]
    assert raw == b"".join(bytes.fromhex(digits) for _, _, digits in lines)
    assert [f"{at:08x}" for at in range(0, len(raw), 16)] == [at for at, _, _ in lines]
    assert raw == bytes_.out.encode()
    assert raw == base64.b64decode(document["raw_base64"])
    assert any("245" in field for field in document["marc"]["fields"])
    assert raw.decode() in terminal.out.replace("\r\n", "\n")


async def test_what_cannot_be_read_is_shown_as_it_came_and_in_no_form_of_marc(
    installation: Installation, ids: dict[str, list[int]], conn: asyncpg.Connection
):
    number = ids["unreadable_record"][0]
    await conn.execute(READABLE, b"<marc:record>\x1b[31mred", number)
    show = ("rejects", "show", number)

    text = await installation.run_on_a_terminal(*show)
    piped = await installation.run(*show, "--format", "raw")
    document = (await installation.run(*show, "--json")).document
    refused = await installation.run(*show, "--format", "mnemonic")
    early = await first_line(installation, f"rejects show {number} --format hex")

    assert "<marc:record>\\x1b[31mred" in text.out
    assert piped.out == "<marc:record>\x1b[31mred"
    assert document["marc"] is None
    assert (refused.code, refused.out) == (2, "")
    assert "--format raw" in refused.err
    assert (early.code, early.err) == (0, "")
    assert early.out.startswith("00000000: 3c6d 6172")


@pytest.mark.parametrize(
    "words",
    [
        "show 1 --format pdf",
        "show 1 --format hex --json",
        "retry",
        "retry 1 --all",
        "retry 1 --reason unreadable_record",
        "retry --all --collection springfield",
        "retry --reason bad",
        "dismiss",
        "dismiss 1 --all",
        "dismiss one",
    ],
)
async def test_a_choice_that_has_no_meaning_is_exit_2(bare: Installation, words: str):
    ended = await bare.run("rejects", *words.split())

    assert (ended.code, ended.out) == (2, "")


async def test_a_retry_stores_what_can_be_read_now_and_says_what_only_the_vendor_can_mend(
    installation: Installation, ids: dict[str, list[int]], conn: asyncpg.Connection
):
    number, other = ids["unreadable_record"][:2]
    nameless = ids["missing_control_number"][0]
    before = len(await installation.stored())
    await conn.execute(READABLE, element("kept1"), number)

    one = await installation.run("rejects", "retry", number, nameless, "--json")
    again = await installation.run("rejects", "retry", number, "--json")
    table = await installation.run("rejects", "retry", "--reason", "missing_control_number")
    terminal = await installation.run_on_a_terminal("rejects", "retry", other)

    lines = {each["id"]: each for each in one.documents if each["type"] == "reject"}
    summary = one.documents[-1]
    assert one.code == 3
    assert all(each.keys() == FIELDS for each in lines.values())
    assert (lines[number]["became"], lines[number]["control_number"]) == ("stored", "kept1")
    assert (lines[nameless]["became"], lines[nameless]["reason"]) == (
        ("still_rejected", "missing_control_number")
    )
    assert (summary["type"], summary["outcome"], summary["new"], summary["rejected"]) == (
        ("summary", "succeeded", 1, 1)
    )
    assert len(await installation.stored()) == before + 1
    assert (again.code, again.document["became"]) == (0, "resolved_before")
    assert table.code == terminal.code == 3
    assert len(table.out.splitlines()) == len(ids["missing_control_number"])
    assert f"{nameless}\tspringfield\tstill rejected\tThe record has no control number" in table.out
    assert "only the vendor" in table.err
    assert "bibsync backfill" in terminal.out
    assert "BECAME" in terminal.out
    assert "run.ended" not in terminal.out


async def test_a_retry_goes_on_to_its_end_where_nobody_reads_on(
    installation: Installation, ids: dict[str, list[int]], conn: asyncpg.Connection
):
    """Two pages: the reader has gone long before the second is told."""
    number = ids["unreadable_record"][0]
    await conn.execute(READABLE, element("kept"), number)
    await conn.execute(SEVENTY_MORE, number)

    early = await first_line(installation, "rejects retry --reason unreadable_record --json")

    resolved = await conn.fetchval("select count(*) from rejects where state = 'resolved'")
    unended = await conn.fetchval("select count(*) from runs where finished is null")
    assert (early.code, early.out.count("\n")) == (0, 1)
    assert (resolved, unended) == (71, 0)


async def test_a_retry_beside_a_run_is_exit_11_and_changes_nothing(
    installation: Installation, vendor: Watched, ids: dict[str, list[int]]
):
    vendor.next_answers("springfield", ["timeout"])
    running = await installation.start("run-once", "--all", "--stream", "purchases")
    await vendor.asked(1)

    by_name = await installation.run("rejects", "retry", ids["unreadable_record"][0])
    under_all = await installation.run("rejects", "retry", "--all", "--json")
    running.send(signal.SIGTERM)
    await running.ended()

    assert (by_name.code, by_name.out) == (11, "")
    assert f"process {running.process.pid} on " in by_name.err
    assert (under_all.code, under_all.document["outcome"]) == (11, "locked")
    assert (under_all.document["run"], under_all.document["received"]) == (None, 0)


async def test_unknown_rejects_are_exit_10_and_the_known_ones_beside_them_stay(
    installation: Installation, ids: dict[str, list[int]]
):
    number = ids["missing_control_number"][0]

    ended = [
        await installation.run("rejects", command, number, wrong)
        for command, wrong in (("retry", 10**6), ("dismiss", 10**6), ("dismiss", 10**30))
    ]
    nobody = await installation.run("rejects", "dismiss", "--collection", "nobody")
    shown = await installation.run("rejects", "show", number, "--json")

    assert [10, 10, 10, 10] == [each.code for each in (*ended, nobody)]
    assert "There is no reject 1000000; nothing was changed." in ended[0].err
    assert (shown.document["state"], shown.document["attempts"]) == ("open", 1)


async def test_dismissed_rejects_stay_so_and_are_not_new_when_they_are_met_again(
    installation: Installation, ids: dict[str, list[int]]
):
    reason = ids["missing_control_number"]

    first = await installation.run("rejects", "dismiss", reason[0])
    rest = await installation.run(
        "rejects", "dismiss", "--reason", "missing_control_number", "--json"
    )
    again = await installation.run_on_a_terminal("rejects", "dismiss", *reason)
    run = await installation.run(
        "run-once", "--all", "--stream", "purchases", "--force-reimport", "--json"
    )
    early = await first_line(installation, "rejects list --state dismissed --json")

    assert (first.code, first.out) == (0, "")
    assert "1 reject dismissed." in first.err
    assert rest.document == {"dismissed": len(reason) - 1}
    assert "0 rejects dismissed." in again.out
    assert (run.code, run.document["new_rejects"]) == (0, 0)
    assert "missing_control_number" not in await installation.rejected()
    assert (early.code, early.err, early.out.count("\n")) == (0, "", 1)


@pytest.mark.parametrize("command", ["retry --all", "dismiss --all", "retry 1", "dismiss 1"])
async def test_where_nobody_set_up_anything_there_is_nothing_to_settle(
    bare: Installation, command: str
):
    ended = await bare.run("rejects", *command.split())

    assert (ended.code, ended.out) == (10 if command.endswith("1") else 0, "")
    assert ["bibsync.toml"] == bare.files()
    assert not re.search(r"Traceback|unexpected", ended.err)
