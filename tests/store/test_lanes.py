"""Lanes and open windows: what has to be read, what is covered, what was begun."""

from datetime import UTC, datetime, timedelta

from bibsync.choice import LIVE, Kind, Lane, OpenWindow, Piece
from bibsync.store import Connection, fences, lanes, windows
from bibsync.window import DAY, Window, day

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
SPAN = Window(START, START + 10 * DAY)
Key = tuple[int, str]


def part(first: int, last: int) -> Window:
    return Window(START + first * DAY, START + last * DAY)


async def open_lane(conn: Connection, key: Key, span: Window = SPAN, *, since: datetime | None):
    return await lanes.open_lane(conn, key, "reimport", span, asked=(since, None), now=NOW)


async def test_the_live_lane_is_made_once_and_has_no_end(conn: Connection, key: Key):
    await lanes.open_live(conn, key, START)
    await lanes.open_live(conn, key, START)

    assert (Lane(LIVE, "live", START, None, ()),) == await lanes.unfinished(conn, key)


async def test_another_start_date_moves_the_live_lane_and_keeps_its_coverage(
    conn: Connection, key: Key
):
    await lanes.open_live(conn, key, START)
    await lanes.cover(conn, key, SPAN)

    await lanes.open_live(conn, key, START - DAY)

    (live,) = await lanes.unfinished(conn, key)
    assert (live.start, live.covered) == (START - DAY, (SPAN,))


async def test_windows_that_touch_or_overlap_become_one(conn: Connection, key: Key):
    await lanes.open_live(conn, key, START)

    for window in (part(4, 6), part(0, 1), part(1, 2), part(5, 7)):
        await lanes.cover(conn, key, window)

    (live,) = await lanes.unfinished(conn, key)
    assert (part(0, 2), part(4, 7)) == live.covered
    assert (part(0, 2), part(4, 7)) == (await lanes.standings(conn))[key].covered


async def test_a_window_counts_for_every_open_lane(conn: Connection, key: Key):
    await lanes.open_live(conn, key, START)
    number = await open_lane(conn, key, since=None)

    await lanes.cover(conn, key, part(0, 5))

    live, lane = await lanes.unfinished(conn, key)
    assert 1 == number == lane.number
    assert ((part(0, 5),), (part(0, 5),)) == (live.covered, lane.covered)


async def test_a_lane_opened_again_in_the_same_words_is_joined(conn: Connection, key: Key):
    """A forced re-import that was interrupted goes on where it was."""
    await lanes.open_live(conn, key, START)
    number = await open_lane(conn, key, since=None)
    await lanes.cover(conn, key, part(0, 5))

    joined = await open_lane(conn, key, Window(START, NOW), since=None)
    other = await open_lane(conn, key, since=START)

    assert number == joined
    assert number + 1 == other
    assert [(), (part(0, 5),)] == sorted(
        lane.covered for lane in await lanes.unfinished(conn, key) if lane.number
    )


async def test_a_finished_lane_closes_and_the_live_one_never(conn: Connection, key: Key):
    await lanes.open_live(conn, key, START)
    number = await open_lane(conn, key, since=None)
    await lanes.cover(conn, key, part(0, 9))
    assert not await lanes.close_finished(conn, key, now=NOW, cutoff=NOW)
    assert (await lanes.standings(conn))[key].backfilling

    await lanes.cover(conn, key, part(9, 10))

    assert [number] == await lanes.close_finished(conn, key, now=NOW, cutoff=NOW)
    assert [lane.number for lane in await lanes.unfinished(conn, key)] == [LIVE]
    assert not (await lanes.standings(conn))[key].backfilling


async def test_a_closed_lane_is_neither_joined_nor_covered_nor_numbered_again(
    conn: Connection, key: Key
):
    await lanes.open_live(conn, key, START)
    number = await open_lane(conn, key, since=None)
    await lanes.cover(conn, key, SPAN)
    await lanes.close_finished(conn, key, now=NOW, cutoff=NOW)

    again = await open_lane(conn, key, since=None)

    assert number + 1 == again
    _, lane = await lanes.unfinished(conn, key)
    assert lane.covered == ()


async def test_streams_don_t_see_each_other(conn: Connection, key: Key):
    other = (key[0], "metadata")
    await lanes.open_live(conn, key, START)
    await lanes.open_live(conn, other, START)

    await lanes.cover(conn, key, SPAN)
    await lanes.park(conn, key, NOW)

    standings = await lanes.standings(conn)
    assert (standings[key].covered, standings[key].parked_until) == ((SPAN,), NOW)
    assert (standings[other].covered, standings[other].parked_until) == ((), None)


