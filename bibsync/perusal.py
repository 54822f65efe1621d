"""One window, read page by page until its end is proven, and covered in its last transaction.

The next page is fetched while the last one is stored. What an answer proves is `reading`'s to say;
here it is stored, with its checkpoint, in one fenced transaction. A perusal ends in one of three
ways: the window is covered; it is to be asked for in halves (TooWide); it failed (SourceError).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bibsync import contents, events, store
from bibsync.ask import Answer, Inquiry
from bibsync.choice import Kind, Memory, Piece
from bibsync.collection import Sync
from bibsync.contents import Contents, Place, Written
from bibsync.daybook import Daybook
from bibsync.errors import SourceBusy, SourceError
from bibsync.fault import Fault
from bibsync.fence import Fence
from bibsync.reading import MOST_SHIFTS, Reading, Verdict
from bibsync.run import Tally
from bibsync.source import Source, present
from bibsync.store import Connection, blanks, days, lanes, pauses, records, windows
from bibsync.store.fences import Standing
from bibsync.store.records import Asked
from bibsync.window import day

ANALYZE_AFTER = 1000
"""A run that stored this many new records refreshes the planner's figures, once."""
SKEW_WARNED_S = 300.0
Mark = tuple[int, str | None, int]
"""Received, last key and its position: the checkpoint."""
FROM_THE_START: Mark = (0, None, 0)

log = structlog.get_logger()


class TooWide(Exception):
    """The window is to be asked for again in halves; what was stored of it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every perusal of a run works with."""

    run: int
    sync: Sync
    fence: Fence
    source: Source
    inquiry: Inquiry
    memory: Memory
    daybook: Daybook
    tally: Tally
    now: Callable[[], datetime]


async def peruse(desk: Desk, piece: Piece) -> None:
    """Read a window to its end.

    Raises:
        TooWide: less is to be asked for; `memory` knows how much.
        SourceBusy: the window failed for this run.
        SourceParked, SourceRefused, SourceMisled, CollectionPaused: the whole run is to stop.
        LeaseLost, StoreUnavailable: see `fence`.
    """
    await _Perusal(desk, piece).go()


