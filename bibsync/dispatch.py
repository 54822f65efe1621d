"""The dispatch: a replica's share of the work, claimed, carried out, and told of.

    due ─ claim ─ job ─┬─ ended                       settled, with its outcome and result
                       ├─ failed, may pass            again after `retry_delay`, `retries` times;
                       │                              then within the hour, by a request anew
                       ├─ locked                      once more, soon; or absorbed by a backfill
                       ├─ database was away           once more, soon: that is nobody's failure,
                       │                              unless it answers everybody else
                       ├─ cancelled by a person       cancelled
                       └─ stopped, reloaded           given back: another replica goes on

Promises: at most `concurrency` requests at once, one place of which bulk work (first fills,
backfills, re-imports) never takes, so that fresh work doesn't wait for it. A replica that goes
away loses what it held after the time to live of leases; none of it is lost or done twice at once,
since leases and fences say who may run. A request that crashes costs no other.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from bibsync import events, lease, rounds, store
from bibsync.errors import BibsyncError, CollectionPaused, Problem, StoreUnavailable
from bibsync.jobs import JOBS, Done, Duty, Task
from bibsync.rounds import Database
from bibsync.run import PURCHASES, Outcome, Summary
from bibsync.store import claims, firings, lanes, pauses, requests
from bibsync.store.claims import Ended
from bibsync.store.requests import FIRST_FILL, LAST, Terms, Wish

LOOK_S = 1.0
"""How soon work that another process asked for is seen."""
LOCKED_AGAIN = timedelta(seconds=15)
BACK_AGAIN = timedelta(seconds=5)
"""How soon what the database failed is tried again: it answers, else nobody could note that."""
AGAIN = timedelta(minutes=30)
"""How soon purchases that failed for a passing reason are tried again after their retries."""
MOST_CLAIMS = 5
"""A request that was begun so often and never ended takes its process down, or hangs."""
MOST_REMEMBERED = 1000
LAST_WORD_S = 5.0
SCHEDULE = "schedule"

log = structlog.get_logger()


def _unheard(_: timedelta) -> None:
    """Hear of a delay and do nothing."""


@dataclass(slots=True)
class Held:
    """A request that this replica carries out."""

    task: Task
    work: asyncio.Task[None]
    unwanted: bool = False
    """A person has cancelled it."""
    _stopped: bool = False

    def stop(self) -> None:
        """Stop the work, once: a second cancellation would cut off how the first is noted."""
        if not self._stopped:
            self._stopped = True
            self.work.cancel()


class Dispatch:
    """What one replica carries out.

    `heard` is told each run's summary, `begun` how long after its time what a schedule wants was
    begun.
    """

    def __init__(
        self,
        database: Database,
        duty: Duty,
        *,
        heard: Callable[[Summary], None],
        begun: Callable[[timedelta], None] = _unheard,
    ) -> None:
        self.duty = duty
        process = lease.this_process()
        self.replica = process.replica
        self.held: dict[int, Held] = {}
        self.woken = asyncio.Event()
        self._database = database
        self._token = lease.written(process)
        self._heard = heard
        self.begun = begun
        self._group: asyncio.TaskGroup | None = None
        self._in_line: set[int] = set()

    async def serve(self, round_: Callable[[], Any]) -> None:
        """Carry out requests until cancelled; then give back those under way.

        `round_` makes rounds of `look`.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            await round_()

    async def look(self) -> float:
        """Claim what is due, as far as there are places, and begin it; return the wait then."""
        async with store.acquire(self._database.pool) as conn:
            back = await _taken_back(conn)
            dropped = await claims.drop_expired(conn)
            left = await claims.settle_left(conn, LEFT.as_json())
            absorbed = await claims.absorb(conn)
            for ended in await firings.finish(conn):
                log.info(events.SCHEDULE_ENDED, schedule=ended.schedule, outcome=ended.outcome)
            claimed = await self._claim(conn)
        for number in back:
            log.warning(events.REQUEST_TAKEN_OVER, request=number)
        for row in dropped:
            of = self.duty.numbers.get(row["collection"])
            log.warning(
                events.REQUEST_DROPPED,
                request=row["request"],
                job=row["job"],
                collection=of.name if of else None,
            )
        for row in left:
            _tell_ended(row, Outcome.PAUSED, LEFT)
        for row in absorbed:
            self.duty.means.witness.ended(PURCHASES, Outcome.ABSORBED)
            _tell_ended(row, Outcome.ABSORBED)
        for row in claimed:
            if _is_a_slots(row) and row["started"] >= row["due_at"]:  # not one that waited again
                self.begun(row["started"] - row["due_at"])
            self._begin(row)
        return LOOK_S

    async def keep(self) -> float:
        """Prolong what is held, and stop what somebody cancelled or another has taken over."""
        ttl, held = self.duty.means.lease_ttl, dict(self.held)
        async with store.acquire(self._database.pool) as conn:
            kept = await claims.keep(conn, self._token, [*held], ttl=ttl)
        for number, each in held.items():
            if number not in kept or kept[number]:
                each.unwanted = kept.get(number, False)
                each.stop()
        return min(ttl.total_seconds() / 4, LOOK_S * 2)

    async def take_up(self, duty: Duty) -> list[str]:
        """Go by another configuration: what it changed is begun anew, all else goes on.

        Returns the names of the collections whose work was stopped.
        """
        before, self.duty = self.duty, duty
        stopped = []
        for held in list(self.held.values()):
            collection, number = held.task.collection, held.task.row["collection"]
            if collection is not None and duty.numbers.get(number) != before.numbers.get(number):
                held.stop()
                stopped.append(collection.name)
        self.woken.set()
        return stopped

    async def _claim(self, conn: store.Connection) -> list[Any]:
        """Claim fresh work for the free places, then bulk work for those it may have."""
        places = self.duty.config.daemon.concurrency
        free = places - len(self.held)
        heavy = sum(held.task.row["priority"] >= FIRST_FILL for held in self.held.values())
        rows = await self._claimed(conn, (0, FIRST_FILL - 1), free)
        room = min(free - len(rows), max(places - 1, 1) - heavy)
        return rows + await self._claimed(conn, (FIRST_FILL, LAST), room)

    async def _claimed(
        self, conn: store.Connection, priorities: tuple[int, int], limit: int
    ) -> list[Any]:
        if limit <= 0:
            return []
        return await claims.claim(
            conn,
            [*self.duty.numbers],
            priorities=priorities,
            limit=limit,
            holder=(self._token, self.replica),
            ttl=self.duty.means.lease_ttl,
        )

    def _begin(self, row: Any) -> None:
        assert self._group is not None  # noqa: S101 - looks are made while it serves
        number = row["request"]
        collection = self.duty.numbers.get(row["collection"])
        task = Task(row=row, duty=self.duty, collection=collection, ended=self._heard)
        work = self._group.create_task(self._carry_out(task), name=f"request {number}")
        self.held[number] = Held(task, work)
        work.add_done_callback(lambda _: self._put_down(number))

    def _put_down(self, number: int) -> None:
        """Hold a request no longer, also one whose work was stopped before it began."""
        self.held.pop(number, None)
        self.woken.set()

    async def _carry_out(self, task: Task) -> None:
        row = task.row
        about = {"request": row["request"], "job": row["job"]}
        if task.collection is not None:
            about["collection"] = task.collection.name
        with structlog.contextvars.bound_contextvars(**about):
            try:
                began = time.monotonic()
                await self._note(task, await _done(task), began)
            except asyncio.CancelledError:
                with suppress(*store.DISCONNECTED):
                    async with asyncio.timeout(LAST_WORD_S):
                        await self._stopped(task)
                raise

    async def _note(self, task: Task, done: Done, began: float) -> None:
        """Settle the request or put it back, trying until the database answers, and tell of it."""
        who, row = ("request", task.row["request"]), task.row
        outage = _is_away(done) and (row["claims"] == 1 or self._database.failed_since(began))
        tell = await rounds.until_answered(
            self._database, who, lambda: self._noted(task, done, outage=outage)
        )
        tell()

    async def _noted(self, task: Task, done: Done, *, outage: bool) -> Callable[[], None]:
        """Settle the request or put it back; return what is to be told once that is committed."""
        row = task.row
        number, collection = row["request"], row["collection"]
        async with store.acquire(self._database.pool) as conn, conn.transaction():
            if done.outcome in {Outcome.LOCKED, Outcome.DEPOSED}:
                if not await _is_absorbed(conn, task):
                    await claims.put_back(
                        conn, self._token, [number], wait=LOCKED_AGAIN, begun=False
                    )
                    return partial(self._tell_in_line, number, done)
                done = Done(outcome=Outcome.ABSORBED)
            if outage:
                return await self._put_back(conn, number, BACK_AGAIN)
            parked_until = await _parked_until(conn, collection)
            passing = done.problem is not None and done.problem.transient
            if passing and row["attempts"] < row["retries"]:
                return await self._put_back(
                    conn, number, row["retry_delay"], attempts=1, earliest=parked_until
                )
            mine = await claims.settle(conn, number, self._token, _ended(done))
            if mine and passing and row["job"] == PURCHASES and collection is not None:
                await _ask_again(conn, row, parked_until)
        return partial(self._tell_settled, number, done)

    def _tell_settled(self, number: int, done: Done) -> None:
        self._in_line.discard(number)
        if done.outcome is Outcome.ABSORBED:
            self.duty.means.witness.ended(PURCHASES, Outcome.ABSORBED)
        problem = done.problem.as_json() if done.problem else None
        log.info(events.REQUEST_ENDED, outcome=done.outcome.value, problem=problem)

    def _tell_in_line(self, number: int, done: Done) -> None:
        """Say once who has the stream that the request waits for."""
        if number in self._in_line or done.problem is None:
            return
        if len(self._in_line) >= MOST_REMEMBERED:  # others may have ended what stood in line
            self._in_line.clear()
        self._in_line.add(number)
        wait_s = LOCKED_AGAIN.total_seconds()
        log.info(events.REQUEST_PUT_BACK, wait_s=wait_s, problem=done.problem.as_json())

    async def _stopped(self, task: Task) -> None:
        """Note that the work was stopped: by a person's word, or by a stop, to be gone on with."""
        number = task.row["request"]
        held = self.held.get(number)
        async with store.acquire(self._database.pool) as conn, conn.transaction():
            if held is not None and held.unwanted:
                ended = Ended("cancelled", state="cancelled")
                await claims.settle(conn, number, self._token, ended)
                return
            tell = await self._put_back(conn, number, timedelta(0))
        tell()

    async def _put_back(
        self, conn: store.Connection, number: int, wait: timedelta, **more: Any
    ) -> Callable[[], None]:
        """Let the request wait again; return what is to be told once that is committed."""
        await claims.put_back(conn, self._token, [number], wait=wait, **more)
        return partial(log.info, events.REQUEST_PUT_BACK, wait_s=wait.total_seconds())


