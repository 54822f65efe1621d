"""One seed: a small library, a few rounds of runs amid faults, then all is healed.

What must hold is looked at after each undisturbed run, for the last time when every age at which
a day is read again has passed. See `verdict`.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import asyncpg
from pydantic import SecretStr

from bibsync.collection import Collection, Sync
from bibsync.fence import DEPOSED
from bibsync.lease import Leases
from bibsync.run import Order, Outcome, Summary
from bibsync.source import Permit, Source
from bibsync.store import collections
from bibsync.window import DAY
from tests.simulation import verdict
from tests.simulation.database import Database, Server
from tests.simulation.faults import Faults
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.replica import Blow, GrantingAll, Replica
from tests.simulation.titles import OLDEST_S, old_stock, stock
from tests.simulation.vendor import Reply, Request, Vendor, Wire
from tests.simulation.verdict import Truth, Violation

Running = asyncio.Task[Summary | None]
FLUSH = "update leases set expires_at = '-infinity' where collection = $1"
WAS_DEPOSED = """
select f.epoch > r.epoch from runs r join fences f using (collection, stream)
where collection = $1 and run = $2
"""
EPOCH = datetime(2024, 3, 1, tzinfo=UTC)
"""Second 0 of the loop."""
DAY_S = 86400.0
BEGIN_S = 3 * DAY_S + 34200.0
"""The first run: until then the library has bought for three days and a half."""
STARTS = (*(EPOCH + days * DAY for days in (0, 0, 1, 2)), EPOCH - timedelta(seconds=OLDEST_S))
STEPS = 2000
"""A run takes about so many at most."""
PAUSES_S = (3.0, 17.0, 40.0, 200.0)
"""Some outlast the lease, some the server's patience with an idle transaction."""
HEALED_WAIT = timedelta(minutes=30)
GAPS_S = (0.0, 5.0, 90.0, 4000.0, DAY_S)
"""Between two rounds: a window that was begun is resumed within an hour, and read anew after."""


