"""The look-ups of one run under its fence: new titles are described, as many a request as go.

    list of titles ─ 25 of them ─ ask ─┬─ told: described, where it differs from what is kept
                                       ├─ left out: stays on the list, asked again in days
                                       └─ no answer: stays due; asked for once more in halves

Promises: titles come onto the list in the transaction that stores their records, and leave it in
the one that stores their description; no request is part of either. An error or an empty answer
says nothing of any title. One title that the vendor chokes on costs no other: what failed together
is asked for in halves, when everything else was asked; one that fails alone, though others don't,
is asked for at growing intervals, and titles never asked for come before those asked for in vain.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bibsync import events
from bibsync.ask import Breaker, Inquiry
from bibsync.errors import CollectionPaused, Problem, SourceBusy, SourceError, first_of
from bibsync.fence import Fence
from bibsync.item import Items
from bibsync.run import Outcome, Tally
from bibsync.source import Describing, Source
from bibsync.store import Connection, collections, pauses, runs, titles
from bibsync.store.titles import Described, Due

AT_ONCE = 4
"""Look-ups in flight for one collection; the vendor's budget paces them."""
MOST_IN_A_ROW = 12
"""After so many look-ups without an answer between them the vendor is away, whatever the titles."""
MOST_HALVES = 40
"""So many failed look-ups wait at most to be asked for in halves: then they come first."""

