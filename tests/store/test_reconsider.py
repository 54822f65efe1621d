"""Rejects read again: what can be stored now is, and nothing that is stored is replaced."""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

import pytest

from bibsync import lease, marc, reconsider, store
from bibsync.lease import PostgresLeases
from bibsync.reconsider import Ending, Fate, Means
from bibsync.record import Record
from bibsync.reject import Reason, Reject
from bibsync.run import Outcome, Summary
from bibsync.store import Connection, Pool, records, rejects, runs
from bibsync.store.records import Asked
from bibsync.store.rejects import Choice
from bibsync.window import Window

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=1), NOW)
EVERY = Choice()
Key = tuple[int, str]

HELD_UP = "select exists (select from pg_locks where not granted)"
TAKE_OVER_BEHIND_THE_FIRST_PAGE = """
create function take_over() returns trigger language plpgsql as $$
    begin update fences set epoch = epoch + 1; return null; end
$$;
create trigger take_over after update on rejects for each statement execute function take_over();
"""
"""What a later run does to the fence, in the moment in which the page is committed."""


class Told:
    """What a retry told: the endings by reject, and the summary."""

    def __init__(self) -> None:
        self.endings: dict[int, Ending] = {}
        self.summaries: list[Summary] = []

    def heard(self, endings: list[Ending]) -> None:
        self.endings |= {each.reject: each for each in endings}

    @property
    def fates(self) -> dict[int, Fate]:
        return {number: each.fate for number, each in self.endings.items()}

    @property
    def summary(self) -> Summary:
        [summary] = self.summaries
        return summary


def element(*numbers: str, title: str = "A title") -> bytes:
    controls = "".join(f'<m:controlfield tag="001">{each}</m:controlfield>' for each in numbers)
    return (
        f"<m:record><m:leader>00000nam a2200000   4500</m:leader>{controls}"
        '<m:datafield tag="245" ind1="1" ind2="0">'
        f'<m:subfield code="a">{title}</m:subfield></m:datafield></m:record>'
    ).encode()


async def kept(
    conn: Connection, key: Key, raw: bytes, reason: Reason = Reason.UNREADABLE_RECORD
) -> int:
    """Keep bytes as a reject, as a reader of old may have made it; return its number."""
    reject = Reject(reason, "is not readable MARC", raw, sha256(raw).digest(), 1)
    [row] = await rejects.store(conn, key, [reject], run=0, window=WINDOW, now=NOW)
    return row["reject"]


async def state(conn: Connection, number: int) -> tuple[object, ...]:
    row = await rejects.one(conn, number)
    return row["state"], row["attempts"], row["reason"], row["last_seen"]


async def titles(conn: Connection) -> dict[str, str]:
    return dict(await conn.fetch("select control_number, title from records"))


@pytest.fixture
def again(pool: Pool, key: Key):
    """Return the way to read rejects again, an hour later."""

    async def run(choice: Choice = EVERY) -> Told:
        told = Told()
        means = Means(
            pool=pool,
            leases=PostgresLeases(pool),
            heard=told.heard,
            ended=told.summaries.append,
            now=lambda: NOW + timedelta(hours=1),
            random=Random(0),
        )
        await reconsider.reconsider(key[0], "Springfield", choice, means)
        return told

    return run


async def test_what_can_be_read_now_is_stored_and_put_on_the_list_of_look_ups(
    conn: Connection, key: Key, again
):
    number = await kept(conn, key, element("k1"))

    told = await again()

    assert told.fates == {number: Fate.STORED}
    assert await titles(conn) == {"k1": "A title"}
    assert (await state(conn, number))[0] == "resolved"
    assert await conn.fetchval("select array_agg(control_number) from titles") == ["k1"]
    [run] = await runs.listed(conn)
    assert tuple(run[word] for word in ("outcome", "trigger", "received", "new", "requests")) == (
        "succeeded",
        "person",
        1,
        1,
        0,
    )
    assert (told.summary.run, told.summary.outcome) == (run["run"], Outcome.SUCCEEDED)


async def test_what_still_cannot_be_read_is_met_once_more_with_today_s_reason(
    conn: Connection, key: Key, again
):
    nameless = await kept(conn, key, element())
    broken = await kept(conn, key, b"<m:record><m:leader>")
    later = NOW + timedelta(hours=1)

    told = await again()

    assert told.fates == {nameless: Fate.STILL, broken: Fate.STILL}
    assert await state(conn, nameless) == ("open", 2, "missing_control_number", later)
    assert await state(conn, broken) == ("open", 2, "unreadable_record", later)
    assert "has no control number" in (await rejects.one(conn, nameless))["message"]
    tally = told.summary.tally
    assert (tally.received, tally.rejected, tally.new_rejects) == (2, 2, 0)


async def test_a_reject_keeps_its_reason_where_the_same_bytes_are_another_one(
    conn: Connection, key: Key, again
):
    """The vendor sent them again, and today's reader set them aside anew."""
    old = await kept(conn, key, element())
    new = await kept(conn, key, element(), Reason.MISSING_CONTROL_NUMBER)

    await again()

    reasons = [(await state(conn, number))[2] for number in (old, new)]
    assert reasons == ["unreadable_record", "missing_control_number"]


@pytest.mark.parametrize("asked", [Asked(7, 3), Asked(0, 0)], ids=["a run", "an earlier retry"])
async def test_a_record_that_is_stored_is_never_replaced_and_resolves_the_reject(
    conn: Connection, key: Key, again, asked: Asked
):
    [raw] = marc.cut(b'<m:collection xmlns:m="x">' + element("k1", title="B") + b"</m:collection>")
    record = marc.read(raw)
    assert isinstance(record, Record)
    await records.store(conn, key[0], [record], asked=asked, run=1, now=NOW)
    number = await kept(conn, key, element("k1", title="Of old"))

    told = await again()

    assert told.fates == {number: Fate.THERE}
    assert await titles(conn) == {"k1": "B"}
    assert (await state(conn, number))[0] == "resolved"
    assert told.summary.tally.unchanged == 1
    assert await conn.fetchval("select count(*) from record_versions") == 0


