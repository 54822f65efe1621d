"""The dispatch: what is asked for is carried out, once, whatever befalls a replica on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import structlog
from pydantic import SecretStr

from bibsync import census, dispatch, lease, store
from bibsync.dispatch import BACK_AGAIN, LOCKED_AGAIN, MOST_CLAIMS
from bibsync.errors import SourceRefused, StoreUnavailable
from bibsync.lease import PostgresLeases
from bibsync.run import PURCHASES
from bibsync.store import Pool, claims, firings, pauses, requests
from bibsync.store.requests import BULK, FIRST_FILL, LAST, SCHEDULED
from tests.harvest.world import MIDNIGHT, NOW, Script, busy
from tests.replica import WITHIN_S, Scene

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SPAN = {"since": MIDNIGHT, "until": NOW, "force_reimport": True, "lane": "backfill"}
KILL = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = current_database() and application_name = 'bibsync' "
    "and pid <> pg_backend_pid()"
)
KILL_WHO_SETTLES = f"{KILL} and wait_event_type = 'Lock' and query like '%attempts = attempts + 1%'"


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> Scene:
    scene = Scene(pool, tmp_path)
    await scene.enrol()
    return scene


@asynccontextmanager
async def held(scene: Scene, *names: str) -> AsyncIterator[dict[str, int]]:
    """Have these collections' runs stand still at their vendors while the block lasts."""
    numbers = {}
    for name in names:
        scene.vendors[name].open.clear()
        numbers[name] = await scene.ask(name)
        await scene.vendors[name].is_asked()
    try:
        yield numbers
    finally:
        for name in names:
            scene.vendors[name].open.set()


async def claimed(scene: Scene, name: str, token: str, replica: str, *, ttl: timedelta) -> None:
    """Claim what is due of a collection, as another process does."""
    await claims.claim(
        scene.pool,
        [scene.numbers[name]],
        priorities=(0, LAST),
        limit=1,
        holder=(token, replica),
        ttl=ttl,
    )


async def bulk_is_at_work(
    scene: Scene, *, until: datetime | None = None, stream: str = PURCHASES
) -> None:
    """Have another process at a re-import of the first collection."""
    number = await scene.ask("one", priority=BULK, **(SPAN | {"until": until}))
    await scene.execute("update requests set state = 'running'")
    await scene.execute(
        "insert into runs (collection, stream, trigger, replica, epoch, started, request) "
        "values ($1, $2, 'person', 'elsewhere', 9, now(), $3)",
        scene.numbers["one"],
        stream,
        number,
    )


@pytest.fixture
def logged() -> Iterator[list[dict]]:
    with structlog.testing.capture_logs() as logged:
        yield logged


def events(logged: list[dict]) -> list[str]:
    return [each["event"] for each in logged]


async def test_what_was_asked_for_is_done_and_told(scene: Scene):
    replica = scene.replica()
    async with replica.at_work():
        number = await scene.ask("one")

        assert ["succeeded"] == await scene.ended(number)

    row = await scene.row(number)
    assert scene.truth("one") == await scene.stored("one")
    assert [PURCHASES, "metadata"] == [each.stream for each in replica.summaries]
    assert row["run"] == replica.summaries[0].run
    assert row["holder"] is None


async def test_no_more_are_carried_out_at_once_than_there_are_places(scene: Scene):
    replica = scene.replica(concurrency=2)
    async with replica.at_work(), held(scene, "one", "two") as numbers:
        third = await scene.ask("three")

        await replica.dispatch.look()

        assert {*numbers.values()} == {*replica.dispatch.held}
        assert "waiting" == (await scene.row(third))["state"]
        scene.vendors["one"].open.set()
        assert ["succeeded"] == await scene.ended(third)