def _tell_ended(row: Any, outcome: Outcome, problem: Problem | None = None) -> None:
    """Tell of a request that ended without anybody having carried it out."""
    log.info(
        events.REQUEST_ENDED,
        request=row["request"],
        job=row["job"],
        collection=row["name"],
        outcome=outcome.value,
        problem=problem.as_json() if problem else None,
    )


def _is_away(done: Done) -> bool:
    return done.problem is not None and done.problem.code == StoreUnavailable.code


def _is_a_slots(row: Any) -> bool:
    """Tell whether a schedule's time brought the request, not a person and not a failure."""
    return row["trigger"] == SCHEDULE and row["firing"] is not None


async def _taken_back(conn: store.Connection) -> list[int]:
    """Let wait again what was held by processes that are gone, or haven't been heard of in time."""
    holders = await claims.holders(conn)
    gone = [holder for holder in holders if lease.is_gone(holder)]
    if not gone and not any(holders.values()):
        return []
    async with conn.transaction():
        return await claims.take_back(conn, gone)


async def _ask_again(conn: store.Connection, row: Any, parked_until: datetime | None) -> None:
    """Have purchases tried again soon: nobody should have to, and the next slot may be far."""
    now = await conn.fetchval(requests.NOW)
    due_at = max(now + AGAIN, parked_until or now)
    wish = Wish(job=PURCHASES, collection=row["collection"], due_at=due_at)
    priority = max(row["priority"], requests.SCHEDULED)
    terms = Terms(trigger=row["trigger"], by=row["requested_by"], priority=priority)
    await requests.ask(conn, wish, terms)