async def test_a_checkpoint_is_read_back_as_the_window_that_was_begun(conn: Connection, key: Key):
    piece = Piece(Kind.GAP, LIVE, SPAN)

    await windows.checkpoint(conn, key, piece, (50, "k50", 50), began=NOW - DAY)
    await windows.checkpoint(conn, key, piece, (99, "k98", 98), began=NOW)

    begun = OpenWindow(LIVE, Kind.GAP, SPAN, 99, "k98", 98, NOW, None)
    assert (begun,) == await windows.begun(conn, key)


async def test_a_checkpoint_that_carries_the_fence_does_nothing_under_another_s(
    conn: Connection, key: Key
):
    """Nor does it where the fence is right and `ver` isn't: it landed before."""
    piece, mark = Piece(Kind.GAP, LIVE, SPAN), (50, "k50", 50)
    epoch, ver = await fences.raise_epoch(conn, key, "mine", wait_ms=1000)
    mine = fences.Standing(epoch, "mine", ver)
    others = [
        mine._replace(epoch=epoch - 1),
        mine._replace(holder="other"),
        mine._replace(ver=ver + 1),
    ]

    refused = [
        await windows.checkpoint_alone(conn, key, piece, mark, began=NOW, standing=each)
        for each in others
    ]
    assert [None, None, None] == refused
    assert () == await windows.begun(conn, key)

    twice = [
        await windows.checkpoint_alone(conn, key, piece, mark, began=NOW, standing=mine)
        for _ in range(2)
    ]

    assert [True, None] == twice
    assert (OpenWindow(LIVE, Kind.GAP, SPAN, *mark, NOW, None),) == await windows.begun(conn, key)
    assert await fences.landed(conn, key, epoch=epoch, holder="mine", ver=ver + 1)


async def test_a_failed_window_keeps_its_row_until_it_is_read_again(conn: Connection, key: Key):
    piece = Piece(Kind.GAP, LIVE, SPAN)
    await windows.checkpoint(conn, key, piece, (50, "k50", 50), began=NOW - DAY)

    await windows.fail(conn, key, piece, now=NOW, why="HTTP 503")

    (failed,) = await windows.begun(conn, key)
    assert (failed.failed_at, failed.began, failed.last_key) == (NOW, NOW - DAY, "k50")
    assert await conn.fetchval("select problem from open_windows") == "HTTP 503"
    await windows.checkpoint(conn, key, piece, (50, "k50", 50), began=NOW)
    (begun,) = await windows.begun(conn, key)
    assert begun.failed_at is None
    assert await conn.fetchval("select problem from open_windows") is None


async def test_a_window_that_failed_before_its_first_page_has_a_row_too(conn: Connection, key: Key):
    await windows.fail(conn, key, Piece(Kind.ROLLING, LIVE, SPAN), now=NOW, why="HTTP 503")

    assert (OpenWindow(LIVE, Kind.ROLLING, SPAN, 0, None, 0, NOW, NOW),) == await windows.begun(
        conn, key
    )


async def test_a_failure_is_forgotten_when_its_span_is_covered(conn: Connection, key: Key):
    await lanes.open_live(conn, key, START)
    for days in (part(0, 2), part(1, 4)):
        await windows.fail(conn, key, Piece(Kind.GAP, LIVE, days), now=NOW, why="")
    await windows.checkpoint(conn, key, Piece(Kind.GAP, LIVE, day(START)), (1, "k", 1), began=NOW)
    await lanes.cover(conn, key, part(0, 3))

    await windows.forget_failed(conn, key)

    left = [(each.window, each.failed_at) for each in await windows.begun(conn, key)]
    assert [(part(0, 1), None), (part(1, 4), NOW)] == left


async def test_only_the_named_windows_are_dropped(conn: Connection, key: Key):
    for n in range(5):
        piece = Piece(Kind.GAP, LIVE, part(n, n + 1))
        await windows.checkpoint(conn, key, piece, (1, "k", 1), began=NOW)
    everything = await windows.begun(conn, key)

    await windows.drop(conn, key, Piece(Kind.GAP, LIVE, part(0, 1)))
    await windows.drop_each(conn, key, everything[2:4])
    await windows.drop_each(conn, key, [])

    assert (everything[1], everything[4]) == await windows.begun(conn, key)


async def test_a_window_may_be_begun_in_two_lanes(conn: Connection, key: Key):
    for lane, kind in ((LIVE, Kind.GAP), (1, Kind.LANE)):
        await windows.checkpoint(conn, key, Piece(kind, lane, SPAN), (1, "k", 1), began=NOW)

    await windows.drop(conn, key, Piece(Kind.GAP, LIVE, SPAN))

    assert [each.lane for each in await windows.begun(conn, key)] == [1]
    assert timedelta(days=10) == SPAN.width