async def test_one_place_is_kept_from_bulk_work(scene: Scene):
    replica = scene.replica(concurrency=2)
    for each in scene.vendors.values():
        each.open.clear()
    async with replica.at_work():
        first = await scene.ask("one", priority=FIRST_FILL)
        second = await scene.ask("two", priority=BULK)
        await scene.vendors["one"].is_asked()
        await replica.dispatch.look()
        assert {first} == {*replica.dispatch.held}

        fresh = await scene.ask("three", priority=SCHEDULED)
        await scene.vendors["three"].is_asked()

        assert {first, fresh} == {*replica.dispatch.held}
        for each in scene.vendors.values():
            each.open.set()
        assert ["succeeded"] * 3 == await scene.ended(first, second, fresh)


async def test_the_only_place_is_for_bulk_work_too(scene: Scene):
    async with scene.replica(concurrency=1).at_work():
        assert ["succeeded"] == await scene.ended(await scene.ask("one", priority=BULK))


async def test_a_passing_failure_is_tried_again_and_then_left_for_later(scene: Scene):
    vendor = scene.vendors["one"]
    vendor.hook = lambda *_: raised(busy())
    async with scene.replica().at_work():
        number = await scene.ask("one", retries=1, retry_delay=timedelta(0))

        assert ["failed"] == await scene.ended(number)

    first, again = await scene.rows()
    assert (2, "source_busy") == (first["attempts"], _code(first["problem"]))
    assert ("person", "anna", "waiting", "one") == (
        again["trigger"], again["requested_by"], again["state"], again["name"],
    )  # fmt: skip
    assert timedelta(minutes=29) < again["due_at"] - datetime.now(UTC) < timedelta(minutes=31)
    assert len(vendor.asked) == 2


async def test_a_retry_waits_its_delay_and_as_long_as_the_vendor_is_to_be_left_alone(scene: Scene):
    """A run parks its stream for an hour at most after our present, which is long past at first."""
    scene.vendors["one"].hook = lambda *_: raised(busy())
    async with scene.replica().at_work():
        number = await scene.ask("one", retries=1, retry_delay=HOUR)

        row = await scene.until(number, lambda row: row["attempts"])

    assert "waiting" == row["state"]
    assert timedelta(minutes=59) < row["due_at"] - datetime.now(UTC) <= HOUR
    scene.vendors["one"].hook = lambda *_: raised(busy(retry_after=7200))
    parked = scene.replica()
    parked.dispatch.duty = replace(
        parked.dispatch.duty,
        means=replace(parked.dispatch.duty.means, now=lambda: datetime.now(UTC) + HOUR),
    )
    async with parked.at_work():
        await scene.execute("update requests set due_at = clock_timestamp(), retries = 9")
        scene.wake()
        row = await scene.until(number, lambda row: row["attempts"] == 2)
    assert row["due_at"] - datetime.now(UTC) > timedelta(minutes=110)


async def test_what_a_person_must_mend_is_not_tried_again(scene: Scene):
    scene.vendors["one"].hook = lambda *_: raised(SourceRefused("Who are you?"))
    async with scene.replica().at_work():
        number = await scene.ask("one", retries=3, retry_delay=timedelta(0))

        assert ["failed"] == await scene.ended(number)

    assert 1 == len(await scene.rows())


async def test_a_defect_is_a_problem_of_its_request_and_costs_no_other(
    scene: Scene, logged: list[dict]
):
    scene.vendors["one"].hook = lambda *_: raised(RuntimeError("a defect"))
    replica = scene.replica()
    async with replica.at_work(), held(scene, "two") as numbers:
        crashed = await scene.ask("one")
        assert ["failed"] == await scene.ended(crashed)

        scene.vendors["two"].open.set()
        after = await scene.ask("three")
        assert ["succeeded"] * 2 == await scene.ended(numbers["two"], after)

    assert "unexpected" == _code((await scene.row(crashed))["problem"])
    assert "request.crashed" in events(logged)


