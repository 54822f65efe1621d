"""Notices: opened once, told once over each channel, over once."""

from datetime import UTC, datetime, timedelta

import pytest

from bibsync import store
from bibsync.store import Connection, Pool, leftovers, notices
from bibsync.store.leftovers import LEFTOVERS
from bibsync.store.notices import End, Notice, Word

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FAILING = Word("failing", "Springfield", {"stream": "purchases"})


async def opened(conn: Connection, word: Word = FAILING) -> Notice:
    await notices.begin(conn, [word], now=NOW)
    return (await notices.current(conn, since=NOW))[-1]


async def end(conn: Connection, notice: Notice, *, silently: bool = False, calm: timedelta) -> None:
    message = notice.message | {"calm_until": (NOW + calm).isoformat()}
    await notices.end(conn, [End(notice.number, message, silently)], now=NOW)


async def waiting(conn: Connection, channel: str = "mail", *, now: datetime = NOW) -> list[Notice]:
    return await notices.pending(conn, channel, now=now, limit=100)


async def test_a_notice_of_a_kind_and_a_subject_is_open_once(conn: Connection):
    await opened(conn)
    await opened(conn)
    await opened(conn, Word("failing", "Shelbyville", {}))

    subjects = [each.subject for each in await notices.current(conn, since=NOW)]

    assert ["Springfield", "Shelbyville"] == subjects


async def test_each_channel_has_a_notice_once(conn: Connection):
    notice = await opened(conn)

    await notices.mark(conn, "mail", await waiting(conn), now=NOW)

    assert [] == await waiting(conn, "mail")
    assert [notice.number] == [each.number for each in await waiting(conn, "webhook")]


async def test_an_end_is_told_where_all_was_calm_for_as_long_as_was_said(conn: Connection):
    notice = await opened(conn)
    await notices.mark(conn, "mail", [notice], now=NOW)
    await end(conn, notice, calm=HOUR)

    early, late = await waiting(conn), await waiting(conn, now=NOW + HOUR)
    await notices.mark(conn, "mail", late, now=NOW + HOUR)

    assert [] == early
    assert [True] == [each.over for each in late]
    assert [] == await waiting(conn, now=NOW + HOUR)


async def test_what_began_and_ended_unheard_is_told_once_as_over(conn: Connection):
    notice = await opened(conn)
    await end(conn, notice, calm=timedelta(0))

    [told] = await waiting(conn)
    await notices.mark(conn, "mail", [told], now=NOW)

    assert told.over
    assert [] == await waiting(conn)


@pytest.mark.parametrize("before", ["told", "untold"])
async def test_of_a_silent_end_nobody_hears(conn: Connection, before: str):
    notice = await opened(conn)
    if before == "told":
        await notices.mark(conn, "mail", [notice], now=NOW)

    await end(conn, notice, silently=True, calm=timedelta(0))

    assert [] == await waiting(conn, now=NOW + HOUR)


async def test_a_notice_that_is_opened_again_is_not_told_again(conn: Connection):
    notice = await opened(conn)
    await notices.mark(conn, "mail", [notice], now=NOW)
    await end(conn, notice, calm=HOUR)

    await notices.reopen(conn, [notice.number])

    assert [] == await waiting(conn, now=NOW + DAY)
    assert [None] == [each.ended for each in await notices.current(conn, since=NOW)]


async def test_a_notice_that_became_another_thing_is_told_anew(conn: Connection):
    notice = await opened(conn)
    await notices.mark(conn, "mail", [notice], now=NOW)

    await notices.reword(conn, {notice.number: Word("credentials_refused", "Springfield", {})})

    assert ["credentials_refused"] == [each.kind for each in await waiting(conn)]


async def test_what_was_sent_counts_as_told_only_where_it_is_still_what_is_to_be_told(
    conn: Connection,
):
    """It may become another thing while it is being sent."""
    failing = await opened(conn)
    fewer = await opened(conn, Word("new_rejects", "Springfield", {"newest": 7}))
    graver = Word("credentials_refused", "Springfield", {})
    more = Word("new_rejects", "Springfield", {"newest": 9})
    await notices.reword(conn, {failing.number: graver, fewer.number: more})

    await notices.mark(conn, "mail", [failing, fewer], now=NOW)

    assert ["credentials_refused", "new_rejects"] == [each.kind for each in await waiting(conn)]
    assert {} == await notices.newest_rejects(conn)


async def test_new_rejects_are_over_once_told_and_still_told_over_the_other_channel(
    conn: Connection,
):
    await opened(conn, Word("new_rejects", "Springfield", {"newest": 7}))

    await notices.mark(conn, "mail", await waiting(conn), now=NOW)
    await opened(conn, Word("new_rejects", "Springfield", {"newest": 9}))

    assert [9] == [each.message["newest"] for each in await waiting(conn, "mail")]
    assert [7, 9] == [each.message["newest"] for each in await waiting(conn, "webhook")]
    assert {"Springfield": 7} == await notices.newest_rejects(conn)


async def test_what_was_over_for_a_week_is_not_told_to_a_channel_that_is_new(conn: Connection):
    for word in (FAILING, Word("new_rejects", "Springfield", {"newest": 7})):
        notice = await opened(conn, word)
        await notices.mark(conn, "mail", [notice], now=NOW)
        if word is FAILING:
            await end(conn, notice, calm=timedelta(0))
    await opened(conn, Word("late", "Shelbyville", {}))

    kinds = [each.kind for each in await waiting(conn, "webhook", now=NOW + 8 * DAY)]

    assert ["late"] == kinds


async def test_one_replica_at_a_time_sends_over_a_channel(pool: Pool, conn: Connection):
    async with store.acquire(pool) as other, other.transaction():
        assert await notices.turn(other, "mail")

        async with conn.transaction():
            assert not await notices.turn(conn, "mail")
            assert await notices.turn(conn, "webhook")
    async with conn.transaction():
        assert await notices.turn(conn, "mail")


async def test_what_is_over_is_forgotten_but_not_which_rejects_were_told_of(conn: Connection):
    await notices.start(conn, newest=3, now=NOW)
    for newest in (5, 7):
        word = Word("new_rejects", "Springfield", {"newest": newest})
        await notices.mark(conn, "mail", [await opened(conn, word)], now=NOW)
    await end(conn, await opened(conn), calm=timedelta(0))
    await opened(conn, Word("late", "Shelbyville", {}))

    over = LEFTOVERS["notices"]
    keys = await leftovers.stale(conn, over, NOW + HOUR, after=over.first, limit=100)
    gone = await leftovers.remove(conn, over, NOW + HOUR, keys)
    kept = await conn.fetch("select notice from notices")
    none = await leftovers.remove(conn, over, NOW + HOUR, [(row["notice"],) for row in kept])

    assert (2, 0) == (gone, none)
    assert {"": 3, "Springfield": 7} == await notices.newest_rejects(conn)
    assert "late" == (await notices.current(conn, since=NOW))[-1].kind