Titles = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Titles of one look-up; `whole` is the look-up that they are a part of, if it failed.

    `known` tells of one title that it had no answer by itself before.
    """

    titles: Titles
    whole: Titles
    known: bool = False


log = structlog.get_logger()


class LookUps:
    """One run of look-ups. A source that tells nothing of titles has nothing to be asked."""

    caught_up_to: datetime | None = None
    """Titles have no place in time: always None."""

    def __init__(
        self,
        number: int,
        source: Source,
        *,
        fence: Fence,
        inquiry: Inquiry,
        tally: Tally,
        now: Callable[[], datetime],
    ) -> None:
        self.number = number
        self.problem: Problem | None = None
        self._source = source if isinstance(source, Describing) else None
        self._collection = fence.key[0]
        self._fence = fence
        self._inquiry = inquiry
        self._breaker = Breaker()
        self._unanswered = 0
        self._tally = tally
        self._now = now
        self._began = now()
        self._paused = False
        self._in_vain = False
        self._last = ""
        self._turn = asyncio.Lock()
        self._halves: deque[Asked] = deque()

    @property
    def outcome(self) -> Outcome:
        """How the run stands, from what it did and what stopped it."""
        if self._paused:
            return Outcome.PAUSED
        if self.problem is None:
            return Outcome.SUCCEEDED
        return Outcome.PARTIAL if self._tally.pages else Outcome.FAILED

    async def go(self) -> None:
        """Look up every title that is due, the first few alone: they show whether we are known."""
        if self._source is None:
            return
        try:
            self._tally.to_look_up = await self._fence.read(self._count_due)
            if await self._look_up_some(self._source):
                async with asyncio.TaskGroup() as group:
                    workers = [
                        group.create_task(self._work(self._source), name=f"look-ups {number}")
                        for number in range(AT_ONCE)
                    ]
                    await asyncio.wait(workers)
        except BaseExceptionGroup as failed:
            self._stopped_by(first_of(failed))
        except (CollectionPaused, SourceError) as stopped:
            self._stopped_by(stopped)

    async def end(self, outcome: Outcome) -> None:
        """Note how the run ended."""
        await self._fence.commit(
            lambda conn: runs.end(
                conn,
                self._collection,
                self.number,
                outcome=outcome,
                tally=self._tally,
                caught_up_to=None,
                problem=self.problem,
                now=self._now(),
            )
        )

    def _stopped_by(self, error: BaseException) -> None:
        """Take what stops a run, but not the process, as its problem."""
        if not isinstance(error, CollectionPaused | SourceError):
            raise error
        self.problem = error.problem
        self._paused = isinstance(error, CollectionPaused)
        self._tally.unanswered = max(0, self._tally.to_look_up - self._tally.received)

    async def _count_due(self, conn: Connection) -> int:
        await pauses.demand_open(conn, self._collection)
        return await titles.count_due(conn, self._collection, self._began)

    async def _work(self, source: Describing) -> None:
        while await self._look_up_some(source):
            pass

    async def _look_up_some(self, source: Describing) -> bool:
        """Look up the next titles; False: none are left."""
        asked = await self._next(source.lookup_size)
        if asked is None:
            return False
        try:
            answer = await self._inquiry.items(source, asked.titles)
        except SourceBusy as busy:
            await self._fail(asked, busy)
        else:
            self._breaker.succeeded()
            self._unanswered = 0
            await self._keep(answer)
        return True

    async def _next(self, most: int) -> Asked | None:
        """Return what to ask for: new titles, those asked for in vain, what failed in halves."""
        async with self._turn:
            if len(self._halves) >= MOST_HALVES:
                return self._halves.popleft()
            due = await self._due(most)
            if not due and not self._in_vain:
                self._in_vain, self._last = True, ""
                due = await self._due(most)
            if not due:
                return self._halves.popleft() if self._halves else None
            self._last = due[-1].control_number
            numbers = tuple(each.control_number for each in due)
            return Asked(numbers, numbers, known=len(due) == 1 and due[0].is_known)

    async def _due(self, most: int) -> tuple[Due, ...]:
        return await self._fence.read(
            lambda conn: titles.due(
                conn,
                self._collection,
                self._began,
                run=self.number,
                in_vain=self._in_vain,
                after=self._last,
                limit=most,
            )
        )

    async def _keep(self, answer: Items) -> None:
        """Commit what the vendor told."""
        now, collection = self._now(), self._collection
        told = [item.described() for item in answer.described.values()]

        async def write(conn: Connection) -> tuple[Described, bool]:
            described = await titles.describe(conn, collection, told, now)
            await titles.postpone(conn, collection, answer.absent, now)
            return described, await collections.is_enabled(conn, collection)

        def landed(kept: tuple[Described, bool]) -> None:
            tally, described = self._tally, kept[0]
            tally.pages += 1
            tally.received += len(told)
            tally.new += described.new
            tally.changed += described.changed
            tally.unchanged += len(told) - described.new - described.changed
            tally.unanswered += len(answer.absent)

        _, enabled = await self._fence.commit(write, landed=landed)
        log.info(events.TITLES_DESCRIBED, titles=len(told), absent=len(answer.absent))
        if not enabled:
            await self._fence.read(lambda conn: pauses.demand_open(conn, collection))

    async def _fail(self, asked: Asked, busy: SourceBusy) -> None:
        """Leave titles on the list with the reason; ask for several once more, in halves.

        A title that fails alone is no trouble of the vendor's where it answered for others.
        """
        why, now, collection = f"{busy.code}: {busy.message}", self._now(), self._collection
        alone = len(asked.titles) == 1
        is_its_own = alone and (asked.known or self._tally.pages > 0)

        async def write(conn: Connection) -> None:
            await titles.fail(conn, collection, asked.titles, why, run=self.number)
            if is_its_own:
                await titles.defer(conn, collection, asked.titles[0], why, now)

        await self._fence.commit(write)
        log.warning(
            events.LOOKUP_FAILED, titles=len(asked.titles), code=busy.code, outcome=busy.outcome
        )
        if is_its_own:
            self._tally.unanswered += 1
            return
        self._breaker.fail(asked.whole)
        self._unanswered += 1
        if self._breaker.open or self._unanswered >= MOST_IN_A_ROW:
            raise busy
        if alone:
            self._tally.unanswered += 1
            self.problem = busy.problem
            return
        middle = len(asked.titles) // 2
        for half in (asked.titles[:middle], asked.titles[middle:]):
            self._halves.append(Asked(half, asked.whole))
