"""What can be changed: each change is made once, and what is refused has changed nothing."""

import asyncio
from datetime import datetime, timedelta
from random import Random
from urllib.parse import quote

import pytest
from spoken import MAIN, ODD, Api, StandIn, opened, until
from stock import element, set_aside

from bibsync import lease, store
from bibsync.lease import PostgresLeases
from bibsync.reject import Reason
from bibsync.run import METADATA, PURCHASES
from bibsync.store import (
    Connection,
    Pool,
    claims,
    collections,
    pauses,
    rejects,
    requests,
    schedules,
)
from bibsync.store.requests import BULK, LAST

RUN = f"/v1/collections/{MAIN}/run"
PAUSE = f"/v1/collections/{MAIN}/pause"
RESUME = f"/v1/collections/{MAIN}/resume"
RETRY = "/v1/rejects/retry"
HOUR = timedelta(hours=1)
LOCKED_OUT = "select exists (select from pg_locks where not granted)"


async def waiting(conn: Connection) -> list:
    return await requests.listed(conn, ["waiting"], limit=100)


@pytest.fixture
async def held(pool: Pool, main: int):
    """Let a run of the collection's purchases be under way."""
    leases = PostgresLeases(pool)
    async with lease.hold(leases, (main, PURCHASES), ttl=HOUR, random=Random(0)) as tenure:
        yield tenure.holder


async def test_a_run_is_asked_for_and_can_be_looked_up(
    api: Api, daemon: StandIn, conn: Connection, main: int
):
    daemon.dispatch.woken.clear()

    got = await api.post(RUN, X_Requested_By="anna")

    assert 202 == got.status
    assert f"/v1/requests/{got.document['id']}" == got.headers["Location"]
    assert got.document == await api.get(got.headers["Location"])
    [row] = await waiting(conn)
    assert (main, PURCHASES, "api", "anna (api 127.0.0.1)", 0) == (
        row["collection"], row["job"], row["trigger"], row["requested_by"], row["priority"],
    )  # fmt: skip
    assert daemon.dispatch.woken.is_set()


async def test_a_run_takes_what_run_once_takes(api: Api, conn: Connection):
    body = {"since": "7d", "until": "2999-01-01T01:00:00+01:00", "force_reimport": True}
    path = f"/v1/collections/{quote(ODD, safe='')}/run"

    spanned = await api.post(path, body)
    look_ups = await api.post(path, {"stream": "metadata"})

    now = await store.clock(conn)
    [first, second] = [await requests.one(conn, got.document["id"]) for got in (spanned, look_ups)]
    assert abs(now - 7 * 24 * HOUR - first["since"]) < HOUR
    assert datetime.fromisoformat("2999-01-01T00:00:00Z") == first["until"]
    assert (True, BULK) == (first["force_reimport"], first["priority"])
    assert (METADATA, ODD) == (second["job"], second["name"])


async def test_wishes_for_the_same_are_one_while_it_waits(api: Api):
    first, second = await api.post(RUN), await api.post(RUN)

    assert first.document["id"] == second.document["id"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"steam": "purchases"}, 'steam is unknown; did you mean "stream"?'),
        ({"stream": "events"}, 'stream is "events"'),
        ({"stream": 7}, "stream must be"),
        ({"since": 7}, "since must be text"),
        ({"since": "soon"}, "since: 'soon' is no date."),
        ({"force_reimport": "yes"}, "force_reimport must be true or false"),
        ({"force_reimport": 1, "queue": 2}, "queue must be true or false"),
        ({"since": "2024-01-02", "until": "2024-01-01"}, "since must be before until"),
        ({"stream": "metadata", "since": "7d"}, "are about purchases"),
        ({"a\nb" * 100: 1}, "is unknown"),
    ],
)
async def test_a_wish_without_a_meaning_is_refused(
    api: Api, conn: Connection, body: dict, told: str
):
    got = await api.post(RUN, body)

    assert (422, "usage") == (got.status, got.code)
    assert told in got.document["detail"]
    assert len(got.document["detail"]) < 400
    assert [] == await waiting(conn)


