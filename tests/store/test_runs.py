"""Runs and the list of titles to look up: what was done, and what is wanted."""

from datetime import UTC, datetime, timedelta

from bibsync.errors import SourceBusy
from bibsync.run import Outcome, Tally
from bibsync.store import Connection, runs, titles

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUSY = SourceBusy("busy", outcome="http_503").problem
Key = tuple[int, str]


async def start(conn: Connection, key: Key, *, epoch: int = 1, now: datetime = NOW) -> int:
    return await runs.start(conn, key, trigger="person", replica="host:7", epoch=epoch, now=now)


async def end(conn: Connection, key: Key, run: int, outcome: Outcome, **others: object) -> None:
    told = {"tally": Tally(), "caught_up_to": None, "problem": None, "now": NOW + HOUR} | others
    await runs.end(conn, key[0], run, outcome=outcome, **told)


async def test_a_run_is_ended_with_everything_it_counted(conn: Connection, key: Key):
    counts = {
        name: n
        for n, name in enumerate(
            ("windows", "blank", "pages", "requests", "retries", "received", "new", "changed",
             "unchanged", "rejected", "new_rejects", "doubles", "shifts"), start=1
        )
    }  # fmt: skip
    run = await start(conn, key)

    await end(
        conn, key, run, Outcome.PARTIAL, tally=Tally(**counts), caught_up_to=NOW, problem=BUSY
    )

    row = (await runs.latest(conn))[key]
    assert counts == {name: row[name] for name in counts}
    assert (run, "partial", NOW, NOW + HOUR, NOW) == (
        row["run"],
        row["outcome"],
        row["started"],
        row["finished"],
        row["caught_up_to"],
    )
    assert BUSY.as_json() == runs.problem(row)


async def test_a_run_that_never_ended_is_closed_by_the_next_epoch(conn: Connection, key: Key):
    killed = await start(conn, key, epoch=1)
    elsewhere = await start(conn, (key[0], "metadata"), epoch=1)

    await start(conn, key, epoch=2, now=NOW + HOUR)

    rows = await conn.fetch("select run, outcome, finished from runs where outcome is not null")
    assert [(killed, "interrupted", NOW + HOUR)] == [tuple(row) for row in rows]
    assert elsewhere != killed


async def test_the_latest_run_is_the_last_one_that_is_over(conn: Connection, key: Key):
    for epoch, outcome in enumerate((Outcome.SUCCEEDED, Outcome.FAILED), start=1):
        run = await start(conn, key, epoch=epoch, now=NOW + epoch * HOUR)
        await end(conn, key, run, outcome, now=NOW + epoch * HOUR)
    await start(conn, key, epoch=3, now=NOW + 9 * HOUR)

    latest = (await runs.latest(conn))[key]

    assert (latest["outcome"], runs.problem(latest)) == ("failed", None)
    assert {key: NOW + HOUR} == await runs.latest_success(conn)


async def test_a_title_is_wanted_once_and_since_the_first_time(conn: Connection, key: Key):
    await titles.want(conn, key[0], ["b", "a"], NOW)

    await titles.want(conn, key[0], ["c", "b"], NOW + HOUR)
    await titles.want(conn, key[0], [], NOW)

    rows = await conn.fetch("select control_number, wanted_since from titles order by 1")
    assert [tuple(row) for row in rows] == [("a", NOW), ("b", NOW), ("c", NOW + HOUR)]
