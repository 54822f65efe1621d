"""The side task: each problem is told once over each channel, whatever channels and replicas do."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, timedelta
from random import Random

import structlog
from library import BUSY, REFUSED, Library
from post_office import PostOffice, Site, black_hole, post_office, site
from pydantic import SecretStr

from bibsync import store
from bibsync.config import Config
from bibsync.errors import BibsyncError
from bibsync.notify import Bell, keep, web
from bibsync.notify.delivery import Pace, Style, deliver
from bibsync.notify.keeping import Timing, judge_now
from bibsync.notify.web import Webhook
from bibsync.reject import Reason
from bibsync.run import Outcome
from bibsync.store import Connection, Pool, notices
from tests.secrets.canary import HEARTBEAT, SMTP, WEBHOOK, Canaries

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
QUICK = Timing(every_s=0.05, rest_s=0.0, beat_s=60.0, limit_s=20.0)
STYLE = Style(UTC, "sync01")
WAITS = """
exists (
    select from pg_locks join pg_database d on d.oid = database
    where not granted and locktype = 'advisory' and datname = current_database()
)
"""
NOWHERE = "http://127.0.0.1:9/"
TO = 'email_to = ["systems@library.example"]\n'


@contextlib.asynccontextmanager
async def kept(
    library: Library,
    config: Callable[[], Config],
    *,
    pool: Pool | None = None,
    timing: Timing = QUICK,
) -> AsyncIterator[Bell]:
    """Have whoever is to be told be told while the block lasts, and nothing be raised meanwhile."""
    bell = Bell()
    work = keep(
        pool or library.pool,
        bell,
        config=config,
        now=library.clock.now,
        clock=library.clock.seconds,
        random=Random(1),
        timing=timing,
    )
    task = asyncio.create_task(work, name="keep")
    try:
        yield bell
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def over(office: PostOffice, hook: Site, heartbeat: str | None = None) -> str:
    lines = f'{TO}smtp_url = "{office.url()}"\nwebhook_url = "{hook.url()}"\n'
    return lines + (f'heartbeat_url = "{heartbeat}"\n' if heartbeat else "")


def subjects(office: PostOffice) -> list[str]:
    return [each["Subject"].removeprefix("[bibsync] ") for each in office.mails]


FAILS, WELL = "main: the sync fails", "main: all is well again"


async def test_a_problem_that_stays_is_told_once_and_its_end_once(library: Library):
    async with post_office() as office, site() as hook:
        config = library.config(over(office, hook, hook.url("/beat")))
        async with kept(library, lambda: config) as bell:
            for outcome in (Outcome.FAILED, Outcome.FAILED, Outcome.PARTIAL, Outcome.INTERRUPTED):
                library.clock.go(HOUR)
                bell.run_ended(await library.ran(outcome, BUSY))
                await office.wait(1)
            bell.run_ended(await library.ran())
            await office.wait(2)
            await hook.wait(lambda hook: len(hook.posted) >= 2 and "GET /beat" in hook.asked)
            await judge_now(library.pool, config, now=library.clock.now())

        assert [FAILS, WELL] == subjects(office)
        assert ["problem", "recovered"] == [each["state"] for each in hook.posted]
        assert ["2-failing", "2-failing-over"] == [each["id"] for each in hook.posted]
        assert office.mails[0]["Message-ID"] == office.mails[1]["In-Reply-To"]
        assert "cloudLibrary answered 503" in hook.posted[0]["text"]
        assert BUSY.problem.as_json() == hook.posted[0]["problem"]
        assert 1 == hook.asked.count("GET /beat")


async def test_many_replicas_at_once_tell_it_once(library: Library, database: str):
    names = tuple(f"library {n}" for n in range(4))
    library.names = ("main", *names)
    await library.enrol()
    for name in names:
        await library.ran(Outcome.FAILED, BUSY, name=name)
    async with (
        post_office() as office,
        site() as hook,
        contextlib.AsyncExitStack() as stack,
    ):
        config = library.config(over(office, hook))
        for _ in range(4):
            pool = await stack.enter_async_context(store.open_pool(database, size=4))
            await stack.enter_async_context(kept(library, lambda: config, pool=pool))
        await office.wait(4)
        await hook.wait(lambda hook: len(hook.posted) >= 4)
        for name in names:
            await library.ran(name=name)
        await office.wait(8)
        await hook.wait(lambda hook: len(hook.posted) >= 8)

        assert 8 == len(office.mails) == len({each["Message-ID"] for each in office.mails})
        assert 8 == len(hook.posted) == len({each["id"] for each in hook.posted})


async def test_a_replica_that_judges_later_knows_what_the_one_before_has_seen(library: Library):
    """It would else tell of a failure that is over."""
    await library.ran(Outcome.FAILED, BUSY)
    config = library.config(f'webhook_url = "{NOWHERE}"')
    async with store.acquire(library.pool) as before, before.transaction():
        await notices.lock(before)
        task = asyncio.create_task(
            judge_now(library.pool, config, now=library.clock.now()), name="a later replica"
        )
        await until_true(before, WAITS)
        await library.ran()
    await task

    async with store.acquire(library.pool) as conn:
        assert 0 == await conn.fetchval("select count(*) from notices where kind = 'failing'")


async def test_more_than_a_few_at_once_are_told_in_one_mail(library: Library):
    library.names = tuple(f"library {n}" for n in range(20))
    await library.enrol()
    for name in library.names:
        await library.ran(Outcome.FAILED, REFUSED, name=name)
    async with post_office() as office:
        config = library.config(f'{TO}smtp_url = "{office.url()}"')
        await judge_now(library.pool, config, now=library.clock.now())
        async with kept(library, lambda: config):
            [mail] = await office.wait(1)

        assert "[bibsync] 20 messages" == mail["Subject"]
        assert all(f"{name}: the vendor refuses" in mail.get_content() for name in library.names)


async def test_flapping_is_no_flood(library: Library):
    async with site() as hook, web.session() as http:
        config = library.config(f'webhook_url = "{hook.url()}"')
        webhook = Webhook(SecretStr(hook.url()), http)
        pace = Pace(library.clock.seconds, Random(1))

        async def told(outcome: Outcome, error: BibsyncError | None, pause: timedelta) -> None:
            await library.ran(outcome, error)
            await judge_now(library.pool, config, now=library.clock.now())
            await deliver(library.pool, webhook, pace, STYLE, now=library.clock.now)
            library.clock.go(pause)

        for _ in range(24):
            await told(Outcome.FAILED, BUSY, 15 * MINUTE)
            await told(Outcome.SUCCEEDED, None, 15 * MINUTE)
        flapping = [each["state"] for each in hook.posted]
        for _ in range(3):
            await told(Outcome.SUCCEEDED, None, 24 * HOUR)

    assert ["problem", "recovered", "problem"] == flapping
    assert "recovered" == hook.posted[-1]["state"]
    assert 4 == len(hook.posted)


async def test_a_mail_server_that_hangs_delays_nobody_else(library: Library):
    async with black_hole() as hole, site() as hook:
        lines = f'{TO}smtp_url = "smtp://127.0.0.1:{hole.port}"\nwebhook_url = "{hook.url()}"\n'
        config = library.config(f'{lines}heartbeat_url = "{hook.url("/beat")}"')
        async with kept(library, lambda: config) as bell:
            bell.run_ended(await library.ran(Outcome.FAILED, BUSY))
            async with asyncio.timeout(30):
                await hole.caught.wait()
            bell.run_ended(await library.ran())

            await hook.wait(lambda hook: len(hook.posted) >= 2 and "GET /beat" in hook.asked)


async def test_what_a_dead_mail_server_missed_it_gets_later_and_its_failure_is_logged_once(
    library: Library,
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = library.config(f'{TO}smtp_url = "smtp://127.0.0.1:{port}"')
    with structlog.testing.capture_logs() as logged:
        async with kept(library, lambda: config):
            await library.ran(Outcome.FAILED, BUSY)
            for _ in range(3):
                await until(lambda: any("undelivered" in each["event"] for each in logged))
                await judge_now(library.pool, config, now=library.clock.now())
                library.clock.go(HOUR)
            async with post_office(port=port) as office:
                library.clock.go(HOUR)
                await office.wait(1)
                await until(lambda: any("recovered" in each["event"] for each in logged))

    assert [FAILS] == subjects(office)
    assert 1 == sum(each["event"] == "notice.undelivered" for each in logged)
    assert 1 == sum(each["event"] == "channel.recovered" for each in logged)


async def test_rejects_that_were_there_before_are_not_new(library: Library):
    await library.ran(met=[Reason.UNREADABLE_RECORD] * 3)
    async with post_office() as office:
        config = library.config(f'{TO}smtp_url = "{office.url()}"')
        async with kept(library, lambda: config) as bell:
            await judge_now(library.pool, config, now=library.clock.now())
            bell.run_ended(await library.ran(met=[Reason.UNREADABLE_RECORD] * 2))
            [mail] = await office.wait(1)
            bell.run_ended(await library.ran())
            bell.run_ended(await library.ran(met=[Reason.MISSING_CONTROL_NUMBER]))
            await office.wait(2)

        assert "2 new records" in mail.get_content()
        assert "1 new record of" in office.mails[1].get_content()


async def test_where_nobody_is_to_be_told_nothing_is_noted(library: Library):
    await library.ran(Outcome.FAILED, BUSY)
    async with site() as hook:
        config = library.config(f'heartbeat_url = "{hook.url("/beat")}"\n{TO}')
        async with kept(library, lambda: config) as bell:
            bell.run_ended(await library.ran())
            await hook.wait(lambda hook: bool(hook.asked))

    async with store.acquire(library.pool) as conn:
        assert 0 == await conn.fetchval("select count(*) from notices")


async def test_the_heartbeat_is_asked_once_a_minute_at_most_and_after_good_runs_only(
    library: Library,
):
    async with site() as hook:
        config = library.config(f'heartbeat_url = "{hook.url("/beat")}"')
        async with kept(library, lambda: config) as bell:
            bell.run_ended(await library.ran(Outcome.FAILED, BUSY))
            bell.run_ended(await library.ran(Outcome.PARTIAL, BUSY))
            assert not bell.good.is_set()
            for _ in range(5):
                bell.run_ended(await library.ran())
                await hook.wait(lambda hook: len(hook.asked) >= 1)
            assert 1 == len(hook.asked)
            library.clock.go(MINUTE)
            await hook.wait(lambda hook: len(hook.asked) >= 2)

        assert ["GET /beat"] * 2 == hook.asked


async def test_a_heartbeat_that_failed_is_asked_again(library: Library):
    with structlog.testing.capture_logs() as logged:
        async with site() as hook:
            hook.status = 500
            config = library.config(f'heartbeat_url = "{hook.url("/beat")}"')
            async with kept(library, lambda: config) as bell:
                bell.run_ended(await library.ran())
                await until(lambda: any("undelivered" in each["event"] for each in logged))
                hook.status = 200
                library.clock.go(2 * MINUTE)
                await hook.wait(lambda hook: len(hook.asked) >= 2)
                await until(lambda: not bell.good.is_set())


async def test_an_address_that_was_mended_is_tried_at_once(library: Library):
    async with post_office() as office, site() as hook:
        hook.status = 500
        wrong = library.config(f'webhook_url = "{hook.url("/wrong")}"')
        right = library.config(f'webhook_url = "{hook.url("/right")}"')
        in_force = [wrong]
        async with kept(library, lambda: in_force[-1]) as bell:
            bell.run_ended(await library.ran(Outcome.FAILED, BUSY))
            await hook.wait(lambda hook: "POST /wrong" in hook.asked)
            hook.status = 200
            in_force.append(right)
            await hook.wait(lambda hook: bool(hook.posted))

    assert "POST /right" == hook.asked[-1]
    assert [] == office.mails


async def test_a_database_that_breaks_off_is_borne_with(library: Library, database: str):
    async with post_office() as office, store.open_pool(database, size=2) as pool:
        config = library.config(f'{TO}smtp_url = "{office.url()}"')
        async with kept(library, lambda: config, pool=pool):
            async with store.acquire(library.pool) as conn:
                await conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            await library.ran(Outcome.FAILED, BUSY)
            await office.wait(1)

        assert [FAILS] == subjects(office)


async def test_no_failure_of_a_channel_shows_a_secret(library: Library, caplog):
    caplog.set_level("DEBUG")
    with structlog.testing.capture_logs() as logged:
        async with post_office(password="another") as office, site() as hook, black_hole() as hole:
            hook.status = 302
            hook.headers = {"Location": f"http://127.0.0.1:{hole.port}/{WEBHOOK}"}
            urls = [office.url("me:canary%20of%20smtp%2F45@"), "smtp://me:canary%20of@127.0.0.1:9"]
            timing = Timing(every_s=0.05, rest_s=0.0, limit_s=1.0)
            path = f"/services/{WEBHOOK}?token={WEBHOOK}"
            for at in (hook.port, hole.port, 9):
                base = f"http://127.0.0.1:{at}"
                config = library.config(
                    f'{TO}smtp_url = "{urls[at == 9]}"\nwebhook_url = "{base}{path}"\n'
                    f'heartbeat_url = "{base}/{HEARTBEAT}"'
                )
                logged.clear()
                async with kept(library, lambda config=config: config, timing=timing) as bell:
                    bell.run_ended(await library.ran(Outcome.FAILED, BUSY))
                    bell.run_ended(await library.ran())
                    bell.run_ended(await library.ran(Outcome.FAILED, BUSY))
                    await until(lambda: 3 == sum("undelivered" in each["event"] for each in logged))
                assert [] == Canaries().leaks("the log", repr(logged))
            assert SMTP in office.asked
    ours = [each for each in caplog.records if not each.name.startswith("mail")]  # aiosmtpd's own
    assert [] == Canaries().leaks("the other log", repr([each.getMessage() for each in ours]))


async def until_true(conn: Connection, condition: str) -> None:
    """Wait until a query of the database is true."""
    async with asyncio.timeout(30):
        while not await conn.fetchval(f"select {condition}"):
            await conn.execute("select pg_sleep(0.02)")


async def until(there: Callable[[], bool]) -> None:
    """Wait until that is true, which is no event of anybody's."""
    async with asyncio.timeout(30):
        while not there():  # noqa: ASYNC110 - a line of the log is no event
            await asyncio.sleep(0.01)