async def test_a_later_answer_replaces_what_a_retry_stored(conn: Connection, key: Key, again):
    await kept(conn, key, element("k1", title="Of old"))
    await again()

    [raw] = marc.cut(b'<m:collection xmlns:m="x">' + element("k1", title="B") + b"</m:collection>")
    await records.store(conn, key[0], [marc.read(raw)], asked=Asked(1, 1), run=9, now=NOW)

    assert await titles(conn) == {"k1": "B"}


@pytest.mark.parametrize("between", [0, reconsider.PAGE], ids=["one page", "two pages"])
async def test_of_two_rejects_with_one_control_number_the_newer_counts(
    conn: Connection, key: Key, again, between: int
):
    older = await kept(conn, key, element("k1", title="Older"))
    for number in range(between):
        await kept(conn, key, element(title=f"{number:040d}"))
    newer = await kept(conn, key, element("k1", title="Newest"))

    told = await again()

    assert told.fates | {newer: Fate.STORED, older: Fate.THERE} == told.fates
    assert await titles(conn) == {"k1": "Newest"}


async def test_more_than_a_page_is_read_to_the_end(conn: Connection, key: Key, again):
    for number in range(reconsider.PAGE + 7):
        await kept(conn, key, element(f"k{number}", title=f"{number:040d}"))

    told = await again()

    assert len(await titles(conn)) == reconsider.PAGE + 7
    assert told.summary.tally.pages == 2


async def test_a_record_that_postgresql_cannot_hold_costs_only_itself(
    conn: Connection, key: Key, again
):
    fine = await kept(conn, key, element("k1"))
    random = Random(1)
    name = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    unfit = await kept(conn, key, element(name, title="Unfit"))

    told = await again()

    assert told.fates == {fine: Fate.STORED, unfit: Fate.STILL}
    assert set(await titles(conn)) == {"k1"}
    assert (await state(conn, unfit))[:2] == ("open", 2)
    assert "PostgreSQL can't hold it" in (await rejects.one(conn, unfit))["message"]


async def test_only_the_chosen_ones_are_read(conn: Connection, key: Key, again):
    chosen = await kept(conn, key, element("k1", title="1"))
    await kept(conn, key, element("k2", title="2"))
    dismissed = await kept(conn, key, element("k3", title="3"))
    await rejects.dismiss(conn, Choice(numbers=(dismissed,)))

    by_reason = await again(Choice(reason="oversize_record"))
    by_number = await again(Choice(numbers=(chosen,)))
    open_ones = await again()
    named = await again(Choice(numbers=(dismissed,)))

    assert (by_reason.fates, by_number.fates) == ({}, {chosen: Fate.STORED})
    assert dismissed not in open_ones.fates
    assert named.fates == {dismissed: Fate.STORED}


async def test_a_dismissed_one_that_still_cannot_be_read_stays_dismissed(
    conn: Connection, key: Key, again
):
    number = await kept(conn, key, element())
    await rejects.dismiss(conn, Choice(numbers=(number,)))

    await again(Choice(numbers=(number,)))

    assert (await state(conn, number))[:2] == ("dismissed", 2)


async def test_a_locked_collection_is_left_alone(conn: Connection, pool: Pool, key: Key, again):
    number = await kept(conn, key, element("k1"))

    async with lease.hold(PostgresLeases(pool), key, ttl=timedelta(seconds=60), random=Random(0)):
        told = await again()

    problem = told.summary.problem
    assert (told.summary.outcome, told.summary.run, told.fates) == (Outcome.LOCKED, None, {})
    assert problem is not None
    assert "Another run is at it" in problem.message
    assert "--wait-lock" not in problem.remedy
    assert (await state(conn, number))[0] == "open"


async def test_a_deposed_retry_writes_no_more(conn: Connection, key: Key, again):
    for number in range(reconsider.PAGE + 1):
        await kept(conn, key, element(f"k{number:03d}", title=f"{number:040d}"))
    await conn.execute(TAKE_OVER_BEHIND_THE_FIRST_PAGE)

    told = await again()

    assert told.summary.outcome is Outcome.DEPOSED
    assert len(await titles(conn)) == len(told.fates) == reconsider.PAGE
    assert await conn.fetchval("select count(*) from rejects where state = 'open'") == 1


async def test_a_retry_that_is_stopped_says_so_and_leaves_the_rest_as_it_was(
    conn: Connection, pool: Pool, key: Key, again
):
    number = await kept(conn, key, element("k1"))

    async with store.acquire(pool) as other, other.transaction():
        await other.execute("lock table rejects in share mode")
        retry = asyncio.create_task(again(), name="retry")
        async with asyncio.timeout(10):
            while not await conn.fetchval(HELD_UP):
                pass
        retry.cancel()
        with pytest.raises(asyncio.CancelledError):
            await retry

    [run] = await runs.listed(conn)
    assert (run["outcome"], run["received"]) == ("interrupted", 0)
    assert await titles(conn) == {}
    assert (await state(conn, number))[:2] == ("open", 1)


async def test_a_run_of_retries_tells_nothing_of_the_vendor(conn: Connection, key: Key, again):
    """Neither a failure nor the last success is hidden behind it."""
    await kept(conn, key, element("k1"))

    await again()

    assert await runs.latest(conn) == {}
    assert await runs.latest_success(conn) == {}
    assert await runs.successes(conn) == {}
