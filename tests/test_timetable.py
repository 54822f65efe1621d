"""The timetable: seeded, edited, and fired once, however many replicas look at it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from bibsync import timetable
from bibsync.config import Config, load
from bibsync.errors import NotFound, UsageWrong
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.store import Connection, Pool, collections, requests, schedules
from bibsync.store.schedules import Row

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with two collections."""
    return configured(tmp_path)


def configured(folder: Path, more: str = "", names: tuple[str, ...] = ("main", "kids")) -> Config:
    each = "".join(
        f'[[collections]]\nname = "{name}"\nsource = "bibliotheca"\nlibrary_id = "{name}"\n'
        'account_id = "partner"\naccount_key = "secret"\n'
        for name in names
    )
    file = folder / "bibsync.toml"
    file.write_text(f'state_dir = "{folder}"\n{more}\n{each}')
    file.chmod(0o600)
    return load(file, {})


@pytest.fixture
async def conn(pool: Pool):
    async with pool.acquire() as conn:
        yield conn


async def seeded(conn: Connection, config: Config) -> dict[str, Row]:
    async with conn.transaction():
        await collections.enrol(conn, config.collections)
        await timetable.seed(conn, config)
    return await rows(conn)


async def rows(conn: Connection) -> dict[str, Row]:
    return {row.name: row for row in await schedules.all_rows(conn)}


async def shown(conn: Connection, name: str) -> dict:
    now = await schedules.now(conn)
    found = {each["name"]: each for each in timetable.documents((await rows(conn)).values(), now)}
    return found[name]


async def edit(conn: Connection, config: Config, name: str, **changes: object) -> None:
    async with conn.transaction():
        await timetable.edit(conn, name, changes, config=config, by="anna")


async def only(conn: Connection, name: str, *, ago: timedelta = DAY) -> None:
    """Let the other schedules rest, and this one be counted from so long ago."""
    await conn.execute("update schedules set enabled = false where schedule <> $1", name)
    await conn.execute(
        "update schedules set counted_from = clock_timestamp() - $2::interval, last_slot = null "
        "where schedule = $1",
        name,
        ago,
    )


async def asked(conn: Connection) -> list[tuple]:
    found = await conn.fetch(
        "select name, job, trigger, priority, state from requests "
        "left join collections using (collection) order by request"
    )
    return [tuple(each) for each in found]


async def test_every_job_has_a_schedule_without_anybodys_doing(conn, config):
    found = await seeded(conn, config)

    assert set(JOBS_KNOWN) == found.keys() == {row.terms.job for row in found.values()}
    assert "0 4 * * *" == found["purchases"].terms.cron
    assert all(row.edited_at is None for row in found.values())


async def test_what_the_file_says_replaces_what_is_built_in_and_is_followed(conn, tmp_path):
    nightly = '[[schedules]]\njob = "purchases"\ncron = "30 2 * * *"\ntimezone = "Europe/Berlin"\n'
    extra = '[[schedules]]\nname = "noon"\njob = "purchases"\ncron = "0 12 * * *"\n'

    first = await seeded(conn, configured(tmp_path, nightly + extra))
    then = await seeded(conn, configured(tmp_path, nightly.replace("30 2", "45 2")))

    assert ("30 2 * * *", "Europe/Berlin") == (
        first["purchases"].terms.cron,
        first["purchases"].terms.timezone,
    )
    assert "0 12 * * *" == first["noon"].terms.cron
    assert "45 2 * * *" == then["purchases"].terms.cron
    assert then["purchases"].counted_from > first["purchases"].counted_from
    assert then["metadata"].version == first["metadata"].version
    assert "noon" not in then


async def test_an_edit_stays_whatever_the_file_says_later_and_the_difference_is_shown(
    conn, tmp_path
):
    config = configured(tmp_path)
    await seeded(conn, config)
    await edit(conn, config, "purchases", cron="0 6 * * *", expires="2h")

    await seeded(
        conn, configured(tmp_path, '[[schedules]]\njob = "purchases"\ncron = "0 5 * * *"\n')
    )
    edited = await shown(conn, "purchases")
    async with conn.transaction():
        kept = await timetable.reset(conn, "purchases", configured(tmp_path))
    after = await shown(conn, "purchases")

    assert ("0 6 * * *", "2h", "edited", "anna") == tuple(
        edited[key] for key in ("cron", "expires", "origin", "edited_by")
    )
    assert {"cron": "0 5 * * *", "expires": None, "retries": 0, "retry_delay": "5m"} == (
        edited["configured"]
    )
    assert kept
    assert ("0 4 * * *", "config", None) == (after["cron"], after["origin"], after["configured"])