class _Perusal:
    def __init__(self, desk: Desk, piece: Piece) -> None:
        self._desk = desk
        self._piece = piece
        self._began = piece.resumed.began if piece.resumed else desk.now()
        self._asked_at = self._began
        self._reading = _reading(desk, piece)

    async def go(self) -> None:
        asked = self._piece.window
        answer = await self._ask()
        if not self._clip_to_present():
            return
        if self._piece.window != asked and answer.page.records:
            answer = (
                await self._ask()
            )  # the first one may hold what is cut off, and offsets with it
        while True:
            answer, held = await self._opened(answer)
            verdict, known = self._judge(answer, held)
            fresh = held[known:]
            match verdict:
                case Verdict.MORE:
                    answer = await self._store_and_ask_on(fresh, answer)
                    continue
                case Verdict.ENDED:
                    await self._cover(blank=answer.page.blank)
                    return
                case Verdict.UNSTABLE:
                    raise SourceBusy(
                        "The vendor gives other records each time the same window is asked for.",
                        outcome=Fault.UNSTABLE,
                    )
            if fresh:
                await self._store(fresh, answer, first=1, mark=FROM_THE_START)
            if verdict is Verdict.SHIFTED:
                self._note_shift()
            answer = await self._ask()

    async def _ask(self) -> Answer:
        return await self._desk.inquiry.page(
            self._piece.window,
            offset=self._reading.offset,
            first=self._reading.received == 0,
            halvable=self._piece.may_halve(self._desk.sync),
        )

    def _clip_to_present(self) -> bool:
        """Cut off what the vendor's clock, known since its answer, says was still to come.

        The same clock says when days and blanks were asked for, else one that is ahead would keep
        them from coming due. What counts is when the window was begun: a purchase made while the
        answer was on its way isn't in it. False: nothing is left, and the run chooses anew.
        """
        desk = self._desk
        skew = desk.source.skew()
        if skew is not None and abs(skew) > SKEW_WARNED_S and not desk.memory.clock_told:
            desk.memory.clock_told = True
            log.warning(events.CLOCK_DIFFERED, skew_s=round(skew))
        end = present(self._began, skew)
        self._asked_at = min(self._began, end)
        if self._piece.window.end > end:
            desk.memory.cutoff = min(desk.memory.cutoff or end, end)
            window = self._piece.window.clipped(self._piece.window.start, end)
            if window is None:
                return False
            self._piece = replace(self._piece, window=window)
        return True

    async def _opened(self, answer: Answer) -> tuple[Answer, Contents]:
        """Open a page; one of which nothing is readable is asked for once more.

        Returns the answer that counts and what it holds.
        """
        desk = self._desk
        held = await contents.opened(answer.page, desk.fence, now=desk.now())
        if not contents.is_suspicious(held):
            return answer, held
        again = await self._ask()
        better = await contents.opened(again.page, desk.fence, now=desk.now())
        if better and not contents.is_suspicious(better):
            return again, better
        return answer, held

    def _judge(self, answer: Answer, held: Contents) -> tuple[Verdict, int]:
        if answer.page.blank:
            return self._reading.take_blank(), 0
        self._desk.tally.pages += 1
        return self._reading.take([item.name for item in held])

    def _note_shift(self) -> None:
        """Read on from the start; the third time in halves, or else without regard to order."""
        desk, window = self._desk, self._piece.window
        desk.tally.shifts += 1
        log.info(events.WINDOW_SHIFTED, window=str(window), times=self._reading.shifts)
        if self._reading.shifts < MOST_SHIFTS:
            return
        if self._piece.kind in {Kind.GAP, Kind.LANE} and window.width > desk.sync.window:
            desk.memory.halve(self._piece, desk.sync)
            raise TooWide
        self._reading.loosen()

    async def _store_and_ask_on(self, fresh: Contents, answer: Answer) -> Answer:
        """Store a page while the next one is fetched; a failed fetch never undoes the storing."""
        reading = self._reading
        first = reading.received - len(fresh) + 1
        mark = (reading.received, reading.last_key, reading.last_pos)

        async def ask_on() -> Answer | SourceError:
            try:
                return await self._ask()
            except SourceError as error:
                return error

        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(ask_on(), name=f"page after {reading.received}")
            await self._store(
                fresh, answer, first=first, mark=FROM_THE_START if reading.loose else mark
            )
        following = ahead.result()
        if isinstance(following, SourceError):
            raise following
        return following

    async def _store(self, fresh: Contents, answer: Answer, *, first: int, mark: Mark) -> None:
        """Commit a page with its checkpoint; stop behind it where it is paused or gone."""
        desk, piece = self._desk, self._piece
        collection, stream = desk.fence.key
        place = Place(
            run=desk.run,
            window=piece.window,
            first=first,
            asked=Asked(desk.fence.epoch, answer.serial),
            now=desk.now(),
            stream=stream,
        )

        async def write(conn: Connection, *, checked: bool = False) -> tuple[Written, bool]:
            at = replace(place, checked=checked)
            written = await contents.write(conn, collection, fresh, at)
            return written, await windows.checkpoint(
                conn, desk.fence.key, piece, mark, began=self._began
            )

        def landed(told: tuple[Written, bool]) -> None:
            self._count(told[0])

        unchanged, before = contents.unchanged(fresh), desk.tally.new
        try:
            if unchanged is not None:
                enabled = await self._checkpoint(mark, unchanged)
            else:
                _, enabled = await desk.fence.commit(write, landed=landed)
        except store.UNSTORABLE:
            _, enabled = await desk.fence.commit(
                lambda conn: write(conn, checked=True), landed=landed
            )
        if before < ANALYZE_AFTER <= desk.tally.new:
            await desk.fence.attempt(records.analyze)
        if not enabled:
            await desk.fence.read(lambda conn: pauses.demand_open(conn, collection))

    async def _checkpoint(self, mark: Mark, unchanged: Written) -> bool:
        """Commit the checkpoint of a page that changes nothing; tell whether to go on."""

        async def note(conn: Connection, standing: Standing) -> bool | None:
            return await windows.checkpoint_alone(
                conn,
                self._desk.fence.key,
                self._piece,
                mark,
                began=self._began,
                standing=standing,
            )

        return await self._desk.fence.commit_at_once(
            note, unanswered=True, landed=lambda _: self._count(unchanged)
        )

    def _count(self, written: Written) -> None:
        tally, window = self._desk.tally, str(self._piece.window)
        tally.received += written.received
        tally.new += written.new
        tally.changed += written.changed
        tally.unchanged += written.unchanged
        tally.rejected += written.rejected
        tally.doubles += written.doubles
        tally.new_rejects += len(written.new_rejects)
        for reason, position, message in written.new_rejects:
            log.warning(
                events.RECORD_REJECTED,
                window=window,
                position=position,
                reason=reason,
                message=message,
            )
        log.info(events.PAGE_STORED, window=window, records=written.received)

    async def _cover(self, *, blank: bool) -> None:
        """Commit that the window is stored completely."""
        desk, piece, window = self._desk, self._piece, self._piece.window
        key, now = desk.fence.key, desk.now()
        cutoff = desk.memory.cutoff or window.end
        is_a_day = window == day(window.start)  # of others nobody wants the names
        names = self._reading.names() if is_a_day and not blank else None
        complete = desk.daybook.note(window, self._asked_at, names)

        async def write(conn: Connection) -> None:
            if blank:
                await blanks.mark(
                    conn, key, window, asked_at=self._asked_at, reread=desk.sync.reread
                )
            else:
                await blanks.clear(conn, key, window)
            await lanes.cover(conn, key, window)
            await days.note(conn, key, complete)
            await windows.drop(conn, key, piece)
            await windows.forget_failed(conn, key)
            await lanes.close_finished(conn, key, now=now, cutoff=cutoff)

        def landed(_: object) -> None:
            desk.memory.covered(piece, self._began, records=self._reading.received, sync=desk.sync)
            desk.tally.windows += 1
            desk.tally.blank += blank
            desk.tally.has_read += window.width

        await desk.fence.commit(write, landed=landed)
        log.info(events.WINDOW_COVERED, window=str(window), kind=piece.kind.value, blank=blank)


def _reading(desk: Desk, piece: Piece) -> Reading:
    size, begun = desk.source.page_size, piece.resumed
    if begun is None:
        return Reading(size)
    return Reading.resumed(size, last_key=begun.last_key, last_pos=begun.last_pos)