async def test_a_stream_that_another_run_holds_is_tried_again_soon(scene: Scene):
    leases = PostgresLeases(scene.pool)
    key, somebody = (scene.numbers["one"], PURCHASES), lease.this_process()
    await leases.take(key, somebody, ttl=HOUR)
    async with scene.replica().at_work():
        number = await scene.ask("one", expires_at=datetime.now(UTC) + HOUR)

        row = await scene.until(number, lambda row: row["claims"] == 0 and row["started"])

        assert ("waiting", 0) == (row["state"], row["attempts"])
        assert timedelta(0) < row["due_at"] - datetime.now(UTC) <= LOCKED_AGAIN
        assert [] == scene.vendors["one"].asked
        await leases.release(key, somebody)
        await scene.execute("update requests set due_at = clock_timestamp()")
        scene.wake()
        assert ["succeeded"] == await scene.ended(number)


async def test_a_stream_that_a_backfill_holds_needs_nothing_more(scene: Scene):
    key = (scene.numbers["one"], PURCHASES)
    await PostgresLeases(scene.pool).take(key, lease.this_process(), ttl=HOUR)
    await scene.execute(
        "insert into lanes (collection, stream, lane, kind, from_at, until_at) values "
        "($1, 'purchases', 0, 'live', $2, null), ($1, 'purchases', 1, 'backfill', $2, $3)",
        key[0],
        MIDNIGHT,
        NOW,
    )
    async with scene.replica().at_work():
        plain, span = await scene.ask("one"), await scene.ask("one", priority=BULK, **SPAN)

        assert ["absorbed"] == await scene.ended(plain)
        await scene.until(span, lambda row: row["started"] and row["state"] == "waiting")


async def test_a_backfill_of_the_past_that_holds_the_stream_is_waited_for(scene: Scene):
    key = (scene.numbers["one"], PURCHASES)
    await PostgresLeases(scene.pool).take(key, lease.this_process(), ttl=HOUR)
    await scene.execute(
        "insert into lanes (collection, stream, lane, kind, from_at, until_at, asked_until) "
        "values ($1, 'purchases', 0, 'live', $2, null, null), "
        "($1, 'purchases', 1, 'backfill', $2, $3, $3)",
        key[0],
        MIDNIGHT,
        NOW,
    )
    async with scene.replica().at_work():
        number = await scene.ask("one")

        await scene.until(number, lambda row: row["started"] and row["state"] == "waiting")


async def test_a_deposed_run_is_begun_anew(scene: Scene):
    vendor = scene.vendors["one"]
    vendor.before[1] = lambda: _depose(scene, "one")
    async with scene.replica().at_work():
        number = await scene.ask("one")
        await scene.until(number, lambda row: row["started"] and row["state"] == "waiting")
        await scene.execute("update requests set due_at = clock_timestamp()")
        scene.wake()

        assert ["succeeded"] == await scene.ended(number)

    assert scene.truth("one") == await scene.stored("one")


async def test_a_run_that_lost_the_database_goes_on_soon_and_that_is_no_attempt(scene: Scene):
    scene.vendors["one"].hook = Script([StoreUnavailable("It is gone.")])
    async with scene.replica().at_work():
        number = await scene.ask("one")
        row = await scene.until(number, lambda row: row["started"] and row["state"] == "waiting")
        assert 0 == row["attempts"]
        assert row["due_at"] - datetime.now(UTC) <= BACK_AGAIN
        await scene.execute("update requests set due_at = clock_timestamp()")
        scene.wake()

        assert ["succeeded"] == await scene.ended(number)

    assert 1 == len(await scene.rows())


async def test_a_paused_collection_is_left_alone(scene: Scene):
    await pauses.pause(scene.pool, [scene.numbers["one"]], until=None, reason=None, by="anna")
    async with scene.replica().at_work():
        number = await scene.ask("one")

        assert ["paused"] == await scene.ended(number)

    assert [] == scene.vendors["one"].asked


async def test_what_a_person_cancels_is_stopped_and_stays_so(scene: Scene):
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one", "two") as numbers:
        await requests.cancel(scene.pool, numbers["one"])
        await replica.dispatch.keep()

        assert ["cancelled"] == await scene.ended(numbers["one"])
        assert {numbers["two"]} == {*replica.dispatch.held}

    assert "interrupted" == await _last_run(scene, "one")
    assert "waiting" == (await scene.row(numbers["two"]))["state"]


