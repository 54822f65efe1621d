"""When slots are: cron lines in time zones, moments, and hours that clocks lose or repeat."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from bibsync.cron import NAMES, Timing

BERLIN, CHICAGO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Chicago")
ZONES = (
    BERLIN,
    CHICAGO,
    ZoneInfo("UTC"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Australia/Lord_Howe"),
)
LINES = (
    "0 4 * * *", "30 2 * * *", "*/15 * * * *", "15 * * * *", "0 3 * * 0", "0 0 1 * *", "@daily",
    "@hourly", "30 1,2,3 * * *", "5 4 29 2 *",
)  # fmt: skip
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def timing(cron: str, zone: ZoneInfo = BERLIN) -> Timing:
    return Timing(cron, None, zone)


def slots(cron: str, after: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    begin = datetime.fromisoformat(after).replace(tzinfo=zone).astimezone(UTC)
    found = islice(timing(cron, zone).following(begin), count)
    return [f"{slot.astimezone(zone):%m-%d %H:%M %z}" for slot in found]


def test_the_hour_that_comes_twice_has_one_slot():
    assert ["10-25 02:30 +0200", "10-26 02:30 +0100"] == slots("30 2 * * *", "2026-10-24T12:00", 2)


def test_a_slot_in_the_hour_that_is_missing_comes_at_its_end():
    assert ["03-29 03:00 +0200", "03-30 02:30 +0200"] == slots("30 2 * * *", "2026-03-28T12:00", 2)


def test_who_looks_every_minute_finds_each_slot_once_also_where_clocks_go_back():
    last = now = datetime(2026, 10, 24, 12, tzinfo=UTC)
    found = []

    while now < datetime(2026, 10, 26, 12, tzinfo=UTC):
        latest = timing("30 2 * * *").latest(now)
        if latest is not None and latest > last:
            last = latest
            found.append(f"{latest:%d %H:%M} seen at {now:%d %H:%M}")
        now += timedelta(minutes=1)

    assert ["25 00:30 seen at 25 00:30", "26 01:30 seen at 26 01:30"] == found


def test_each_wall_clock_hour_of_a_day_with_25_has_a_slot_of_an_interval():
    after = datetime(2026, 10, 24, 22, tzinfo=UTC)

    found = list(islice(timing("15 * * * *").following(after), 26))

    assert all(later - earlier == timedelta(hours=1) for earlier, later in pairwise(found))


@given(st.sampled_from(LINES), st.sampled_from(ZONES), MOMENTS)
def test_what_is_next_is_the_latest_as_soon_as_it_is_there(
    cron: str, zone: ZoneInfo, now: datetime
):
    each = timing(cron, zone)
    following = next(each.following(now))

    assert following > now
    assert each.latest(following) == following
    if (latest := each.latest(now)) is not None:
        assert latest <= now
        assert next(each.following(latest - timedelta(microseconds=1))) in {latest, following}


@given(st.sampled_from(LINES), st.sampled_from(ZONES), MOMENTS)
def test_slots_ascend(cron: str, zone: ZoneInfo, after: datetime):
    found = list(islice(timing(cron, zone).following(after), 8))

    assert found == sorted(set(found))


def test_a_one_off_has_one_slot():
    at = datetime(2026, 5, 1, 4, tzinfo=UTC)
    once = Timing(None, at, BERLIN)

    assert [at] == list(once.following(at - timedelta(days=1)))
    assert [] == list(once.following(at))
    assert (None, at) == (once.latest(at - timedelta(seconds=1)), once.latest(at))
    assert "Once, at 2026-05-01 06:00" == once.words


def test_what_has_no_time_is_never_due():
    never = Timing(None, None, BERLIN)

    assert [] == list(never.following(datetime(2026, 1, 1, tzinfo=UTC)))
    assert never.latest(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert "Never" == never.words


@pytest.mark.parametrize("name", NAMES)
def test_names_mean_their_five_fields(name: str):
    after = datetime(2026, 1, 15, 12, tzinfo=UTC)

    named, spelt = timing(name), timing(NAMES[name])

    assert next(named.following(after)) == next(spelt.following(after))
    assert named.words == spelt.words


def test_words():
    assert "At 04:00 every day" == timing("0 4 * * *").words
