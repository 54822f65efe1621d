"""Requests: each is done by one replica, in order, and by another one where that goes away."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bibsync.collection import Collection, Sync
from bibsync.store import Connection, Pool, claims, collections, firings, requests
from bibsync.store.claims import Ended
from bibsync.store.requests import LAST, Terms, Wish

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
TTL = timedelta(minutes=1)
PERSON = Terms(trigger="person", by="anna")
SCHEDULED = Terms(trigger="schedule", by="schedule purchases", priority=requests.SCHEDULED)
SPAN = {"since": NOW - HOUR, "until": NOW, "force_reimport": True, "lane": "backfill"}


@pytest.fixture
async def conn(pool: Pool):
    async with pool.acquire() as conn:
        yield conn


@pytest.fixture
async def numbers(conn: Connection) -> list[int]:
    """Return the numbers of three collections."""
    each = [
        Collection(
            name=name,
            source="bibliotheca",
            library_id=name,
            account_id="partner",
            account_key="key",
            base_url="https://vendor.example/",
            sync=Sync(),
        )
        for name in ("one", "two", "three")
    ]
    return [*(await collections.enrol(conn, each)).values()]


async def ask(conn: Connection, collection: int | None, terms: Terms = PERSON, **more) -> int:
    wish = Wish(**{"job": "purchases", "collection": collection} | more)
    async with conn.transaction():
        return await requests.ask(conn, wish, terms)


async def claim(conn: Connection, numbers, holder: str = "a", **more) -> list[int]:
    options = {"priorities": (0, LAST), "limit": 10, "ttl": TTL} | more
    rows = await claims.claim(conn, numbers, holder=(holder, f"host:{holder}"), **options)
    return [row["request"] for row in rows]


async def state(conn: Connection, number: int) -> tuple[str, str | None]:
    row = await requests.one(conn, number)
    return row["state"], row["outcome"]


@pytest.mark.parametrize(
    ("first", "then", "whose"),
    [
        ((requests.WISHED, "anna", None), (requests.SCHEDULED, "schedule", HOUR), "anna"),
        ((requests.SCHEDULED, "schedule", HOUR), (requests.WISHED, "anna", None), "anna"),
        ((requests.WISHED, "anna", None), (requests.WISHED, "bert", None), "anna"),
    ],
)
async def test_who_asks_for_the_same_joins_and_a_persons_wish_stays_one(
    conn, numbers, first, then, whose
):
    asked = [
        await ask(
            conn,
            numbers[0],
            Terms(
                trigger="person" if by in {"anna", "bert"} else "schedule",
                by=by,
                priority=priority,
                expires_at=NOW + expires if expires else None,
            ),
        )
        for priority, by, expires in (first, then)
    ]

    row = await requests.one(conn, asked[0])
    assert asked[0] == asked[1]
    assert (whose, "person", requests.WISHED, None) == (
        row["requested_by"], row["trigger"], row["priority"], row["expires_at"],
    )  # fmt: skip


async def test_of_two_that_expire_the_later_counts(conn, numbers):
    for expires in (2 * HOUR, HOUR):
        terms = Terms(trigger="schedule", by="a schedule", expires_at=NOW + expires)
        number = await ask(conn, numbers[0], terms)

    assert NOW + 2 * HOUR == (await requests.one(conn, number))["expires_at"]


async def test_each_is_claimed_by_one_of_many_at_once(pool: Pool, conn, numbers):
    asked = {await ask(conn, number) for number in numbers}
    conns = [await pool.acquire() for _ in range(5)]

    claimed = await asyncio.gather(
        *(claim(each, numbers, str(n), limit=1) for n, each in enumerate(conns))
    )

    for each in conns:
        await pool.release(each)
    assert asked == {number for each in claimed for number in each}
    assert 3 == sum(map(len, claimed))


async def test_what_matters_comes_first_and_only_what_is_due_and_known(conn, numbers):
    one, two, three = numbers
    bulk = Terms(trigger="api", by="anna", priority=requests.BULK)
    backfill = await ask(conn, one, bulk, **SPAN)
    scheduled = await ask(conn, two, SCHEDULED)
    later = await ask(conn, three, due_at=NOW + HOUR)
    whole = await ask(conn, None, job="statistics")

    fresh = await claim(conn, [one, two], priorities=(0, requests.FIRST_FILL - 1))
    rest = await claim(conn, [one, two])

    assert [scheduled, whole] == sorted(fresh)
    assert [backfill] == rest
    assert ("waiting", None) == await state(conn, later)
    assert [] == await claim(conn, [])


async def test_a_collection_at_work_is_left_alone_and_so_is_a_job_about_all(conn, numbers):
    await ask(conn, numbers[0])
    await claim(conn, numbers)
    again = await ask(conn, numbers[0])
    await ask(conn, None, job="statistics")
    await claim(conn, numbers)
    await ask(conn, None, job="statistics")
    other = await ask(conn, None, job="snapshot")

    assert ("waiting", None) == await state(conn, again)
    assert [other] == await claim(conn, numbers)


async def test_of_what_is_wanted_anyway_one_that_waits_is_enough(conn, numbers):
    first = await ask(conn, numbers[0], SCHEDULED, due_at=NOW + HOUR)

    again = await ask(conn, numbers[0])
    spans = [await ask(conn, numbers[0], **SPAN) for _ in range(2)]

    assert first == again
    assert 3 == len({first, *spans})
    row = await requests.one(conn, first)
    assert ("person", 0) == (row["trigger"], row["priority"])
    assert row["due_at"] < NOW + HOUR


async def test_a_request_ends_once_and_for_its_holder_only(conn, numbers):
    number = await ask(conn, numbers[0])
    await claim(conn, numbers, "a")
    ended = Ended("failed", {"code": "source_busy"}, {"records": 3}, run=None)

    strange = await claims.settle(conn, number, "b", ended)
    first = await claims.settle(conn, number, "a", ended)
    second = await claims.settle(conn, number, "a", Ended("succeeded"))

    assert (False, True, False) == (strange, first, second)
    assert ("done", "failed") == await state(conn, number)


async def test_what_a_replica_that_is_gone_held_is_done_by_another(conn, numbers):
    number = await ask(conn, numbers[0])
    await claim(conn, numbers, "a", ttl=timedelta(seconds=-1))

    async with conn.transaction():
        back = await claims.take_back(conn)
    claimed = await claim(conn, numbers, "b")
    kept = await claims.keep(conn, "a", [number], ttl=TTL)

    assert [number] == back == claimed
    assert {} == kept
    assert not await claims.settle(conn, number, "a", Ended("succeeded"))


async def test_what_is_kept_is_not_taken_back(conn, numbers):
    number = await ask(conn, numbers[0])
    await claim(conn, numbers, "a", ttl=timedelta(seconds=-1))

    kept = await claims.keep(conn, "a", [number], ttl=TTL)
    async with conn.transaction():
        back = await claims.take_back(conn)

    assert ({number: False}, []) == (kept, back)


async def test_what_comes_back_gives_way_to_the_same_that_waits(conn, numbers):
    first = await ask(conn, numbers[0])
    await claim(conn, numbers, "a")
    second = await ask(conn, numbers[0])

    async with conn.transaction():
        back = await claims.put_back(conn, "a", [first], wait=timedelta(0))

    assert [] == back
    assert ("done", "absorbed") == await state(conn, first)
    assert ("waiting", None) == await state(conn, second)


async def test_what_is_put_back_waits_its_time_and_counts_its_attempts(conn, numbers):
    number = await ask(conn, numbers[0])
    await claim(conn, numbers, "a")

    async with conn.transaction():
        strange = await claims.put_back(conn, "b", [number], wait=HOUR, attempts=1)
        back = await claims.put_back(
            conn, "a", [number], wait=timedelta(0), attempts=1, earliest=NOW + HOUR
        )

    row = await requests.one(conn, number)
    assert ([], [number]) == (strange, back)
    assert (1, NOW + HOUR, None) == (row["attempts"], row["due_at"], row["holder"])
    assert [] == await claim(conn, numbers)


async def test_what_had_not_begun_by_its_time_is_dropped(conn, numbers):
    expired = Terms(trigger="schedule", by="schedule x", expires_at=NOW - HOUR)
    never_begun = await ask(conn, numbers[0], expired)
    begun = await ask(conn, numbers[1], Terms(trigger="schedule", by="x", expires_at=NOW + HOUR))
    await claim(conn, numbers, "a")
    async with conn.transaction():
        await claims.put_back(conn, "a", [begun], wait=timedelta(0))
    await conn.execute("update requests set expires_at = $2 where request = $1", begun, NOW - HOUR)

    dropped = await claims.drop_expired(conn)

    assert [never_begun] == [row["request"] for row in dropped]
    assert ("dropped", "dropped") == await state(conn, never_begun)
    assert [begun] == await claim(conn, numbers)


async def test_what_waits_is_cancelled_and_what_runs_is_told(conn, numbers):
    waiting, running = await ask(conn, numbers[0]), await ask(conn, numbers[1])
    await claim(conn, numbers[1:], "a")

    states = [await requests.cancel(conn, each) for each in (waiting, running)]
    again = await requests.cancel(conn, waiting)
    kept = await claims.keep(conn, "a", [running], ttl=TTL)

    assert ["cancelled", "running", None] == [*states, again]
    assert {running: True} == kept
    assert ("cancelled", "cancelled") == await state(conn, waiting)


@pytest.mark.parametrize(
    ("outcomes", "together"),
    [
        (["succeeded", "absorbed", "paused"], "succeeded"),
        (["succeeded", "failed"], "partial"),
        (["failed", "partial"], "failed"),
        (["dropped", "dropped"], "dropped"),
        ([], "absorbed"),
    ],
)
async def test_a_firing_ends_with_the_last_of_its_requests(conn, numbers, outcomes, together):
    firing = await firings.fire(conn, "s", "purchases", slot=None, trigger="schedule", by="r1")
    terms = Terms(trigger="schedule", by="schedule s", firing=firing)
    asked = [await ask(conn, number, terms) for number, _ in zip(numbers, outcomes, strict=False)]
    early = await firings.finish(conn)
    await conn.executemany(
        "update requests set state = 'done', outcome = $2 where request = $1",
        [*zip(asked, outcomes, strict=True)],
    )

    late = await firings.finish(conn)

    ended = (early or late)[0]
    assert (firing, "s", together) == (ended.firing, ended.schedule, ended.outcome)
    assert bool(early) == (not outcomes)
    assert [] == await firings.finish(conn)


async def test_a_slot_is_noted_once(conn):
    numbers = [
        await firings.fire(conn, "s", "purchases", slot=NOW, trigger="schedule", by=by)
        for by in ("r1", "r2")
    ]

    assert numbers[0] is not None
    assert numbers[1] is None
    assert ["r1"] == [row["fired_by"] for row in await firings.of(conn, "s", limit=9)]


async def test_collections_that_never_succeeded_are_asked_for_once(conn, numbers):
    await conn.execute(
        "insert into runs (collection, stream, trigger, replica, epoch, started, finished, outcome)"
        " values ($1, 'purchases', 'person', 'r', 1, now(), now(), 'succeeded')",
        numbers[0],
    )
    await ask(conn, numbers[1])
    await claim(conn, numbers)

    for _ in range(2):
        async with conn.transaction():
            await requests.ask_never_succeeded(conn, numbers, by="r1")

    waiting = await requests.listed(conn, ["waiting"], limit=10)
    assert [("three", "start")] == [(row["name"], row["trigger"]) for row in waiting]


async def test_a_first_fill_that_waits_for_later_is_brought_forward(conn, numbers):
    number = await ask(conn, numbers[0], SCHEDULED, due_at=NOW + HOUR)

    async with conn.transaction():
        await requests.ask_never_succeeded(conn, numbers[:1], by="r1")

    row = await requests.one(conn, number)
    assert row["due_at"] < NOW + HOUR
    assert 1 == len(await requests.listed(conn, ["waiting"], limit=10))