async def test_an_edit_that_is_taken_back_is_none(conn, config):
    await seeded(conn, config)
    await edit(conn, config, "purchases", enabled=False)
    await edit(conn, config, "purchases", enabled=True)

    assert "config" == (await shown(conn, "purchases"))["origin"]


async def test_a_schedule_that_somebody_made_stays_until_it_is_reset(conn, config):
    await seeded(conn, config)
    await edit(conn, config, "weekly", job="purchases", cron="@weekly", collections=["main"])
    await seeded(conn, config)

    made = await shown(conn, "weekly")
    async with conn.transaction():
        kept = await timetable.reset(conn, "weekly", config)

    assert ("@weekly", ["main"], "edited", False) == tuple(
        made[key] for key in ("cron", "collections", "origin", "in_configuration")
    )
    assert not kept
    assert "weekly" not in await rows(conn)


async def test_a_slot_fires_once_whatever_the_number_of_replicas(pool: Pool, conn, config):
    await seeded(conn, config)
    await only(conn, "purchases")

    ticks = await asyncio.gather(*(timetable.fire_due(pool, by=f"r{n}") for n in range(4)))
    again = await timetable.fire_due(pool, by="r5")

    assert 1 == sum(len(tick.fired) for tick in ticks)
    assert () == again.fired
    assert 1 == await conn.fetchval("select count(*) from firings")
    assert [
        ("kids", "purchases", "schedule", 5, "waiting"),
        ("main", "purchases", "schedule", 5, "waiting"),
    ] == sorted(await asked(conn))
    assert timedelta(0) < again.wait <= DAY


async def test_of_slots_that_were_missed_the_latest_alone_fires(pool: Pool, conn, config):
    await seeded(conn, config)
    await only(conn, "purchases", ago=9 * DAY)

    tick = await timetable.fire_due(pool, by="r1")

    assert ["purchases"] == [each.schedule for each in tick.fired]
    assert 1 == await conn.fetchval("select count(*) from firings")
    assert await conn.fetchval("select slot > clock_timestamp() - interval '1 day' from firings")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"expires": "1s"}, "it expired before any replica was there"),
        ({"catch_up": False}, "no replica was there, and the schedule doesn't catch up"),
    ],
)
async def test_a_slot_that_comes_too_late_is_dropped_and_said(
    pool: Pool, conn, config, change, because
):
    two_hours_ago = datetime.now(UTC) - 2 * HOUR
    await seeded(conn, config)
    await edit(conn, config, "purchases", cron=f"{two_hours_ago.minute} {two_hours_ago.hour} * * *")
    await edit(conn, config, "purchases", **change)
    await only(conn, "purchases", ago=3 * HOUR)

    with structlog.testing.capture_logs() as logged:
        tick = await timetable.fire_due(pool, by="r1")
        again = await timetable.fire_due(pool, by="r1")

    assert () == tick.fired == again.fired
    assert [] == await asked(conn)
    assert [("slot.missed", because)] == [(each["event"], each["because"]) for each in logged]
    assert "dropped" == (await shown(conn, "purchases"))["last_outcome"]


async def test_an_edit_begins_with_the_next_slot(pool: Pool, conn, config):
    await seeded(conn, config)
    await only(conn, "purchases")

    await edit(conn, config, "purchases", cron="* * * * *")
    row = (await rows(conn))["purchases"]

    assert timetable.next_slot(row, row.counted_from) > row.counted_from
    assert timetable.due_slot(row, row.counted_from) is None


async def test_enabling_does_not_catch_up_on_what_was_disabled(pool: Pool, conn, config):
    await seeded(conn, config)
    await edit(conn, config, "purchases", enabled=False)
    await only(conn, "purchases")
    disabled = await timetable.fire_due(pool, by="r1")

    await edit(conn, config, "purchases", enabled=True)
    enabled = await timetable.fire_due(pool, by="r1")

    assert () == disabled.fired == enabled.fired


async def test_a_slot_of_times_that_were_edited_meanwhile_is_not_claimed(conn, config):
    await seeded(conn, config)
    await only(conn, "purchases")
    seen = (await rows(conn))["purchases"]
    now = await schedules.now(conn)
    slot = timetable.due_slot(seen, now)
    await edit(conn, config, "purchases", retries=1)

    assert slot is not None
    assert not await schedules.claim(conn, seen, slot)


