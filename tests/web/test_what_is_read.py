"""What can be read: the documents of the command line, page by page, each as it is described."""

import asyncio
from datetime import timedelta
from random import Random
from urllib.parse import quote

import pytest
from spoken import MAIN, ODD, Api, StandIn, opened, reached
from stock import NOW, element, ran, set_aside, stored

from bibsync import census, lease
from bibsync.lease import PostgresLeases
from bibsync.reject import Reason
from bibsync.run import METADATA, PURCHASES, Outcome
from bibsync.source import Page
from bibsync.store import Connection, Pool, collections, replicas, requests
from bibsync.store.requests import Terms, Wish

DAY = timedelta(days=1)


async def test_status_tells_collections_schedules_and_replicas(
    api: Api, daemon: StandIn, conn: Connection, main: int
):
    await ran(conn, main, outcome=Outcome.FAILED)
    await replicas.say(
        conn,
        "there:2",
        version="1",
        started=NOW,
        configured_at=NOW,
        config_problem={"code": "config_invalid", "message": "bibsync.toml:3: no"},
        redis_lost=True,
        loop_lag_s=0.25,
    )

    status = await api.get("/v1/status")

    [first, second] = status["collections"]
    assert [(MAIN, "failing"), (ODD, "never_run")] == [
        (each["name"], each["health"]) for each in (first, second)
    ]
    [stream] = first["streams"]
    [purchases] = [each for each in status["schedules"] if each["name"] == "purchases"]
    assert purchases["next_due"] == stream["next_due"]
    [replica] = status["replicas"]
    assert ("there:2", True, 0.25) == (
        replica["replica"],
        replica["redis_lost"],
        replica["loop_lag_s"],
    )
    assert "bibsync.toml:3" in replica["config_problem"]["message"]
    assert [replica] == (await api.get("/v1/replicas"))["replicas"]


