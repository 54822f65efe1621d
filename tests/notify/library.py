"""A library whose runs come to what a test says, and the configuration that says who is told."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bibsync import config, store
from bibsync.config import Config
from bibsync.errors import BibsyncError, SourceBusy, SourceRefused
from bibsync.reject import Reason, Reject
from bibsync.run import PURCHASES, Outcome, Summary, Tally
from bibsync.store import Pool, collections, rejects, runs
from bibsync.window import Window

BEGIN = datetime(2024, 3, 10, 12, tzinfo=UTC)
BUSY = SourceBusy("cloudLibrary answered 503 (Service Unavailable).", outcome="http_503")
REFUSED = SourceRefused("cloudLibrary refuses the credentials: it answered 401 (Unauthorized).")
COLLECTION = """
[[collections]]
name = "{name}"
source = "bibliotheca"
library_id = "{name}"
account_id = "partner"
account_key = "key"
start_date = 2024-03-10
"""


@dataclass
class Clock:
    """The wall clock, and seconds that go with it."""

    moment: datetime = BEGIN

    def now(self) -> datetime:
        return self.moment

    def seconds(self) -> float:
        return (self.moment - BEGIN).total_seconds()

    def go(self, length: timedelta) -> None:
        self.moment += length


@dataclass
class Library:
    """Collections in a database."""

    pool: Pool
    folder: Path
    clock: Clock = field(default_factory=Clock)
    names: tuple[str, ...] = ("main",)
    numbers: dict[str, int] = field(default_factory=dict)
    epoch: int = 0

    def config(self, notify: str = "") -> Config:
        """Return the configuration; `notify` are the lines of [notify]."""
        file = self.folder / "bibsync.toml"
        each = "".join(COLLECTION.format(name=name) for name in self.names)
        file.write_text(f'state_dir = "{self.folder}"\n[notify]\n{notify}\n{each}')
        return config.load(file, {})

    async def enrol(self) -> None:
        async with store.acquire(self.pool) as conn, conn.transaction():
            self.numbers = await collections.enrol(conn, self.config().collections)

    async def ran(
        self,
        outcome: Outcome = Outcome.SUCCEEDED,
        error: BibsyncError | None = None,
        *,
        name: str = "main",
        met: Iterable[Reason] = (),
    ) -> Summary:
        """Have a run begin and end, in which these new rejects are met."""
        self.clock.go(timedelta(seconds=1))  # the last run is the one that began last
        self.epoch += 1
        key, now = (self.numbers[name], PURCHASES), self.clock.now()
        page = [
            Reject(reason, "no", b"<record/>", f"{self.epoch} {n}".encode(), n)
            for n, reason in enumerate(met)
        ]
        async with store.acquire(self.pool) as conn, conn.transaction():
            run = await runs.start(
                conn, key, trigger="schedule", replica="here:1", epoch=self.epoch, now=now
            )
            window = Window(now - timedelta(days=1), now)
            await rejects.store(conn, key, page, run=run, window=window, now=now)
            problem = error.problem if error else None
            await runs.end(
                conn,
                key[0],
                run,
                outcome=outcome,
                tally=Tally(new_rejects=len(page)),
                caught_up_to=now,
                problem=problem,
                now=now,
            )
        return Summary(
            collection=name,
            stream=PURCHASES,
            run=run,
            outcome=outcome,
            tally=Tally(),
            caught_up_to=now,
            duration_s=1.0,
            problem=problem,
        )