async def test_a_one_off_fires_once(pool: Pool, conn, config):
    await seeded(conn, config)
    at = await schedules.now(conn) + HOUR
    await edit(conn, config, "tonight", job="snapshot", at=at)
    await only(conn, "tonight")
    await conn.execute("update schedules set once_at = once_at - interval '61 minutes'")

    first, second = [await timetable.fire_due(pool, by="r1") for _ in range(2)]

    assert (1, 0) == (len(first.fired), len(second.fired))
    assert [(None, "snapshot", "schedule", 1, "waiting")] == await asked(conn)
    assert (await shown(conn, "tonight"))["next_due"] is None


async def test_a_one_off_is_of_its_schedules_time_zone(conn, config):
    await seeded(conn, config)
    moment = datetime(2096, 7, 1, 4)  # noqa: DTZ001 - as the file has it

    await edit(conn, config, "once", job="purchases", at=moment, timezone="America/Chicago")

    assert "2096-07-01T09:00:00Z" == (await shown(conn, "once"))["at"]


async def test_fired_by_hand_it_is_a_persons_wish_also_where_it_is_disabled(conn, config):
    await seeded(conn, config)
    await edit(conn, config, "purchases", enabled=False, collections=["kids"])

    async with conn.transaction():
        _, numbers = await timetable.fire_now(conn, "purchases", trigger="person", by="anna")

    assert 1 == len(numbers)
    assert [("kids", "purchases", "person", 5, "waiting")] == await asked(conn)
    assert "purchases" in await rows(conn)


async def test_only_enabled_collections_are_asked_for_and_none_before_its_vendor_allows(
    pool: Pool, conn, config
):
    await seeded(conn, config)
    await conn.execute("update collections set enabled = false where name = 'kids'")
    await conn.execute(
        "insert into lanes (collection, stream, lane, kind, from_at, parked_until) "
        "select collection, 'purchases', 0, 'live', now(), now() + interval '1 hour' "
        "from collections"
    )
    await only(conn, "purchases")

    await timetable.fire_due(pool, by="r1")

    assert ["main"] == [each[0] for each in await asked(conn)]
    assert await conn.fetchval("select due_at > now() + interval '59 minutes' from requests")


async def test_what_a_person_fires_waits_for_no_vendor_that_is_spared(conn, config):
    await seeded(conn, config)
    await conn.execute(
        "insert into lanes (collection, stream, lane, kind, from_at, parked_until) "
        "select collection, 'purchases', 0, 'live', now(), now() + interval '1 hour' "
        "from collections"
    )

    async with conn.transaction():
        await timetable.fire_now(conn, "purchases", trigger="person", by="anna")

    due = await conn.fetch("select due_at <= clock_timestamp() from requests")
    assert [(True,), (True,)] == [tuple(each) for each in due]


async def test_jitter_spreads_the_collections(pool: Pool, conn, tmp_path):
    names = tuple(f"library {number}" for number in range(30))
    config = configured(tmp_path, names=names)
    await seeded(conn, config)
    await edit(conn, config, "purchases", jitter="1h")
    await only(conn, "purchases")

    await timetable.fire_due(pool, by="r1")

    slot = await conn.fetchval("select slot from firings")
    due = [row[0] for row in await conn.fetch("select due_at from requests")]
    assert len(set(due)) > 25
    assert all(slot <= each <= slot + HOUR for each in due)


async def test_a_collection_that_succeeded_before_is_no_bulk_work(pool: Pool, conn, config):
    await seeded(conn, config)
    await conn.execute(
        "insert into runs (collection, stream, trigger, replica, epoch, started, finished, outcome)"
        " select collection, 'purchases', 'person', 'r', 1, now(), now(), 'succeeded'"
        " from collections where name = 'main'"
    )
    await only(conn, "purchases")

    await timetable.fire_due(pool, by="r1")

    assert {"main": 1, "kids": 5} == {each[0]: each[3] for each in await asked(conn)}


async def test_what_waits_already_is_brought_forward_and_not_doubled(pool: Pool, conn, config):
    numbers = {
        name: number for name, number in (await _enrolled(conn, config)).items() if name == "main"
    }
    later = datetime.now(UTC) + DAY
    wish = requests.Wish(job="purchases", collection=numbers["main"], due_at=later)
    async with conn.transaction():
        before = await requests.ask(conn, wish, requests.Terms(trigger="start", by="r1"))
    await only(conn, "purchases")

    await timetable.fire_due(pool, by="r1")

    found = await conn.fetch("select request, due_at, trigger from requests order by request")
    assert 2 == len(found)
    assert (before, "start") == (found[0]["request"], found[0]["trigger"])
    assert found[0]["due_at"] < later


