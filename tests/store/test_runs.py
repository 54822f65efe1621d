"""Runs: what was done, and what came of it."""

from datetime import UTC, datetime, timedelta

from bibsync.errors import SourceBusy
from bibsync.run import Outcome, Summary, Tally
from bibsync.store import Connection, requests, runs

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
             "unchanged", "rejected", "new_rejects", "doubles", "shifts", "unanswered"), start=1
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


async def test_runs_are_listed_newest_first_and_by_what_is_asked(conn: Connection, key: Key):
    old = await start(conn, key, now=NOW)
    await end(conn, key, old, Outcome.FAILED, problem=BUSY)
    other = await start(conn, (key[0], "metadata"), now=NOW + HOUR)
    under_way = await start(conn, key, epoch=2, now=NOW + 2 * HOUR)

    async def listed(**chosen: object) -> list[int]:
        return [row["run"] for row in await runs.listed(conn, **chosen)]

    assert [under_way, other, old] == await listed()
    assert [under_way, other] == await listed(limit=2)
    assert [other] == await listed(stream="metadata")
    assert [old] == await listed(outcome="failed")
    assert [under_way, other] == await listed(outcome=runs.RUNNING)
    assert [under_way, other] == await listed(since=NOW + HOUR)
    assert [] == await listed(collection=key[0] + 1)


async def test_a_job_about_all_collections_is_listed_once_it_has_begun(conn: Connection, key: Key):
    run = await start(conn, key, now=NOW)
    terms = requests.Terms(trigger="schedule", by="schedule health")
    numbers = [
        await requests.ask(conn, requests.Wish(job=job), terms)
        for job in ("statistics", "health", "cleanup", "snapshot")
    ]
    waiting, failed, stopped, under_way = numbers
    state = "update requests set state = $2, outcome = $3, started = $4, finished = $5, result = $6"
    for number, *fields in (
        (failed, "done", "failed", NOW + HOUR, NOW + 2 * HOUR, '{"findings": []}'),
        (stopped, "cancelled", "cancelled", NOW + 2 * HOUR, NOW + 3 * HOUR, None),
        (under_way, "running", None, NOW + 3 * HOUR, None, None),
        (waiting, "waiting", None, NOW + 4 * HOUR, None, None),  # for another try
    ):
        await conn.execute(f"{state} where request = $1", number, *fields)

    async def listed(**chosen: object) -> list[int]:
        return [row["run"] for row in await runs.listed(conn, **chosen)]

    assert [under_way, stopped, failed, run] == await listed()
    assert [failed] == await listed(stream="health")
    assert [stopped] == await listed(outcome="interrupted")
    assert [under_way, run] == await listed(active=True)
    assert [run] == await listed(collection=key[0])
    row = await runs.one(conn, failed)
    document = runs.document(row)
    assert (None, "health", failed, "failed", 3600.0) == (
        document["collection"], document["stream"], document["id"], document["outcome"],
        document["duration_s"],
    )  # fmt: skip
    assert {"findings": []} == runs.result(row)
    assert await runs.one(conn, waiting) is None
    assert runs.result(await runs.one(conn, run)) is None


async def test_a_run_under_way_has_no_outcome_no_end_and_no_duration(conn: Connection, key: Key):
    run = await start(conn, key)

    document = runs.document(await runs.one(conn, run))

    assert (document["id"], document["run"], document["started"]) == (
        (run, run, "2024-03-10T12:00:00Z")
    )
    assert [document[word] for word in ("outcome", "finished", "duration_s")] == [None] * 3


async def test_a_run_s_document_has_all_that_a_summary_has(conn: Connection, key: Key):
    run = await start(conn, key)
    await end(conn, key, run, Outcome.SUCCEEDED, tally=Tally(requests=2, new=1))
    made = Summary(
        collection="Springfield",
        stream=key[1],
        run=run,
        outcome=Outcome.SUCCEEDED,
        tally=Tally(requests=2, new=1),
        caught_up_to=None,
        duration_s=3600.0,
        problem=None,
    )

    document = runs.document(await runs.one(conn, run))

    assert made.as_json() == {name: document[name] for name in made.as_json()}


async def test_a_run_that_asked_nobody_hides_neither_failure_nor_success(
    conn: Connection, key: Key
):
    """It read rejects again: of the vendor it knows nothing."""
    failed = await start(conn, key, epoch=1)
    await end(conn, key, failed, Outcome.FAILED, tally=Tally(requests=1), problem=BUSY)
    reading = await start(conn, key, epoch=2, now=NOW + HOUR)
    await end(conn, key, reading, Outcome.SUCCEEDED, tally=Tally(received=1, new=1))

    assert failed == (await runs.latest(conn))[key]["run"]
    assert {} == await runs.latest_success(conn)
    assert {} == await runs.successes(conn)


async def test_the_first_and_the_last_success_are_those_of_purchases(conn: Connection, key: Key):
    for epoch in range(3):
        run = await start(conn, key, epoch=epoch, now=NOW + epoch * HOUR)
        await end(conn, key, run, Outcome.SUCCEEDED, now=NOW + epoch * HOUR)
    looked_up = await start(conn, (key[0], "metadata"))
    await end(conn, key, looked_up, Outcome.SUCCEEDED, now=NOW + 9 * HOUR)

    assert {key[0]: (NOW, NOW + 2 * HOUR)} == await runs.successes(conn)
