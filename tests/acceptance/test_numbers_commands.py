"""stats, snapshots and cleanup: what a person reads of them, asks for, and is asked."""

import asyncio
import os
import pty
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from installation import Installation
from watched import Watched

from bibsync import census
from bibsync.store import statistics

NINE_DAYS_OLD = "update collections set created_at = created_at - interval '9 days'"
AGED = """
insert into runs (collection, stream, trigger, replica, epoch, started, finished, outcome)
select collection, 'purchases', 'person', 'host:7', 1, at, at, 'succeeded'
from collections, generate_series(now() - interval '300 days', now() - interval '200 days',
                                  interval '10 days') at
"""
RUNS = "select count(*) from runs"
OLD = 10
"""How many runs of AGED may go: all but the first."""


@pytest.fixture
async def conn(database: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database)
    yield conn
    await conn.close()


@pytest.fixture
async def synced(
    installation: Installation, vendor: Watched, conn: asyncpg.Connection
) -> Installation:
    """Return an installation that has 120 records of a collection that began nine days ago."""
    installation.configure(vendor.collections())
    ended = await installation.run("run-once", "--all", "--stream", "purchases")
    assert ended.code == 0, ended.err
    await conn.execute(NINE_DAYS_OLD)
    return installation


async def test_stats_count_what_is_stored_and_what_was_done(synced: Installation):
    document = (await synced.run("stats", "--json")).document
    piped = await synced.run("stats")
    terminal = await synced.run_on_a_terminal("stats")

    assert 120 == document["totals"]["records"] == sum(f["records"] for f in document["formats"])
    assert 120 == document["activity"][-1]["new"]
    lines = [line.split("\t") for line in piped.out.splitlines()]
    assert ["collection", "springfield", "120"] == lines[0][:3]
    assert ["collection", "all", "120"] == lines[1][:3]
    assert {"collection", "format", "day"} == {line[0] for line in lines}
    assert 30 == sum(line[0] == "day" for line in lines)
    assert all(word in terminal.out for word in ("PRODUCTS", "ADDED", "UPDATED", "DELETED"))
    assert 1 == len(re.findall(r"^\d{4}-\d\d-\d\d ", terminal.out, re.MULTILINE))
    assert "Counted 0 s ago" in piped.err or "Counted 1 s ago" in piped.err


async def test_stats_are_the_kept_ones_with_their_age_until_fresh_ones_are_wanted(
    synced: Installation, conn: asyncpg.Connection
):
    hours_ago = datetime.now(UTC) - timedelta(hours=3, minutes=2)
    await statistics.keep(conn, await census.statistics(conn, now=hours_ago))
    await conn.execute("update records set format = 'VHS'")

    kept = await synced.run("stats")
    fresh = await synced.run("stats", "--fresh", "--json")
    again = await synced.run("stats", "--json")

    assert "Counted 3 h 2 min ago" in kept.err or "Counted 3 h 2 m ago" in kept.err
    assert "VHS" not in kept.out
    assert ["VHS"] == [each["format"] for each in fresh.document["formats"]]
    assert again.document["made_at"] < fresh.document["made_at"]


async def test_past_days_are_filled_listed_and_summed_up(synced: Installation):
    filled = await synced.run("snapshots", "fill", "--since", "3d", "--until", "0d")
    again = await synced.run("snapshots", "fill", "--since", "3d", "--until", "0d", "--json")
    listed = await synced.run("snapshots", "list")
    some = await synced.run("snapshots", "list", "--since", "2d", "--json")
    of_one = await synced.run("snapshots", "list", "--collection", "springfield", "--json")
    no_such = await synced.run("snapshots", "list", "--collection", "nowhere")
    terminal = await synced.run_on_a_terminal("snapshots", "list")
    summed = await synced.run("stats", "--since", "9d")
    document = (await synced.run("stats", "--until", "0d", "--json")).document

    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=back)).isoformat() for back in (3, 2, 1)]
    assert (0, "springfield\t3\t0\t0\n") == (filled.code, filled.out)
    assert (0, 3) == (again.document["taken"], again.document["taken_before"])
    assert [[day, "springfield", *["0"] * 8] for day in days] == [
        line.split("\t") for line in listed.out.splitlines()
    ]
    assert days[1:] == [each["day"] for each in some.documents]
    assert days == [each["day"] for each in of_one.documents]
    assert 10 == no_such.code
    assert days[0] in terminal.out
    assert "UPDATED" in terminal.out
    first, *_, last = summed.out.splitlines()
    assert "springfield\trecords\t3\t0\t0\t0.0\t0.0\t-" == first
    assert "all\tfailed\t3\t0\t0\t0.0\t0.0\t0" == last
    assert 3 == document["all"]["new"]["days"]