async def _enrolled(conn: Connection, config: Config) -> dict[str, int]:
    await seeded(conn, config)
    return {row.name: row.number for row in await collections.all_rows(conn)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cron": "61 * * * *"}, "minute"),
        ({"cron": "@never"}, "@never"),
        ({"timezone": "Europe/Berlinn"}, "Europe/Berlin"),
        ({"crom": "* * * * *"}, "cron"),
        ({"cron": "* * * * *", "at": datetime(2027, 1, 1, tzinfo=UTC)}, "exclude"),
        ({"job": "purchase"}, "purchases"),
        ({"expires": "soon"}, "duration"),
        ({"cron": "61 * * * *", "expires": "soon"}, "expires"),
    ],
)
async def test_an_edit_without_meaning_changes_nothing(conn, config, changes, words):
    before = (await seeded(conn, config))["purchases"]

    with pytest.raises(UsageWrong, match=words):
        await edit(conn, config, "purchases", **changes)

    assert before == (await rows(conn))["purchases"]


async def test_unknown_schedules_are_named(conn, config):
    await seeded(conn, config)

    with pytest.raises(NotFound, match="nightly") as told:
        await edit(conn, config, "nightly", cron="* * * * *")
    with pytest.raises(NotFound):
        await timetable.fire_now(conn, "nightly", trigger="person", by="anna")
    with pytest.raises(NotFound):
        await timetable.reset(conn, "nightly", config)
    assert '"purchases"' in told.value.remedy


async def test_a_schedule_without_a_time_is_refused(conn, config):
    await seeded(conn, config)

    with pytest.raises(UsageWrong, match="no time"):
        await edit(conn, config, "nightly", job="purchases")


@pytest.mark.parametrize("change", [{"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"enabled": True}])
async def test_a_schedule_that_would_never_fire_again_is_refused(conn, config, change):
    await seeded(conn, config)
    at = await schedules.now(conn) + HOUR
    await edit(conn, config, "tonight", job="snapshot", at=at)
    await conn.execute("update schedules set once_at = once_at - interval '61 minutes'")
    before = (await rows(conn))["tonight"]

    with pytest.raises(UsageWrong, match=r"would never fire: its time, \S+, is over"):
        await edit(conn, config, "tonight", **change)

    assert before == (await rows(conn))["tonight"]
    await edit(conn, config, "tonight", enabled=False)


async def test_a_job_about_all_collections_is_spread_too(pool: Pool, conn, config):
    await seeded(conn, config)
    await edit(conn, config, "statistics", jitter="1d")
    await only(conn, "statistics")

    tick = await timetable.fire_due(pool, by="r1")

    [row] = await conn.fetch("select due_at from requests")
    [fired] = tick.fired
    assert fired.slot < row["due_at"] <= fired.slot + DAY


async def test_a_job_about_all_collections_is_not_about_some(conn, config):
    await seeded(conn, config)

    with pytest.raises(UsageWrong, match="health is about all collections"):
        await edit(conn, config, "health", collections=["main"])

    assert () == (await rows(conn))["health"].terms.collections


async def test_a_schedule_of_a_collection_that_nobody_has_is_refused(conn, config):
    before = (await seeded(conn, config))["purchases"]

    with pytest.raises(NotFound, match='no collection "nobody"') as told:
        await edit(conn, config, "purchases", collections=["main", "nobody"])

    assert '"main", "kids"' in told.value.remedy
    assert before == (await rows(conn))["purchases"]


async def test_a_collection_is_next_due_by_the_nearest_schedule_that_has_it(conn, config):
    await seeded(conn, config)
    await edit(conn, config, "often", job="purchases", cron="*/5 * * * *", collections=["main"])
    found = (await rows(conn)).values()
    now = await schedules.now(conn)

    main, kids = (
        timetable.next_due(found, now, job="purchases", collection=name)
        for name in ("main", "kids")
    )

    assert main is not None
    assert kids is not None
    assert main - now <= timedelta(minutes=5)
    assert 4 == kids.hour
    assert timetable.next_due(found, now, job="events", collection="main") is None


async def test_the_next_times_are_shown_in_words(conn, config):
    await seeded(conn, config)

    found = await shown(conn, "purchases")

    assert "At 04:00 every day" == found["words"]
    assert 5 == len(found["next_times"])
    assert found["next_due"] == found["next_times"][0]
