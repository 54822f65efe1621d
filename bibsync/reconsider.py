"""Rejects read again, with today's reader, from the bytes that were kept; no vendor is asked.

    lease ─ fence ─ rejects, newest first ─ read ─┬─ a new record: stored, the reject is resolved
                                                  ├─ one that is there: the reject is resolved
                                                  └─ still none: met once more, with today's reason

It is a run of the collection's purchases: one at a time, fenced, a page and what becomes of it in
one transaction. It may be stopped at any moment and said again. Kept bytes may be years old, so
they never replace a record that is stored, whichever answer that came with. A reader can't
find what isn't in the bytes: a record without a control number is the vendor's to mend.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from random import Random

import structlog

from bibsync import events, fence, lease, marc, store
from bibsync.errors import BibsyncError, LeaseHeld, LeaseLost, Problem, StoreUnavailable
from bibsync.fence import Fence
from bibsync.lease import Leases
from bibsync.marc import markup, sameness
from bibsync.record import Record
from bibsync.reject import Reason, Reject, sentence
from bibsync.run import PURCHASES, Outcome, Summary, Tally
from bibsync.store import Connection, Pool, records, rejects, runs, titles
from bibsync.store.leases import Holder
from bibsync.store.records import Asked
from bibsync.store.rejects import Choice

PAGE = 50
"""Rejects that are stored in one transaction."""
NEVER_ASKED = Asked(0, 0)
"""Older than every answer: epochs begin at 1."""
LAST_WORD_S = 5.0
"""How long a run that is cancelled may take to note that it was."""

log = structlog.get_logger()


class Fate(StrEnum):
    """What became of a reject that was read again; the value stands in JSON."""

    STORED = "stored"
    THERE = "there_already"
    STILL = "still_rejected"


@dataclass(frozen=True, slots=True)
class Ending:
    """A reject and what became of it: as which record it is stored, or why it still can't be."""

    reject: int
    collection: str
    fate: Fate
    control_number: str | None = None
    reason: Reason | None = None
    message: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the line of `rejects retry --json`."""
        return {
            "type": "reject",
            "id": self.reject,
            "collection": self.collection,
            "became": self.fate.value,
            "control_number": self.control_number,
            "reason": self.reason.value if self.reason else None,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the runs use: the store, the leases, time and chance; and who hears how it goes.

    `heard` hears the endings of each page once it is committed, `ended` each run's summary, also
    where all of this is cancelled.
    """

    pool: Pool
    leases: Leases
    heard: Callable[[Sequence[Ending]], None]
    ended: Callable[[Summary], None]
    lease_ttl: timedelta = timedelta(seconds=60)
    trigger: str = "person"
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)


def reread(raw: bytes) -> Record | Reject:
    """Read the kept bytes of a reject as the record of a page is read."""
    return marc.read(sameness.mark(raw, markup.visible(raw), (0, len(raw)), position=0))


async def reconsider(number: int, name: str, choice: Choice, means: Means) -> Summary:
    """Read the chosen rejects of a collection again, store what can be stored now, and report it.

    Trouble with the lease or the database becomes the summary's problem; a cancellation and a
    defect leave this function.
    """
    began = time.monotonic()
    tally = Tally()
    run: int | None = None

    def told(outcome: Outcome, problem: Problem | None = None) -> Summary:
        summary = Summary(
            collection=name,
            stream=PURCHASES,
            run=run,
            outcome=outcome,
            tally=tally,
            caught_up_to=None,
            duration_s=time.monotonic() - began,
            problem=problem,
        )
        tell = log.warning if problem else log.info
        tell(
            events.RUN_ENDED,
            run=run,
            outcome=outcome.value,
            received=tally.received,
            problem=problem.as_json() if problem else None,
        )
        means.ended(summary)
        return summary

    with structlog.contextvars.bound_contextvars(collection=name, stream=PURCHASES):
        try:
            key = (number, PURCHASES)
            async with lease.hold(
                means.leases, key, ttl=means.lease_ttl, random=means.random
            ) as tenure:
                mine, run = await _begun(key, tenure.holder, means)
                async with _ended(mine, run, tally, means):
                    await _Reconsideration(mine, run, name, means, tally).go(choice)
        except LeaseHeld as held:
            remedy = "Wait for that run to end, then say it again."
            return told(Outcome.LOCKED, replace(held.problem, remedy=remedy))
        except LeaseLost as lost:
            return told(Outcome.DEPOSED, lost.problem)
        except StoreUnavailable as away:
            return told(Outcome.FAILED, away.problem)
        except asyncio.CancelledError:
            told(Outcome.INTERRUPTED)
            raise
        return told(Outcome.SUCCEEDED)


async def _begun(key: lease.Key, holder: Holder, means: Means) -> tuple[Fence, int]:
    """Depose whoever ran before and begin the run's row, in one transaction."""

    async def begin(conn: Connection, epoch: int) -> int:
        return await runs.start(
            conn, key, trigger=means.trigger, replica=holder.replica, epoch=epoch, now=means.now()
        )

    mine, run = await fence.take(means.pool, key, holder.token, ttl=means.lease_ttl, begin=begin)
    log.info(events.RUN_STARTED, run=run, epoch=mine.epoch, trigger=means.trigger)
    return mine, run


