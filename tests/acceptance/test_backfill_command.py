"""bibsync backfill, as a process: a stretch of vendor time is read again, and only that."""

import signal
from datetime import timedelta

import asyncpg
import pytest
from installation import Installation
from watched import LONG_AGO, TODAY, Watched

SPAN = ("--since", f"{LONG_AGO}", "--until", f"{LONG_AGO + timedelta(days=2)}")
"""The first two days of the library's history."""


async def backfill(installation: Installation, *more: str, span: tuple[str, ...] = SPAN):
    return await installation.run("backfill", "--collection", "springfield", *span, *more)


async def value(database: str, sql: str) -> object:
    conn = await asyncpg.connect(database)
    try:
        return await conn.fetchval(sql)
    finally:
        await conn.close()


async def test_a_stretch_that_is_stored_is_read_again_and_no_other(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    everything = await installation.run("run-once", "--all", "--json")
    asked = vendor.requests

    ended = await backfill(installation, "--json")

    assert ended.code == 0
    document = ended.document
    assert 0 < document["unchanged"] < everything.document["received"]
    assert (document["new"], document["changed"]) == (0, 0)
    assert vendor.requests - asked == document["requests"]
    assert "backfill" == await value(database, "select kind from lanes where lane = 1")
    triggers = "select array_agg(distinct trigger) from runs where run > 2"
    assert ["backfill"] == await value(database, triggers)


async def test_a_backfill_that_was_stopped_goes_on_where_it_was(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections(windows_at_once=1))
    await installation.run("run-once", "--all")
    whole = ("--since", f"{LONG_AGO}", "--until", f"{TODAY}")
    vendor.next_answers("springfield", ["ok", "ok", "ok", "timeout"])
    running = await installation.start("backfill", "--collection", "springfield", *whole, "--json")
    await vendor.asked(4)

    running.send(signal.SIGTERM)
    stopped = await running.ended()
    again = await backfill(installation, "--json", span=whole)

    assert (stopped.code, stopped.document["outcome"]) == (143, "interrupted")
    assert (again.code, again.document["outcome"]) == (0, "succeeded")
    assert 1 == await value(database, "select count(*) from lanes where kind = 'backfill'")
    assert await value(database, "select closed_at is not null from lanes where lane = 1")
    received = stopped.document["received"] + again.document["received"]
    assert 120 <= received <= 120 + 50


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--since", "2d", "--until", "4d"), 2, "--since must be before --until."),
        (("--since", "yesterday", "--until", "1d"), 2, "'yesterday' is no date"),
        (("--since", "2d"), 2, "--until"),
    ],
    ids=["the wrong way round", "no date", "no end"],
)
async def test_a_stretch_that_is_none_is_wrong_usage(
    installation: Installation, vendor: Watched, words: tuple[str, ...], code: int, sentence: str
):
    installation.configure(vendor.collections())

    ended = await backfill(installation, span=words)

    assert (ended.code, ended.out, vendor.requests) == (code, "", 0)
    assert sentence in ended.err


async def test_an_unknown_collection_is_exit_10(installation: Installation, vendor: Watched):
    installation.configure(vendor.collections())

    ended = await installation.run("backfill", "--collection", "sprngfield", *SPAN)

    assert (ended.code, vendor.requests) == (10, 0)
    assert 'The configuration has: "springfield".' in ended.err


async def test_a_locked_collection_is_exit_11_and_nobody_is_asked(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "ok", "timeout"])
    first = await installation.start("run-once", "--all")
    await vendor.asked(3)

    ended = await backfill(installation, "--json")
    first.send(signal.SIGTERM)
    await first.ended()

    assert (ended.code, ended.document["outcome"]) == (11, "locked")
    assert f"process {first.process.pid} on " in ended.document["problem"]["message"]


async def test_on_a_terminal_it_shows_a_table_and_through_a_pipe_tabs(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    words = ("backfill", "--collection", "springfield", *SPAN)

    seen = await installation.run_on_a_terminal(*words)
    piped = await backfill(installation)

    assert (seen.code, piped.code) == (0, 0)
    assert "COLLECTION" in seen.out
    assert ["springfield", "purchases", "succeeded"] == piped.out.split("\t")[:3]