async def test_what_was_cancelled_is_not_done_by_another_replica_either(scene: Scene):
    """The one that did it was stopped before it heard."""
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one") as numbers:
        await requests.cancel(scene.pool, numbers["one"])

    assert ["cancelled"] == await scene.ended(numbers["one"])


async def test_a_replica_that_is_stopped_gives_its_work_back_and_another_goes_on(scene: Scene):
    first, second = scene.replica(), scene.replica()
    async with first.at_work(), held(scene, "one") as numbers:
        pass
    given_back = await scene.row(numbers["one"])

    async with second.at_work():
        assert ["succeeded"] == await scene.ended(numbers["one"])

    assert ("waiting", None) == (given_back["state"], given_back["holder"])
    assert scene.truth("one") == await scene.stored("one")


async def test_a_second_stop_does_not_cut_off_how_the_first_is_noted(scene: Scene):
    """A heartbeat comes while the work is still being stopped."""
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one") as numbers:
        async with scene.pool.acquire() as conn, conn.transaction():
            await conn.execute("select from collections for update")
            await conn.execute("select from fences for update")
            await requests.cancel(scene.pool, numbers["one"])
            for _ in range(3):
                await replica.dispatch.keep()
                await conn.execute("select pg_sleep(0.05)")

        assert ["cancelled"] == await scene.ended(numbers["one"])
    assert "interrupted" == await _last_run(scene, "one")


async def test_what_was_begun_again_and_again_and_never_ended_is_given_up(scene: Scene):
    number = await scene.ask("one")
    await scene.execute("update requests set claims = $1", MOST_CLAIMS)
    async with scene.replica().at_work():
        assert ["failed"] == await scene.ended(number)

    assert [] == scene.vendors["one"].asked
    assert f"begun {MOST_CLAIMS} times" in (await scene.row(number))["problem"]


async def test_a_replica_that_is_gone_counts_as_a_begin_that_never_ended(scene: Scene):
    number = await scene.ask("one")
    for gone in range(MOST_CLAIMS):
        await claimed(scene, "one", f"gone {gone}", "elsewhere", ttl=-SECOND)
        async with scene.pool.acquire() as conn, conn.transaction():
            assert [number] == await claims.take_back(conn)

    async with scene.replica().at_work():
        assert ["failed"] == await scene.ended(number)


async def test_what_a_dead_process_of_this_machine_held_is_done_at_once(
    scene: Scene, logged: list[dict]
):
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    dead = replace(lease.this_process(), process=process.pid)
    number = await scene.ask("one")
    await claimed(scene, "one", lease.written(dead), dead.replica, ttl=HOUR)

    async with scene.replica().at_work():
        assert ["succeeded"] == await scene.ended(number)

    assert 1 == events(logged).count("request.taken_over")


async def test_who_holds_a_request_elsewhere_or_lives_keeps_it(scene: Scene):
    here = lease.this_process()
    holders = [here, replace(here, machine="elsewhere", process=1), "a word of an older version"]
    for name, holder in zip(scene.names, holders, strict=True):
        await scene.ask(name)
        token = holder if isinstance(holder, str) else lease.written(holder)
        await claimed(scene, name, token, "somebody", ttl=HOUR)

    await scene.replica().dispatch.look()

    assert ["running"] * 3 == [row["state"] for row in await scene.rows()]


async def test_what_the_database_refuses_each_time_fails_in_the_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """It answers, else nobody could note that: what it can't do isn't tried for ever."""

    async def refuse(_: object) -> dict:
        raise StoreUnavailable("The count takes too long.")

    monkeypatch.setattr(census, "renew", refuse)
    monkeypatch.setattr(dispatch, "BACK_AGAIN", timedelta(0))
    async with scene.replica().at_work():
        number = await scene.ask(None, job="statistics", retries=1, retry_delay=timedelta(0))

        assert ["failed"] == await scene.ended(number)

    row = await scene.row(number)
    assert (2, "database_unavailable") == (row["attempts"], _code(row["problem"]))