async def test_what_a_fill_can_not_know_is_said(synced: Installation, conn: asyncpg.Connection):
    await conn.execute("update collections set kept_since = now() - interval '1 day'")

    filled = await synced.run("snapshots", "fill", "--since", "3d", "--until", "0d")
    listed = await synced.run("snapshots", "list")

    assert "springfield: of 3 days some figures are unknown, because what is older" in filled.err
    assert ["0", "0", "-", "0", *["-"] * 4] == listed.out.splitlines()[0].split("\t")[2:]


@pytest.mark.parametrize(
    "words",
    [
        "stats --fresh --since 7d",
        "stats --since then",
        "stats --since 2024-01-02 --until 2024-01-02",
        "snapshots fill --since 7d",
        "snapshots fill --until 7d",
        "snapshots fill --since 1d --until 2d",
        "snapshots list --until never",
        "cleanup --days-to-keep 0",
        "cleanup --days-to-keep 36501",
    ],
)
async def test_wrong_words_are_exit_2(bare: Installation, words: str):
    ended = await bare.run(*words.split())

    assert (2, "") == (ended.code, ended.out)


@pytest.mark.parametrize(
    "words",
    ["stats", "stats --json", "stats --since 7d", "snapshots list", "snapshots list --json",
     "snapshots fill --since 7d --until 1d", "cleanup", "cleanup --dry-run --json"],
)  # fmt: skip
async def test_where_nobody_set_up_anything_there_is_nothing(bare: Installation, words: str):
    ended = await bare.run(*words.split())

    assert (0, "", ["bibsync.toml"]) == (ended.code, ended.out, bare.files())


async def test_cleanup_counts_first_and_deletes_without_a_question_through_a_pipe(
    synced: Installation, conn: asyncpg.Connection
):
    await conn.execute(AGED)
    before = await conn.fetchval(RUNS)

    dry = await synced.run("cleanup", "--dry-run", "--json")
    table = await synced.run("cleanup", "--dry-run")
    kept = await synced.run("cleanup", "--days-to-keep", "1000")
    there = await conn.fetchval(RUNS)
    done = await synced.run("cleanup", "--json")
    again = await synced.run("cleanup")

    assert (OLD, OLD, before) == (
        dry.document["counts"]["runs"],
        done.document["counts"]["runs"],
        there,
    )
    assert (True, False) == (dry.document["dry_run"], done.document["dry_run"])
    assert f"runs\t{OLD}" == table.out.splitlines()[0]
    assert "All that would be deleted: 180 days are kept" in table.err
    assert ["There is nothing to clean up.\n"] * 2 == [kept.err, again.err]
    assert before - OLD == await conn.fetchval(RUNS)
    assert 120 == len(await synced.stored())


async def test_the_configuration_says_how_long_things_are_kept(
    synced: Installation, conn: asyncpg.Connection
):
    await conn.execute(AGED)

    ended = await synced.run("cleanup", "--dry-run", "--json", BIBSYNC_CLEANUP__DAYS_TO_KEEP="245")

    assert (245, 5) == (ended.document["days_to_keep"], ended.document["counts"]["runs"])


@pytest.mark.parametrize(
    ("words", "answer", "gone"),
    [("", "y", OLD), ("", "maybe\nYES", OLD), ("", "n", 0), ("", "", 0), ("--yes", None, OLD)],
)
async def test_on_a_terminal_it_asks_first(
    synced: Installation, conn: asyncpg.Connection, words: str, answer: str | None, gone: int
):
    await conn.execute(AGED)
    before = await conn.fetchval(RUNS)

    code, seen = await answered(synced, ["cleanup", *words.split()], answer)

    assert (0, gone) == (code, before - await conn.fetchval(RUNS))
    assert (answer is not None) == ("Delete all that for good?" in seen)
    assert ("Nothing was deleted." in seen) == (gone == 0)


async def answered(
    installation: Installation, words: list[str], answer: str | None
) -> tuple[int, str]:
    """Run a command on a terminal where somebody types an answer."""
    ours, theirs = pty.openpty()
    if answer is not None:
        os.write(ours, f"{answer}\n".encode())
    process = await asyncio.create_subprocess_exec(
        *installation._words(words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=installation.folder,
        env=installation.environment() | {"TERM": "dumb"},
    )
    os.close(theirs)
    seen = await asyncio.to_thread(everything, ours)
    return await asyncio.wait_for(process.wait(), 60), seen


def everything(terminal: int) -> str:
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:
        pass
    finally:
        os.close(terminal)
    return b"".join(pieces).decode()