@asynccontextmanager
async def _ended(mine: Fence, run: int, tally: Tally, means: Means) -> AsyncIterator[None]:
    """End the run's row when the block ends, also when it is cancelled."""

    async def end(outcome: Outcome) -> None:
        await mine.commit(
            lambda conn: runs.end(
                conn,
                mine.key[0],
                run,
                outcome=outcome,
                tally=tally,
                caught_up_to=None,
                problem=None,
                now=means.now(),
            )
        )

    try:
        yield
    except asyncio.CancelledError:
        with suppress(BibsyncError, TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await end(Outcome.INTERRUPTED)
        raise
    await end(Outcome.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Of the records of a page: control numbers that are new, and why others can't be held."""

    new: frozenset[str] = frozenset()
    unfit: Mapping[str, str] = field(default_factory=dict)


class _Reconsideration:
    """One run under its fence, page by page."""

    def __init__(self, mine: Fence, run: int, name: str, means: Means, tally: Tally) -> None:
        self._fence = mine
        self._collection = mine.key[0]
        self._run = run
        self._name = name
        self._means = means
        self._tally = tally

    async def go(self, choice: Choice) -> None:
        """Read every chosen reject; of two with one control number the newer one counts."""
        last = rejects.LAST
        while numbers := await self._fence.read(
            partial(
                rejects.chosen,
                collection=self._collection,
                choice=choice,
                before=last,
                limit=PAGE,
            )
        ):
            last = numbers[-1]
            page = [(number, await self._reread(number)) for number in numbers]
            endings = await self._fence.commit(partial(self._write, page=page))
            self._count(endings)
            self._means.heard(endings)

    async def _reread(self, number: int) -> Record | Reject:
        """Read one reject: the largest have as many bytes as an answer may have."""
        raw = await self._fence.read(
            partial(rejects.raw, collection=self._collection, number=number)
        )
        return reread(raw)

    async def _write(
        self, conn: Connection, *, page: Sequence[tuple[int, Record | Reject]]
    ) -> list[Ending]:
        """Store what is new of a page and note what became of each reject."""
        now, newest = self._means.now(), dict[str, tuple[int, Record]]()
        for number, what in page:
            if isinstance(what, Record):
                newest.setdefault(what.control_number, (number, what))
        stored = await self._stored(conn, [record for _, record in newest.values()], now)
        first = {number for number, _ in newest.values()}
        endings = [self._ending(*each, stored, counts=each[0] in first) for each in page]
        await titles.want(conn, self._collection, stored.new, now)
        done = [each.reject for each in endings if each.fate is not Fate.STILL]
        await rejects.resolve(conn, self._collection, done)
        still = [(e.reject, e.reason, e.message) for e in endings if e.reason and e.message]
        await rejects.meet_again(conn, self._collection, still, now)
        return endings

    async def _stored(self, conn: Connection, wanted: Sequence[Record], now: datetime) -> _Stored:
        """Store the records that aren't there, in a savepoint; what PostgreSQL can't hold, singly.

        Looked up first: also a record that an earlier run stored so is not to be replaced.
        """
        try:
            async with conn.transaction():
                keys = [record.control_number for record in wanted]
                there = await records.look_up(conn, self._collection, keys)
                stored = await records.store(
                    conn,
                    self._collection,
                    [record for record in wanted if record.control_number not in there],
                    asked=NEVER_ASKED,
                    run=self._run,
                    now=now,
                )
        except store.UNSTORABLE as error:
            if len(wanted) == 1:
                why = f"PostgreSQL can't hold it: {type(error).__name__}"
                told = sentence(Reason.UNREADABLE_RECORD, why)
                return _Stored(unfit={wanted[0].control_number: told})
        else:
            return _Stored(frozenset(stored.new))
        each = [await self._stored(conn, [record], now) for record in wanted]
        return _Stored(
            frozenset(key for one in each for key in one.new),
            {key: why for one in each for key, why in one.unfit.items()},
        )

    def _ending(
        self, number: int, what: Record | Reject, stored: _Stored, *, counts: bool
    ) -> Ending:
        if isinstance(what, Reject):
            still = Fate.STILL
            return Ending(number, self._name, still, reason=what.reason, message=what.message)
        key = what.control_number
        if why := stored.unfit.get(key):
            unreadable = Reason.UNREADABLE_RECORD
            return Ending(number, self._name, Fate.STILL, key, unreadable, why)
        fate = Fate.STORED if counts and key in stored.new else Fate.THERE
        return Ending(number, self._name, fate, key)

    def _count(self, endings: Sequence[Ending]) -> None:
        fates = Counter(each.fate for each in endings)
        tally = self._tally
        tally.pages += 1
        tally.received += len(endings)
        tally.new += fates[Fate.STORED]
        tally.unchanged += fates[Fate.THERE]
        tally.rejected += fates[Fate.STILL]