async def test_a_wait_for_another_run_is_told_once(
    scene: Scene, logged: list[dict], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch, "LOCKED_AGAIN", timedelta(0))
    holder = lease.this_process()
    where = PostgresLeases(scene.pool)
    key = (scene.numbers["one"], PURCHASES)
    await where.take(key, holder, ttl=HOUR)
    replica = scene.replica()
    async with replica.at_work():
        number = await scene.ask("one")
        for _ in range(3):
            await scene.until(number, lambda row: row["state"] == "running")
            await scene.until(number, lambda row: row["state"] == "waiting")
            scene.wake()
        await where.release(key, holder)
        scene.wake()
        assert ["succeeded"] == await scene.ended(number)

    [told] = [each for each in logged if each["event"] == "request.put_back"]
    assert "locked" == told["problem"]["code"]
    assert 1 == events(logged).count("request.ended")


async def test_what_expired_before_it_began_is_told(scene: Scene, logged: list[dict]):
    await scene.ask("one", expires_at=datetime.now(UTC) - SECOND)

    await scene.replica().dispatch.look()

    [told] = [each for each in logged if each["event"] == "request.dropped"]
    assert ("purchases", "one") == (told["job"], told["collection"])
    assert ["dropped"] == [row["outcome"] for row in await scene.rows()]


async def test_it_is_told_how_late_what_a_schedule_wants_was_begun(scene: Scene):
    late: list[timedelta] = []
    replica = scene.replica()
    replica.dispatch.begun = late.append
    async with replica.at_work():
        async with scene.pool.acquire() as conn:
            firing = await firings.fire(
                conn, "purchases", "purchases", slot=NOW, trigger="schedule", by="r1"
            )
        due = {"trigger": "schedule", "due_at": datetime.now(UTC) - HOUR}
        numbers = [
            await scene.ask("one", **due, firing=firing),
            await scene.ask("two", **due),
            await scene.ask("three"),
        ]
        await scene.ended(*numbers)

    [delay] = late
    assert HOUR <= delay < HOUR + WITHIN_S * SECOND


async def test_who_wants_the_new_days_has_them_of_bulk_work_under_way(
    scene: Scene, logged: list[dict]
):
    replica = scene.replica()
    async with replica.at_work():
        async with held(scene, "two"):
            scene.vendors["one"].open.clear()
            backfill = await scene.ask("one", priority=BULK, **(SPAN | {"until": None}))
            await scene.vendors["one"].is_asked()

            slot = await scene.ask("one", priority=SCHEDULED)
            part = await scene.ask("one", **(SPAN | {"force_reimport": False}))
            other = await scene.ask("two", priority=SCHEDULED)
            look_up = await scene.ask("one", job="metadata")
            assert ["absorbed"] == await scene.ended(slot)

            states = [(await scene.row(each))["state"] for each in (part, other, look_up)]
            assert ["waiting"] * 3 == states
            scene.vendors["one"].open.set()
        assert ["succeeded"] * 4 == await scene.ended(backfill, part, other, look_up)

    [told] = [each for each in logged if each.get("outcome") == "absorbed"]
    assert ("request.ended", slot, "one") == (told["event"], told["request"], told["collection"])


@pytest.mark.parametrize(
    ("but", "absorbed"),
    [
        ("nothing", True),
        ("its span is over", False),
        ("it is cancelled", False),
        ("it is at the look-ups", False),
        ("a person wants them", False),
    ],
)
async def test_new_days_are_read_by_somebody(scene: Scene, but: str, *, absorbed: bool):
    """Bulk work is under way when a slot comes."""
    await bulk_is_at_work(
        scene,
        until=NOW if but == "its span is over" else None,
        stream="metadata" if but == "it is at the look-ups" else PURCHASES,
    )
    await scene.execute("update requests set cancel_asked = $1", but == "it is cancelled")
    wanted = await scene.ask("one", priority=0 if but == "a person wants them" else SCHEDULED)

    async with scene.pool.acquire() as conn:
        ended = [row["request"] for row in await claims.absorb(conn)]

    assert ([wanted] if absorbed else []) == ended
    assert ("done" if absorbed else "waiting") == (await scene.row(wanted))["state"]


