"""records waiting: which titles have no description yet, and why."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from closed_pipe import first_line
from installation import NOWHERE, Installation
from watched import Watched

ONE = {"name": "springfield", "library_id": "x", "base_url": NOWHERE}
WAITING = ("records", "waiting", "--collection", "springfield")
AT = datetime(2024, 5, 10, 12, tzinfo=UTC)
DUE = AT + timedelta(days=2)
ABSENT = "absent: the vendor's list \x1b[31mleaves it out"
INSERT = """
insert into titles (collection, control_number, wanted_since, due_at, problem)
select 1, 'n' || to_char(n, 'FM0000'), $1, $2, nullif($3, '') from generate_series(1, $4::int) n
"""


@pytest.fixture
async def listed(installation: Installation, database: str) -> Installation:
    """Return an installation in which `n0001` to `n1203` wait, `a` was never asked for."""
    installation.configure([ONE])
    conn = await asyncpg.connect(database)
    await conn.execute(
        "insert into collections (name, source, base_url, library_id, account_id)"
        " values ('springfield', 'bibliotheca', $1, 'x', 'partner')",
        NOWHERE,
    )
    await conn.execute(INSERT, AT, DUE, ABSENT, 1203)
    await conn.execute(
        "insert into titles (collection, control_number, wanted_since, due_at) values"
        " (1, 'a', $1, $1), (1, 'described', $1, null)",
        AT,
    )
    await conn.close()
    return installation


async def test_each_title_is_listed_with_when_it_is_due_and_why_it_waits(listed: Installation):
    document = await listed.run(*WAITING, "--json")
    piped = await listed.run(*WAITING)
    ruled = await listed.run_on_a_terminal(*WAITING)

    lines = [line.split("\t") for line in piped.out.splitlines()]
    assert [(0, "")] * 2 == [(each.code, each.err) for each in (document, piped)]
    assert [1204, 1204] == [len(document.documents), len(lines)]
    assert document.documents[:2] == [
        {
            "collection": "springfield",
            "control_number": "a",
            "wanted_since": "2024-05-10T12:00:00Z",
            "due": "2024-05-10T12:00:00Z",
            "reason": None,
        },
        {
            "collection": "springfield",
            "control_number": "n0001",
            "wanted_since": "2024-05-10T12:00:00Z",
            "due": "2024-05-12T12:00:00Z",
            "reason": ABSENT,
        },
    ]
    assert [4] == [*{len(line) for line in lines}]
    assert ["a", "not asked yet"] == [lines[0][0], lines[0][3]]
    assert ["n1203", ABSENT.replace("\x1b", "\\x1b")] == [lines[-1][0], lines[-1][3]]
    assert (ruled.code, "\x1b[31m" in ruled.out) == (0, False)
    assert "CONTROL NUMBER" in ruled.out
    assert "n1203" in ruled.out


async def test_where_nothing_waits_a_sentence_says_so_and_an_unknown_collection_is_exit_10(
    installation: Installation, bare: Installation
):
    nothing = []
    for each in (installation, bare):
        each.configure([ONE])
        nothing.append(await each.run(*WAITING, "--json"))
    unknown = await bare.run("records", "waiting", "--collection", "springfeld")

    assert [(0, "", "No title waits for a look-up.\n")] * 2 == [
        (each.code, each.out, each.err) for each in nothing
    ]
    assert (10, "") == (unknown.code, unknown.out)


async def test_whoever_reads_only_the_first_waiting_title_ends_it_quietly(listed: Installation):
    for more in ("", " --json"):
        ended = await first_line(listed, f"records waiting --collection springfield{more}")

        assert (0, "", 1) == (ended.code, ended.err, ended.out.count("\n"))


async def test_status_and_the_record_itself_say_that_it_waits(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections(name="The springfield"))
    named = ("--collection", "The springfield")
    await installation.run("run-once", "--all", "--stream", "purchases")
    waiting = await installation.run("records", "waiting", *named, "--json")
    number = waiting.documents[0]["control_number"]
    conn = await asyncpg.connect(database)
    await conn.execute("update titles set problem = $1 where control_number = $2", ABSENT, number)
    await conn.close()

    status = await installation.run("status")
    shown = await installation.run("records", "show", number, *named)
    other = await installation.run(
        "records", "show", waiting.documents[1]["control_number"], *named
    )
    await installation.run("run-once", "--all", "--stream", "metadata")
    after = await installation.run("records", "show", number, *named)

    assert 120 == len(waiting.documents)
    assert (
        "The springfield: 120 titles to be looked up; "
        "see: bibsync records waiting --collection 'The springfield'\n"
    ) in status.err
    assert "waits for a look-up since " in shown.out.splitlines()[-1]
    assert shown.out.endswith(f": {ABSENT}\n".replace("\x1b", "\\x1b"))
    assert other.out.endswith(": not asked yet\n")
    assert "waits for" not in after.out