@dataclass
class Report:
    """What a seed came to."""

    seed: int
    violation: str | None = None
    fired: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
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
        self.seed = seed
        self.server = server
        self.report = report
        self.number = 0
        self._loop = loop
        self._draw = draw = Random(f"{seed} world")
        self._collection = _collection(draw, f"{seed} of {server.served}")
        self._vendor = Vendor([], draw.randint(3, 5), self.true, skew_s=_skew(draw))
        self._faults = Faults(seed, self._vendor, loop.time, EPOCH, report.fired)
        self._server_skew_s = _skew(draw)
        self._clocks_right = self._vendor.skew_s == 0
        self._replicas: dict[str, Replica] = {}
        self._started = 0
        self._database = Database(
            server,
            Random(f"{seed} wire"),
            clock=lambda: self.true() + timedelta(seconds=self._server_skew_s),
            lost=self._faults.lost,
            noted=self.note,
        )

    def true(self) -> datetime:
        """Return the true time."""
        return EPOCH + timedelta(seconds=self._loop.time())

    def note(self, who: str, what: str) -> None:
        """Write history."""
        self.report.history.append((self._loop.time(), who, what))

    async def live(self) -> None:
        """Live through it."""
        draw = self._draw
        self._vendor.titles += stock(draw, EPOCH, BEGIN_S, vendor_ahead_s=self._vendor.skew_s)
        if self._collection.sync.start_date < EPOCH:
            self._vendor.titles += old_stock(draw, EPOCH)
        self.number = self._enrolled()
        await asyncio.sleep(BEGIN_S)
        for _ in range(draw.randint(2, 4)):
            await self._round()
            await asyncio.sleep(draw.choice(GAPS_S))
        self._heal()
        await self._undisturbed()
        if draw.random() < 0.25:
            await asyncio.sleep(draw.choice((1, 2, 5, 9)) * DAY_S)
            await self._undisturbed()
        await asyncio.sleep(66 * DAY_S)
        await self._undisturbed(final=True)

    async def _round(self) -> None:
        """Have one replica run, or two at once."""
        draw = self._draw
        if draw.random() < 0.15 and self._collection.sync.start_date >= EPOCH:
            self._change_start()
        for each in (self._step_clock, self._flush_leases, self._stop_server):
            if draw.random() < 0.12:
                self._loop.call_later(60.0 ** draw.random(), each)
        runs = [self._start("a", self._order())]
        if draw.random() < 0.5:
            await asyncio.sleep(draw.uniform(0.0, 60.0))
            runs.append(self._start("b", self._order()))
        await asyncio.wait(runs)
        for run in runs:
            self._note_end(run)

    def _start(self, name: str, order: Order, *, calm: bool = False) -> Running:
        replica = self._replicas.get(name)
        if replica is None or replica.crashed:
            replica = self._replicas[name] = self._process(name, skew_s=0.0 if calm else None)
        draw = self._draw
        leases: Leases | None = None
        if not calm and draw.random() < 0.15:
            self._fired("lease granted to all")
            leases = GrantingAll()
        wait = HEALED_WAIT if calm else draw.choice((timedelta(0), timedelta(seconds=90)))
        self._started += 1
        self.note(name, f"starts {order.lane if order.force_reimport else 'a run'}")
        return replica.start(
            self._collection,
            self.number,
            order,
            blows=[] if calm else _blows(draw),
            wait_lock=wait,
            leases=leases,
        )

    def _process(self, name: str, *, skew_s: float | None) -> Replica:
        """Start a process; its clock is wrong by as much, or as chance will have it."""
        wires: list[Wire] = []

        def source(replica: Replica, collection: Collection, permit: Permit) -> Source:
            if not wires:
                wires.append(Wire(self._vendor, replica, self._answer))
            return wires[0].source(collection, permit)

        wrong_s = _skew(self._draw) if skew_s is None else skew_s
        self._clocks_right &= wrong_s == 0
        return Replica(
            name,
            self._database,
            source,
            Random(f"{self.seed} {name} {self._started}"),
            self.true,
            skew_s=wrong_s,
            fired=self._fired,
        )

    def _order(self) -> Order:
        draw = self._draw
        kind = draw.choices(("plain", "reimport", "backfill", "limited"), (70, 12, 10, 8))[0]
        if kind == "plain":
            return Order()
        self._fired(f"order: {kind}")
        since = EPOCH + draw.choice((0, 1, 2)) * DAY
        until = since + draw.choice((1, 2)) * DAY
        if kind == "limited":
            return Order(since=since, until=until)
        if kind == "backfill":
            return Order(since=since, until=until, force_reimport=True, lane="backfill")
        return Order(force_reimport=True)

    def _answer(self, request: Request) -> Reply:
        self.report.requests += 1
        reply = self._faults.answer(request)
        told = reply.failed or f"{reply.status}, {len(reply.body)} bytes"
        self.note(request.replica, f"asks {request.window} from {request.offset} on: {told}")
        return reply

    def _change_start(self) -> None:
        self._fired("start_date changed")
        start = self._draw.choice(STARTS)
        self._collection = replace(
            self._collection, sync=replace(self._collection.sync, start_date=start)
        )

    def _step_clock(self) -> None:
        """Have somebody's clock jump; what is bought about then is like a late title."""
        if self._faults.healed:
            return
        by_s = self._draw.choice((-300.0, -60.0, -5.0, 5.0, 60.0, 300.0))
        who = self._draw.choice(("server", "vendor", *self._replicas))
        self._fired(f"clock of {who if who in ('server', 'vendor') else 'a replica'} stepped")
        self.note(who, f"clock steps by {by_s} s")
        if who == "server":
            self._server_skew_s += by_s
            return
        if who == "vendor":
            self._vendor.step_clock(by_s)
        else:
            self._replicas[who].skew_s += by_s
        self._clocks_right = False
        now = self._loop.time()
        for title in self._vendor.titles:
            if abs(title.shown_from - now) < 900.0:
                title.disturb(now + 900.0)

    def _flush_leases(self) -> None:
        if not self._faults.healed:
            self._fired("leases flushed")
            self._value(FLUSH)

    def _stop_server(self) -> None:
        if self._faults.healed:
            return
        self._fired("server stopped")
        self._database.away_until = self._loop.time() + self._draw.choice((1.0, 5.0, 45.0))
        for replica in self._replicas.values():
            replica.pool.end(asyncpg.AdminShutdownError("the server stops"))

    def _heal(self) -> None:
        self.note("all", "healed")
        self._faults.heal()
        self._database.away_until = 0.0
        for replica in self._replicas.values():
            replica.skew_s = 0.0

    async def _undisturbed(self, *, final: bool = False) -> None:
        """Have a run that nothing disturbs; it must succeed, and all must hold then."""
        began = self._loop.time()
        run = self._start("a", Order(), calm=True)
        await asyncio.wait([run])
        summary = self._note_end(run)
        if summary is None or summary.outcome is not Outcome.SUCCEEDED:
            raise Violation(f"an undisturbed run didn't succeed: {summary}")
        truth = Truth(
            titles=self._vendor.titles,
            sync=self._collection.sync,
            epoch=EPOCH,
            began=began,
            now=self._loop.time(),
            slack_s=verdict.RIGHT_S if self._clocks_right else verdict.WRONG_S,
        )
        verdict.demand(self.server, self.number, truth, final=final)

    def _note_end(self, run: Running) -> Summary | None:
        """Return the run's summary, None where it was cancelled or its process crashed."""
        error = None if run.cancelled() else run.exception()
        if error is not None:
            raise Violation(f"a defect ended a run: {error!r}") from error
        summary = None if run.cancelled() else run.result()
        if summary is None:
            self.report.outcomes["cancelled or crashed"] += 1
            return None
        self.report.outcomes[summary.outcome] += 1
        code = summary.problem.code if summary.problem else "no problem"
        self.note("run", f"{summary.outcome}, {code}")
        self._demand_deposed(summary)
        return summary

    def _demand_deposed(self, summary: Summary) -> None:
        """Let a run be deposed only by one that took over."""
        told = summary.problem.message if summary.problem else ""
        if told == DEPOSED and not self._value(WAS_DEPOSED, summary.run):
            raise Violation("5: a run says it was deposed, and nobody took over")

    def _fired(self, kind: str) -> None:
        self.report.fired[kind] += 1

    def _enrolled(self) -> int:
        conn = self.server.lend("")
        numbers = self.server.run(collections.enrol(conn, [self._collection]))
        self.server.take_back("", conn)
        return numbers[self._collection.name]

    def _value(self, sql: str, *given: object) -> object:
        conn = self.server.lend("")
        try:
            return self.server.run(conn.fetchval(sql, self.number, *given))
        finally:
            self.server.take_back("", conn)


def _collection(draw: Random, name: str) -> Collection:
    return Collection(
        name=name,
        source="bibliotheca",
        library_id=name,
        account_id="account",
        account_key=SecretStr("key"),
        base_url="https://vendor.example/",
        sync=Sync(
            start_date=draw.choice(STARTS),
            window=draw.choice((1, 1, 4)) * DAY,
            max_window=32 * DAY,
            windows_at_once=draw.choice((1, 2, 2)),
            retries=draw.choice((0, 2, 4)),
        ),
    )


def _skew(draw: Random) -> float:
    """Draw by how many seconds a clock is wrong: mostly not at all."""
    return draw.choice((0.0, 0.0, draw.uniform(-3.0, 3.0), draw.uniform(-300.0, 300.0)))


def _blows(draw: Random) -> list[Blow]:
    """Draw what befalls a run: mostly nothing or one blow, at any step, more often an early one."""
    blows = []
    for _ in range(draw.choice((0, 1, 1, 2))):
        step = round(STEPS ** draw.uniform(0.2, 1.0))
        kind = draw.choices(("crash", "cancellation", "pause"), (3, 3, 5))[0]
        blows.append(Blow(step, kind, draw.choice(PAUSES_S)))
    return blows