async def test_runs_come_newest_first_and_page_by_page(api: Api, conn: Connection, main: int):
    """Runs of one moment are told apart by their numbers."""
    begun = [await ran(conn, main, at=NOW + DAY * (n // 2)) for n in range(5)]

    pages = [await api.get("/v1/runs?limit=2")]
    while (before := pages[-1]["next"]) is not None:
        pages.append(await api.get(f"/v1/runs?limit=2&before={before}"))

    assert [2, 2, 1] == [len(each["runs"]) for each in pages]
    assert begun[::-1] == [run["id"] for each in pages for run in each["runs"]]


async def test_runs_are_chosen_as_on_the_command_line(api: Api, conn: Connection, main: int):
    odd = (await collections.named(conn, ODD)).number
    failed = await ran(conn, main, outcome=Outcome.FAILED)
    look_up = await ran(conn, main, stream=METADATA)
    others = await ran(conn, odd, at=NOW + DAY)
    active = await ran(conn, odd, at=NOW + 2 * DAY, outcome=None)

    async def ids(query: str) -> list[int]:
        return [each["id"] for each in (await api.get(f"/v1/runs?{query}"))["runs"]]

    assert [active, others] == await ids(f"collection={quote(ODD, safe='')}")
    assert [failed] == await ids("outcome=failed")
    assert [look_up] == await ids("stream=metadata")
    assert [active] == await ids("active=true") == await ids("outcome=running")
    assert {failed, look_up, others} == set(await ids("active=false"))
    assert [active, others] == await ids("since=2024-03-11")


async def test_one_run_tells_which_rejects_it_met_first(api: Api, conn: Connection, main: int):
    run = await ran(conn, main, outcome=Outcome.FAILED)
    met = await set_aside(conn, main, element(), run=run)

    document = await api.get(f"/v1/runs/{run}")

    assert (run, "failed", [met]) == (
        document["id"],
        document["outcome"],
        document["reject_ids"],
    )
    assert "source_busy" == document["problem"]["code"]


async def test_rejects_come_page_by_page_and_chosen(api: Api, conn: Connection, main: int):
    numbers = [await set_aside(conn, main, element(title=str(n))) for n in range(3)]
    other = await set_aside(conn, main, element(), reason=Reason.MISSING_CONTROL_NUMBER)
    await conn.execute("update rejects set state = 'dismissed' where reject = $1", numbers[0])

    first = await api.get("/v1/rejects?limit=2&state=all")
    second = await api.get(f"/v1/rejects?limit=2&state=all&after={first['next']}")
    open_ = await api.get(f"/v1/rejects?collection={MAIN}&reason=unreadable_record")

    assert [*numbers, other] == [each["id"] for page in (first, second) for each in page["rejects"]]
    assert second["next"] is None
    assert numbers[1:] == [each["id"] for each in open_["rejects"]]


async def test_a_record_is_found_whatever_its_names_hold(api: Api, conn: Connection, main: int):
    odd = (await collections.named(conn, ODD)).number
    key = "a/b %2F?#ü"
    await stored(conn, odd, key)

    path = f"/v1/records/{quote(ODD, safe='')}/{quote(key, safe='')}"
    record = await api.get(path)

    assert (ODD, key, "A title") == (
        record["collection"],
        record["control_number"],
        record["title"],
    )
    assert {"leader", "fields"} == record["marc"].keys()


async def test_schedules_are_told_with_what_comes_next(api: Api):
    schedules = (await api.get("/v1/schedules"))["schedules"]

    assert "purchases" in {each["name"] for each in schedules}
    assert all(5 == len(each["next_times"]) for each in schedules)


async def test_what_is_to_come_is_told(api: Api, conn: Connection, main: int):
    async with conn.transaction():
        number = await requests.ask(
            conn, Wish(job=PURCHASES, collection=main), Terms(trigger="api", by="anna")
        )

    scheduled = await api.get("/v1/scheduled")

    assert [(number, "waiting")] == [(each["id"], each["state"]) for each in scheduled["requests"]]
    assert "metadata" in {each["name"] for each in scheduled["schedules"]}


async def test_jobs_are_registered(api: Api):
    jobs = (await api.get("/v1/registered"))["jobs"]

    assert {"purchases", "metadata", "health"} <= {each["job"] for each in jobs}


class Slow:
    """A source that answers when it is let."""

    host = "vendor.example"
    page_size = 50

    def __init__(self) -> None:
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    def skew(self) -> float | None:
        return 0.0

    async def page(self, *_: object, **__: object) -> Page:
        self.asked.set()
        await self.let.wait()
        return Page(())


async def test_what_is_under_way_is_told_with_its_counts(
    starting: StandIn, pool: Pool, conn: Connection
):
    slow = Slow()
    await reached(starting, pool, lambda *_: slow)
    main = (await collections.named(conn, MAIN)).number
    async with conn.transaction():
        wish = Wish(job=PURCHASES, collection=main)
        number = await requests.ask(conn, wish, Terms(trigger="api", by="anna"))

    async with opened(starting) as api, asyncio.TaskGroup() as group:
        serving = group.create_task(starting.dispatch.serve(starting.dispatch.look))
        await slow.asked.wait()
        active = await api.get("/v1/active")
        slow.let.set()
        serving.cancel()

    [request] = active["requests"]
    assert (number, "running", MAIN) == (
        request["id"],
        request["state"],
        request["collection"],
    )
    assert 0 == request["counts"]["purchases"]["received"]
    assert [(MAIN, PURCHASES)] == [
        (each["collection"], each["stream"]) for each in active["leases"]
    ]


async def test_numbers_are_counted_and_kept_ones_are_preferred(
    api: Api, conn: Connection, main: int
):
    await stored(conn, main, "k1")
    counted = await api.get("/v1/stats")
    await census.renew(conn)
    await stored(conn, main, "k2")
    kept = await api.get("/v1/stats")

    assert 1 == counted["totals"]["records"] == kept["totals"]["records"]


async def test_days_are_summed_and_listed(api: Api, conn: Connection, main: int):
    await conn.execute("update collections set created_at = created_at - interval '9 days'")
    today = await conn.fetchval("select (clock_timestamp() at time zone 'UTC')::date")
    await census.fill(conn, today - 5 * DAY, today)

    sums = await api.get("/v1/stats?since=3d")
    pages = [await api.get("/v1/snapshots?limit=4")]
    while (after := pages[-1]["next"]) is not None:
        pages.append(await api.get(f"/v1/snapshots?limit=4&after={quote(after, safe='')}"))
    chosen = await api.get(f"/v1/snapshots?collection={MAIN}&since=2d")

    assert 3 == sums["all"]["records"]["days"]
    listed = [(each["day"], each["collection"]) for page in pages for each in page["snapshots"]]
    assert sorted(listed) == listed
    assert 10 == len(set(listed)) == len(listed)
    assert {MAIN} == {each["collection"] for each in chosen["snapshots"]}
    assert 2 == len(chosen["snapshots"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/99",
        "/v1/runs/99999999999999999999",
        "/v1/runs/x",
        "/v1/runs/-1",
        "/v1/runs/%D9%A3",
        "/v1/runs?collection=nowhere",
        "/v1/rejects?collection=nowhere",
        "/v1/snapshots?collection=nowhere",
        "/v1/records/nowhere/k1",
        "/v1/records/main/k1",
        "/v1/requests/99",
        "/v1/status/",
    ],
)
async def test_what_is_not_there_is_told(api: Api, path: str):
    got = await api("GET", path)

    assert (404, "not_found") == (got.status, got.code)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/runs?colection=main", 'colection is unknown; did you mean "collection"?'),
        ("/v1/runs?limit=0", "limit is 0; it must be from 1 to 500"),
        ("/v1/runs?limit=many&active=yes", "active must be true or false"),
        ("/v1/runs?limit=many&active=yes", "limit must be a whole number"),
        ("/v1/runs?limit=1&limit=2", "limit is given more than once"),
        ("/v1/runs?outcome=good", "outcome is "),
        ("/v1/runs?since=yesterday", "since: 'yesterday' is no date."),
        ("/v1/runs?before=2024-01-01_1", "before is no `next` of this list"),
        ("/v1/runs?collection=", "collection is empty"),
        ("/v1/snapshots?after=nothing", "after is no `next` of this list"),
        ("/v1/stats?since=2024-01-02&until=2024-01-01", "No day lies between"),
        ("/v1/rejects?reason=bad", "reason is "),
        ("/v1/status?verbose=1", "verbose is unknown"),
        ("/v1/records/main/a%00b", "can't be stored"),
        ("/v1/records/a%00b/k", "There is no collection"),
    ],
)
async def test_a_question_without_a_meaning_is_refused_and_named(api: Api, path: str, told: str):
    got = await api("GET", path)

    assert got.status == (404 if "no collection" in told else 422)
    assert told in got.document["detail"]


async def test_a_path_that_is_no_text_is_answered_all_the_same(api: Api):
    got = await api("GET", "/v1/records/main/%FF%FE")

    assert got.status in {404, 422}


async def test_a_head_is_answered_without_a_body(api: Api):
    async with api.session.head(f"{api.base}/v1/status") as answer:
        assert (200, b"") == (answer.status, await answer.read())


async def test_a_lease_of_a_person_is_told_too(api: Api, conn: Connection, pool: Pool, main: int):
    async with lease.hold(
        PostgresLeases(pool), (main, PURCHASES), ttl=timedelta(minutes=1), random=Random(0)
    ):
        active = await api.get("/v1/active")

    assert [MAIN] == [each["collection"] for each in active["leases"]]
    assert [] == active["requests"]