async def test_a_run_under_way_is_named_and_may_be_waited_for(api: Api, conn: Connection, held):
    refused = await api.post(RUN)
    before = await waiting(conn)
    other_stream = await api.post(RUN, {"stream": "metadata"})
    queued = await api.post(RUN, {"queue": True})

    assert (409, "locked", held.replica) == (
        refused.status,
        refused.code,
        refused.document["holder"],
    )
    assert datetime.fromisoformat(refused.document["since"])
    assert [] == before
    assert [202, 202] == [other_stream.status, queued.status]


async def test_a_paused_collection_is_left_alone_and_then_goes_on(
    api: Api, conn: Connection, main: int
):
    paused = await api.post(PAUSE, {"reason": "vendor maintenance", "for": "6h"})
    refused = await api.post(RUN)
    status = await api.get("/v1/status")
    resumed = await api.post(RESUME)
    again = await api.post(RESUME, {"reason": "it is over"})

    lasting = datetime.fromisoformat(paused.document["until"]) - await store.clock(conn)
    assert timedelta(hours=5) < lasting < timedelta(hours=6)
    assert (409, "paused") == (refused.status, refused.code)
    assert "vendor maintenance" in refused.document["detail"]
    assert "paused" == status["collections"][0]["health"]
    assert (True, False) == (resumed.document["was_paused"], again.document["was_paused"])
    assert [] == await waiting(conn)
    assert 202 == (await api.post(RUN)).status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PAUSE, {"for": "long"}),
        (PAUSE, {"reason": "a\nb"}),
        (PAUSE, {"reason": "x" * 501}),
        (PAUSE, {"reason": 5}),
        (PAUSE, {"until": "tomorrow"}),
        (RESUME, {"for": "6h"}),
    ],
)
async def test_a_pause_without_a_meaning_is_refused(
    api: Api, conn: Connection, path: str, body: dict
):
    got = await api.post(path, body)

    assert (422, "usage") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_a_collection_that_left_the_configuration_is_left_alone(
    api: Api, daemon: StandIn, conn: Connection
):
    async with conn.transaction():
        await collections.enrol(conn, daemon.config.collections[1:])

    run, pause = await api.post(RUN), await api.post(PAUSE)

    assert [(409, "paused")] * 2 == [(run.status, run.code), (pause.status, pause.code)]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/collections/nowhere/run", None),
        ("POST", "/v1/collections/nowhere/pause", None),
        ("POST", "/v1/collections/nowhere/resume", None),
        ("PATCH", "/v1/schedules/nowhere", {"enabled": False}),
        ("POST", "/v1/schedules/nowhere/run", None),
        ("DELETE", "/v1/requests/99", None),
        ("POST", RETRY, {"ids": [99]}),
        ("POST", RETRY, {"collection": "nowhere"}),
    ],
)
async def test_what_is_not_there_cannot_be_changed(
    api: Api, method: str, path: str, body: dict | None
):
    got = await api(method, path, body)

    assert (404, "not_found") == (got.status, got.code)


async def test_a_schedule_is_edited_and_the_next_slot_follows(api: Api, conn: Connection):
    body = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "expires": "2h", "retries": 2}

    got = await api("PATCH", "/v1/schedules/purchases", body, X_Requested_By="anna")
    off = await api("PATCH", "/v1/schedules/purchases", {"enabled": False})

    told = got.document
    assert ("30 2 * * *", "Europe/Berlin", "2h", 2, "edited", "anna (api 127.0.0.1)") == (
        told["cron"], told["timezone"], told["expires"], told["retries"], told["origin"],
        told["edited_by"],
    )  # fmt: skip
    assert "0 4 * * *" == told["configured"]["cron"]
    assert (False, None) == (off.document["enabled"], off.document["next_due"])
    [row] = [row for row in await schedules.all_rows(conn) if row.name == "purchases"]
    assert "30 2 * * *" == row.terms.cron