async def test_what_another_replica_is_just_claiming_is_not_absorbed(scene: Scene):
    await bulk_is_at_work(scene)
    wanted = await scene.ask("one", priority=SCHEDULED)

    async with (
        asyncio.timeout(WITHIN_S / 4),
        scene.pool.acquire() as other,
        scene.pool.acquire() as conn,
    ):
        async with other.transaction():
            await other.execute("select from requests where request = $1 for update", wanted)
            during = await claims.absorb(conn)
        after = await claims.absorb(conn)

    assert [] == during
    assert [wanted] == [row["request"] for row in after]


async def test_a_first_fill_that_failed_stays_bulk_work(scene: Scene):
    scene.vendors["one"].hook = lambda *_: raised(busy())
    async with scene.replica().at_work():
        assert ["failed"] == await scene.ended(await scene.ask("one", priority=FIRST_FILL))

    _, again = await scene.rows()
    assert FIRST_FILL == again["priority"]


async def test_replicas_never_do_one_collection_at_once(scene: Scene, logged: list[dict]):
    replicas = [scene.replica(concurrency=4) for _ in range(3)]
    numbers = [
        await scene.ask(name, job=job, **more)
        for name in scene.names
        for job, more in (
            ("purchases", {}),
            ("metadata", {}),
            ("purchases", {"priority": SCHEDULED, **SPAN}),
        )
    ]
    async with replicas[0].at_work(), replicas[1].at_work(), replicas[2].at_work():
        assert ["succeeded"] * 9 == await scene.ended(*numbers)

    assert {1} == {each.at_once for each in scene.vendors.values()}
    assert "request.put_back" not in events(logged)
    assert 15 == sum(each == "run.ended" for each in events(logged))


async def test_of_one_collection_one_request_is_claimed_at_a_time(scene: Scene):
    bulk = await scene.ask("one", priority=FIRST_FILL, **SPAN)
    wish = await scene.ask("one", job="metadata")
    scheduled = await scene.ask("one", priority=SCHEDULED)

    claimed = [
        row["request"]
        for row in await claims.claim(
            scene.pool,
            [*scene.numbers.values()],
            priorities=(0, LAST),
            limit=9,
            holder=("a", "b"),
            ttl=HOUR,
        )
    ]

    assert [wish] == claimed
    assert {"waiting"} == {(await scene.row(each))["state"] for each in (bulk, scheduled)}


async def test_a_claim_whose_answer_was_lost_is_claimed_anew(scene: Scene):
    """It is this replica's by its token, and this replica knows nothing of it."""
    replica = scene.replica()
    replica.expire_quickly(timedelta(0))
    number = await scene.ask("one")
    await claimed(scene, "one", replica.dispatch._token, replica.dispatch.replica, ttl=timedelta(0))

    await replica.dispatch.keep()
    replica.expire_quickly(HOUR)
    await replica.dispatch.keep()

    async with replica.at_work():
        assert ["succeeded"] == await scene.ended(number)


async def test_work_that_is_begun_while_a_heartbeat_is_under_way_goes_on(scene: Scene):
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one") as numbers:
        async with scene.pool.acquire() as conn, conn.transaction():
            await conn.execute("select from requests where request = $1 for update", numbers["one"])
            beat = asyncio.create_task(replica.dispatch.keep())
            scene.vendors["two"].open.clear()
            second = await scene.ask("two")
            await scene.vendors["two"].is_asked()
        await beat

        assert {numbers["one"], second} == {*replica.dispatch.held}
        scene.vendors["two"].open.set()
        assert ["succeeded"] == await scene.ended(second)
    assert 1 == (await scene.row(second))["claims"]