async def _done(task: Task) -> Done:
    """Do the job. What a person can act on is its problem, a defect too: it costs no other."""
    row = task.row
    if row["claims"] > MOST_CLAIMS:
        return Done(outcome=Outcome.FAILED, problem=_hopeless(row))
    if task.collection is None and row["collection"] is not None:
        return Done(outcome=Outcome.PAUSED, problem=LEFT)
    try:
        return await JOBS[row["job"]].act(task)
    except BibsyncError as error:
        return Done(outcome=Outcome.FAILED, problem=error.problem)
    except store.DISCONNECTED as error:
        return Done(outcome=Outcome.FAILED, problem=store.unavailable(error).problem)
    except Exception:
        log.exception(events.REQUEST_CRASHED)
        return Done(outcome=Outcome.FAILED, problem=BibsyncError(CRASHED).problem)


LEFT = CollectionPaused(pauses.LEFT).problem
CRASHED = "The work met a defect of bibsync; the log has its traceback."


def _hopeless(row: Any) -> Problem:
    return BibsyncError(
        f"It was begun {row['claims'] - 1} times, and each time its process went away."
    ).problem


def _ended(done: Done) -> Ended:
    return Ended(
        done.outcome.value,
        done.problem.as_json() if done.problem else None,
        done.result,
        done.run,
    )


async def _is_absorbed(conn: store.Connection, task: Task) -> bool:
    """Tell whether whoever holds the stream reads the new days anyway: it is at a backfill."""
    row = task.row
    plain = row["since"] is None and row["until"] is None and not row["force_reimport"]
    if not plain or row["job"] != PURCHASES:
        return False
    standing = await lanes.standing(conn, (row["collection"], PURCHASES))
    return standing is not None and standing.reads_on


async def _parked_until(conn: store.Connection, collection: int | None) -> datetime | None:
    if collection is None:
        return None
    standing = await lanes.standing(conn, (collection, PURCHASES))
    return standing.parked_until if standing else None