async def test_a_schedule_is_made_where_a_job_is_named(api: Api):
    name = quote("tonight / Süd", safe="")
    body = {"job": "snapshot", "at": "2099-12-24T22:00:00"}

    got = await api("PATCH", f"/v1/schedules/{name}", body)

    assert ("tonight / Süd", "2099-12-24T22:00:00Z") == (got.document["name"], got.document["at"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "nothing to change"),
        ({"cron": "every day"}, "cron "),
        ({"crom": "0 4 * * *"}, 'crom is unknown; did you mean "cron"?'),
        ({"timezone": "Mars/Olympus", "expires": 5}, "timezone is "),
        ({"timezone": "Mars/Olympus", "expires": 5}, "expires is "),
        ({"enabled": "no"}, "enabled must be true or false"),
        ({"cron": "0 4 * * *", "at": "2999-01-01T00:00:00"}, "exclude each other"),
        ({"collections": "main"}, "collections must be a list"),
        ({"retries": None}, "retries must be a whole number"),
    ],
)
async def test_an_edit_without_a_meaning_is_refused(
    api: Api, conn: Connection, body: dict, told: str
):
    before = await schedules.all_rows(conn)

    got = await api("PATCH", "/v1/schedules/purchases", body)

    assert (422, "usage") == (got.status, got.code)
    assert told in got.document["detail"]
    assert before == await schedules.all_rows(conn)


async def test_a_schedule_is_fired_beside_its_times(api: Api, conn: Connection):
    got = await api.post("/v1/schedules/purchases/run")
    alone = await api.post("/v1/schedules/cleanup/run")

    assert 202 == got.status
    assert {row["request"] for row in await waiting(conn)} == {
        *got.document["requests"],
        *alone.document["requests"],
    }
    assert 2 == len(got.document["requests"])
    assert f"/v1/requests/{alone.document['requests'][0]}" == alone.headers["Location"]


async def test_what_waits_is_cancelled_and_what_runs_is_stopped(
    api: Api, conn: Connection, main: int
):
    waits = (await api.post(RUN)).document["id"]
    cancelled = await api("DELETE", f"/v1/requests/{waits}")
    again = await api("DELETE", f"/v1/requests/{waits}")
    runs = (await api.post(RUN)).document["id"]
    await claims.claim(
        conn, [main], priorities=(0, LAST), limit=1, holder=("token", "here:1"), ttl=HOUR
    )
    stopping = await api("DELETE", f"/v1/requests/{runs}")

    assert (200, "cancelled") == (cancelled.status, cancelled.document["state"])
    assert (409, "ended") == (again.status, again.code)
    assert "cancelled" == again.document["request"]["state"]
    assert (202, "running", True) == (
        stopping.status,
        stopping.document["state"],
        stopping.document["cancel_asked"],
    )


async def test_rejects_are_read_again(api: Api, conn: Connection, main: int):
    readable = await set_aside(conn, main, element("k1"))
    hopeless = await set_aside(conn, main, element(), reason=Reason.MISSING_CONTROL_NUMBER)

    got = await api.post(RETRY, {"collection": MAIN})
    again = await api.post(RETRY, {"ids": [readable]})

    became = {each["id"]: each["became"] for each in got.document["rejects"]}
    assert {readable: "stored", hopeless: "still_rejected"} == became
    [summary] = got.document["summaries"]
    assert (2, 1, 1) == (summary["received"], summary["new"], summary["rejected"])
    assert [readable] == again.document["resolved_before"]
    assert "api" == (await api.get(f"/v1/runs/{summary['run']}"))["trigger"]
    assert "resolved" == (await rejects.one(conn, readable))["state"]


async def test_rejects_of_one_reason_are_read_again(api: Api, conn: Connection, main: int):
    chosen = await set_aside(conn, main, element("k1"))
    await set_aside(conn, main, element("k2"), reason=Reason.MULTIPLE_CONTROL_NUMBERS)

    got = await api.post(RETRY, {"reason": "unreadable_record"})

    assert [chosen] == [each["id"] for each in got.document["rejects"]]


async def test_rejects_of_a_collection_that_is_synced_wait(
    api: Api, conn: Connection, main: int, held
):
    number = await set_aside(conn, main, element("k1"))

    got = await api.post(RETRY, {"ids": [number]})

    assert (409, "locked") == (got.status, got.code)
    assert "open" == (await rejects.one(conn, number))["state"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": "1"},
        {"ids": [1.5]},
        {"ids": [True]},
        {"ids": [0]},
        {"ids": [2**70]},
        {"ids": [1], "collection": MAIN},
        {"reason": "bad"},
        {"all": True},
    ],
    ids=str,
)
async def test_a_choice_of_rejects_without_a_meaning_is_refused(
    api: Api, conn: Connection, main: int, body: dict
):
    number = await set_aside(conn, main, element("k1"))

    got = await api.post(RETRY, body)

    assert (422, "usage") == (got.status, got.code)
    assert "open" == (await rejects.one(conn, number))["state"]