async def test_connections_that_are_cut_again_and_again_lose_nothing(scene: Scene):
    replica = scene.replica()
    async with replica.at_work():
        asked = []
        for _ in range(4):
            asked += [await scene.ask(name) for name in scene.names]
            async with store.acquire(scene.pool) as conn:
                await conn.execute(KILL)
        while any(each["state"] != "done" for each in await scene.rows()):
            await scene.execute("update requests set due_at = clock_timestamp()")
            scene.wake()
            await scene.pool.execute("select pg_sleep(0.05)")

    assert {"succeeded"} == {
        each["outcome"] for each in await scene.rows() if each["outcome"] != "absorbed"
    }
    for name in scene.names:
        assert scene.truth(name) == await scene.stored(name)


async def test_how_work_ended_is_noted_also_where_the_first_try_is_lost(scene: Scene):
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one") as numbers:
        async with scene.pool.acquire() as conn, conn.transaction():
            await conn.execute("select from requests for update")
            scene.vendors["one"].open.set()
            async with asyncio.timeout(WITHIN_S):
                while not await scene.pool.fetchval(KILL_WHO_SETTLES):
                    await conn.execute("select pg_sleep(0.01)")

        assert ["succeeded"] == await scene.ended(numbers["one"])
    assert 1 == (await scene.row(numbers["one"]))["claims"]


async def test_a_collection_that_is_changed_is_begun_anew_and_others_go_on(scene: Scene):
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one", "two") as numbers:
        stopped = await replica.dispatch.take_up(replica.duty(account_key=SecretStr("other")))
        await scene.vendors["one"].is_asked()

        assert ["one"] == stopped
        assert ["key", "other"] == scene.vendors["one"].keys
        assert ["key"] == scene.vendors["two"].keys
        for each in scene.vendors.values():
            each.open.set()
        assert ["succeeded"] * 2 == await scene.ended(*numbers.values())

    assert "interrupted" == await scene.pool.fetchval("select outcome from runs order by run")


async def test_a_collection_that_is_removed_is_stopped_and_its_requests_end(scene: Scene):
    replica = scene.replica()
    async with replica.at_work(), held(scene, "one", "two") as numbers:
        later = await scene.ask("one", **SPAN)
        await scene.enrol("two", "three")

        stopped = await replica.dispatch.take_up(replica.duty())

        assert ["one"] == stopped
        assert ["paused"] * 2 == await scene.ended(numbers["one"], later)
        scene.vendors["two"].open.set()
        assert ["succeeded"] == await scene.ended(numbers["two"])


async def test_what_is_claimed_while_its_collection_is_removed_is_no_defect(
    scene: Scene, logged: list[dict]
):
    replica = scene.replica()
    number = await scene.ask("one")
    async with scene.pool.acquire() as conn:
        [row] = await replica.dispatch._claim(conn)
    scene.names = ("two", "three")
    await replica.dispatch.take_up(replica.duty())

    async with replica.at_work():
        await asyncio.sleep(0)
        replica.dispatch._begin(row)
        assert ["paused"] == await scene.ended(number)

    assert "request.crashed" not in events(logged)


async def test_work_that_is_stopped_before_it_began_is_not_held_for_ever(scene: Scene):
    replica = scene.replica()
    number = await scene.ask("one")
    async with scene.pool.acquire() as conn:
        rows = await replica.dispatch._claim(conn)
    async with replica.at_work():
        await asyncio.sleep(0)
        replica.dispatch._begin(rows[0])
        await replica.dispatch.take_up(replica.duty(account_key=SecretStr("other")))

        await scene.pool.execute("select pg_sleep(0)")
        assert {} == replica.dispatch.held
        await scene.execute("update requests set held_until = clock_timestamp()")
        await replica.dispatch.keep()
        scene.wake()
        assert ["succeeded"] == await scene.ended(number)


def raised(error: Exception) -> None:
    raise error


async def _depose(scene: Scene, name: str) -> None:
    await scene.execute(
        "update fences set epoch = epoch + 1, holder = 'a later one' "
        "where (collection, stream) = ($1, $2)",
        scene.numbers[name],
        PURCHASES,
    )


async def _last_run(scene: Scene, name: str) -> str:
    return await scene.pool.fetchval(
        "select outcome from runs where collection = $1 order by run desc limit 1",
        scene.numbers[name],
    )


def _code(problem: str) -> str:
    return orjson.loads(problem)["code"]
