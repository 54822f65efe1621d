"""One seed: a small library, a few rounds of runs amid faults, then all is healed.

What must hold is looked at twice: after the first undisturbed run, and after the last one, when
every age at which a day is read again has passed. See `verdict`.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pydantic import SecretStr

from bibsync.collection import REREAD, Collection, Sync
from bibsync.lease import Leases
from bibsync.run import Order, Outcome, Summary
from bibsync.store import collections
from bibsync.window import DAY
from tests.simulation import verdict
from tests.simulation.database import Database, Server
from tests.simulation.faults import Faults
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.replica import Blow, GrantingAll, Replica
from tests.simulation.vendor import Reply, Request, Title, Vendor, Wire
from tests.simulation.verdict import Truth, Violation

EPOCH = datetime(2024, 3, 1, tzinfo=UTC)
"""Second 0 of the loop."""
DAY_S = 86400.0
LATEST_S = 64 * DAY_S - 3600.0
BEGIN_S = 3 * DAY_S + 34200.0
"""The first run: until then the library has bought for at most three days."""
LONGEST_STEP = 1200
HEALED_WAIT = timedelta(minutes=30)
ENDS = frozenset(Outcome)


@dataclass
class Report:
    """What a seed came to."""

    seed: int
    violation: str | None = None
    fired: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    requests: int = 0
    history: list[tuple[float, str, str]] = field(default_factory=list)


def simulate(server: Server, seed: int) -> Report:
    """Live through a seed; its report names what was violated."""
    report = Report(seed)
    server.empty()
    loop = VirtualLoop()
    loop.set_exception_handler(lambda *_: None)
    try:
        world = World(server, seed, loop, report)
        loop.run_until_complete(world.live())
    except Violation as violation:
        report.violation = str(violation)
    except Stuck as stuck:
        report.violation = f"stuck: {stuck}"
    finally:
        loop.close()
    return report


class World:
    """A library, its vendor, two replicas that harvest it, and what befalls them."""

    def __init__(self, server: Server, seed: int, loop: VirtualLoop, report: Report) -> None:
        self.random = Random(f"{seed} world")
        self.report = report
        self.server = server
        self.seed = seed
        self._loop = loop
        draw = self.random
        self.collection = Collection(
            name=f"seed {seed} of {server.served}",
            source="bibliotheca",
            library_id=f"{seed} of {server.served}",
            account_id="account",
            account_key=SecretStr("key"),
            base_url="https://vendor.example/",
            sync=Sync(
                start_date=EPOCH + draw.choice((0, 0, 1, 2)) * DAY,
                reread=REREAD,
                window=draw.choice((1, 1, 4)) * DAY,
                max_window=32 * DAY,
                windows_at_once=draw.choice((1, 2, 2)),
                retries=draw.choice((0, 2, 4)),
            ),
        )
        self.vendor = Vendor([], draw.randint(3, 5), self.true)
        self.faults = Faults(Random(f"{seed} faults"), self.vendor, loop.time, report.fired)
        self.database = Database(
            server, Random(f"{seed} wire"), clock=self._server_now, lost=self._lost, noted=self.note
        )
        self.replicas: dict[str, Replica] = {}
        self.number = 0

    def true(self) -> datetime:
        """Return the true time."""
        return EPOCH + timedelta(seconds=self._loop.time())

    async def live(self) -> None:
        """Live through it."""
        self.vendor.titles += _titles(self.random)
        await self._enrol()
        await asyncio.sleep(BEGIN_S)
        for _ in range(self.random.randint(2, 3)):
            await self._round()
            await asyncio.sleep(self.random.choice((0.0, 5.0, 90.0, 4000.0, DAY_S)))
        self._heal()
        await self._undisturbed()
        await asyncio.sleep(66 * DAY_S)
        await self._undisturbed(final=True)

    def note(self, who: str, what: str) -> None:
        """Write history."""
        self.report.history.append((self._loop.time(), who, what))

    async def _round(self) -> None:
        """Have one replica run, or two at once."""
        draw = self.random
        runs = [self._start("a", self._order())]
        if draw.random() < 0.4:
            await asyncio.sleep(draw.uniform(0.0, 60.0))
            runs.append(self._start("b", self._order()))
        await asyncio.wait(runs)
        for run in runs:
            self._note_end(run)

    def _start(self, name: str, order: Order, *, calm: bool = False) -> "asyncio.Task[Any]":
        replica = self.replicas.get(name)
        if replica is None or replica.crashed:
            replica = self.replicas[name] = self._process(name)
        draw = self.random
        leases: Leases | None = None
        if not calm and draw.random() < 0.15:
            self.report.fired["lease granted to all"] += 1
            leases = GrantingAll()
        wait = HEALED_WAIT if calm else draw.choice((timedelta(0), timedelta(seconds=90)))
        self.report.runs += 1
        self.note(name, f"starts {order.lane if order.force_reimport else 'a run'}")
        return replica.start(
            self.collection,
            self.number,
            order,
            blows=[] if calm else _blows(draw),
            wait_lock=wait,
            leases=leases,
        )

    def _process(self, name: str) -> Replica:
        wire: Wire | None = None

        def source(replica: Replica, collection: Collection, permit: Any) -> Any:
            nonlocal wire
            wire = wire or Wire(self.vendor, replica, self._answer)
            return wire.source(collection, permit)

        fired = self.report.fired
        return Replica(
            name,
            self.database,
            source,
            Random(f"{self.seed} {name} {self.report.runs}"),
            self.true,
            fired=lambda kind: fired.update([kind]),
        )

    def _order(self) -> Order:
        draw = self.random
        kind = draw.choices(("plain", "reimport", "backfill", "limited"), (70, 12, 10, 8))[0]
        if kind == "plain":
            return Order()
        self.report.fired[f"order: {kind}"] += 1
        since = EPOCH + draw.choice((0, 1, 2)) * DAY
        until = since + draw.choice((1, 2)) * DAY
        if kind == "limited":
            return Order(since=since, until=until)
        if kind == "backfill":
            return Order(since=since, until=until, force_reimport=True, lane="backfill")
        return Order(force_reimport=True)

    def _answer(self, request: Request) -> Reply:
        self.report.requests += 1
        reply = self.faults.answer(request)
        self.note(
            request.replica,
            f"asks {request.window} {request.offset}: "
            f"{reply.failed or reply.status} {len(reply.body)} bytes",
        )
        return reply

    def _lost(self, kind: str) -> str | None:
        return self.faults.lost(kind)

    def _server_now(self) -> datetime:
        return self.true()

    def _heal(self) -> None:
        self.faults.healed = True

    async def _undisturbed(self, *, final: bool = False) -> None:
        """Have a run that nothing disturbs; it must succeed, and all must hold then."""
        began = self._loop.time()
        run = self._start("a", Order(), calm=True)
        await asyncio.wait([run])
        summary = self._note_end(run)
        if summary is None or summary.outcome is not Outcome.SUCCEEDED:
            raise Violation(f"an undisturbed run didn't succeed: {summary}")
        truth = Truth(
            titles=self.vendor.titles,
            sync=self.collection.sync,
            epoch=EPOCH,
            began=began,
            now=self._loop.time(),
        )
        verdict.demand(self.server, self.number, truth, final=final)

    def _note_end(self, run: "asyncio.Task[Any]") -> Summary | None:
        if run.cancelled():
            return None
        error = run.exception()
        if error is not None:
            raise Violation(f"a defect ended a run: {error!r}") from error
        summary: Summary | None = run.result()
        if summary is not None:
            self.report.fired[f"run {summary.outcome}"] += 1
            self.note("run", f"{summary.outcome} {summary.problem}")
        return summary

    async def _enrol(self) -> None:
        conn = self.server.lend("")
        numbers = self.server.run(collections.enrol(conn, [self.collection]))
        self.server.take_back("", conn)
        self.number = numbers[self.collection.name]


def _blows(draw: Random) -> list[Blow]:
    """Draw what befalls a run: mostly nothing or one blow, at any step, more often an early one."""
    blows = []
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        step = round(LONGEST_STEP ** draw.uniform(0.2, 1.0))
        kind = draw.choices(("crash", "cancellation", "pause"), (4, 3, 4))[0]
        blows.append(Blow(step, kind, draw.choice((3.0, 17.0, 40.0, 200.0))))
    return blows


def _titles(draw: Random) -> list[Title]:
    return [_title(draw, n) for n in range(draw.randint(5, 14))]


def _title(draw: Random, number: int) -> Title:
    bought = draw.uniform(0.0, BEGIN_S)
    if draw.random() < 0.3:
        bought = draw.randint(1, 3) * DAY_S - draw.choice((0.0, 1.0))
    late = draw.random() < 0.2
    shown = bought + (draw.choice((600.0, DAY_S, 7 * DAY_S, LATEST_S)) * draw.random() * late)
    title = Title(
        f"t{number:03d}",
        EPOCH + timedelta(seconds=int(bought)),
        shown,
        shown,
        prompt=not late,
        controls=draw.choices((1, 0, 2), (90, 5, 5))[0],
    )
    if title.controls == 1 and draw.random() < 0.25:
        title.edited.append(draw.uniform(bought, BEGIN_S + 2 * DAY_S))
    return title