async def test_one_key_is_one_change(api: Api, conn: Connection):
    first = await api.post("/v1/schedules/cleanup/run", Idempotency_Key="k1")
    await conn.execute("update requests set state = 'done', finished = clock_timestamp()")
    again = await api.post("/v1/schedules/cleanup/run", Idempotency_Key="k1")
    another = await api.post("/v1/schedules/cleanup/run", Idempotency_Key="k2")

    assert first.body == again.body != another.body
    assert (first.status, first.headers["Location"]) == (again.status, again.headers["Location"])
    assert (None, "true") == tuple(got.headers.get("Idempotent-Replayed") for got in (first, again))
    assert 2 == await conn.fetchval("select count(*) from firings")


async def test_many_at_once_with_one_key_are_one_change(api: Api, conn: Connection):
    path = "/v1/schedules/cleanup/run"

    answers = await asyncio.gather(*(api.post(path, Idempotency_Key="k1") for _ in range(6)))

    assert 1 == len({(got.status, got.body) for got in answers})
    assert 5 == sum("Idempotent-Replayed" in got.headers for got in answers)
    assert 1 == await conn.fetchval("select count(*) from firings")


async def test_a_key_belongs_to_its_request(api: Api, conn: Connection):
    await api.post(PAUSE, {"reason": "one"}, Idempotency_Key="k1")

    body = await api.post(PAUSE, {"reason": "two"}, Idempotency_Key="k1")
    path = await api.post(RESUME, {"reason": "one"}, Idempotency_Key="k1")

    assert [(422, "key_reused")] * 2 == [(got.status, got.code) for got in (body, path)]
    [pause] = (await pauses.in_force(conn)).values()
    assert "one" == pause.reason


async def test_a_refusal_is_not_kept(api: Api, conn: Connection):
    await api.post(PAUSE)
    refused = await api.post(RUN, Idempotency_Key="k1")
    await api.post(RESUME)

    got = await api.post(RUN, Idempotency_Key="k1")

    assert [409, 202] == [refused.status, got.status]


async def test_a_key_is_forgotten_after_a_day(api: Api, conn: Connection):
    path = "/v1/schedules/cleanup/run"
    await api.post(path, Idempotency_Key="k1")
    await conn.execute("update idempotency_keys set kept_since = kept_since - interval '25 hours'")

    again = await api.post(path, Idempotency_Key="k1")
    replayed = await api.post(path, Idempotency_Key="k1")

    assert 2 == await conn.fetchval("select count(*) from firings")
    assert again.body == replayed.body


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
async def test_a_key_that_cannot_be_kept_is_refused(api: Api, conn: Connection, key: str):
    got = await api.post(PAUSE, Idempotency_Key=key)

    assert (400, "key_unfit") == (got.status, got.code)
    assert {} == await pauses.in_force(conn)


async def test_a_change_and_its_kept_answer_are_one(api: Api, conn: Connection):
    """Neither is there without the other, whatever breaks between them."""
    await conn.execute("alter table idempotency_keys add check (key <> 'k1')")

    broken = await api.post(PAUSE, Idempotency_Key="k1")

    assert (500, "unexpected") == (broken.status, broken.code)
    assert {} == await pauses.in_force(conn)


async def test_a_client_that_goes_away_leaves_nothing_half_done(
    daemon: StandIn, conn: Connection, pool: Pool
):
    async with opened(daemon) as api:
        async with conn.transaction():
            await conn.execute("lock table collections")
            asking = asyncio.create_task(api.post(PAUSE, Idempotency_Key="k1"))
            await until(pool, LOCKED_OUT)
            asking.cancel()
            await until(pool, f"select not ({LOCKED_OUT})")
        assert {} == await pauses.in_force(conn)
        assert 0 == await conn.fetchval("select count(*) from idempotency_keys")
        assert 200 == (await api.post(PAUSE, Idempotency_Key="k1")).status
