"""A run: one sync of one stream of one collection by one process; what it counts and reports."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

from bibsync.errors import EXIT_CODES, Problem

PURCHASES = "purchases"
METADATA = "metadata"


class Outcome(StrEnum):
    """How a run ended; the value stands in the database and in JSON."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    LOCKED = "locked"
    PAUSED = "paused"
    DEPOSED = "deposed"
    INTERRUPTED = "interrupted"
    ABSORBED = "absorbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a run is asked to do.

    `since` and `until` limit the run to [since, until); None leaves that side open.
    `force_reimport` reads all of that span again, in a lane of its own, of the kind `lane`.
    `request` is the number of what the daemon was asked for, if it was.
    """

    stream: str = PURCHASES
    since: datetime | None = None
    until: datetime | None = None
    force_reimport: bool = False
    lane: Literal["reimport", "backfill"] = "reimport"
    trigger: str = "person"
    request: int | None = None


@dataclass(slots=True)
class Tally:
    """What a run has done so far; it only ever grows, and may be watched while the run goes on.

    `received` is the sum of new, changed, unchanged and rejected. `doubles` of these met again on
    the same page, `new_rejects` were not known before. `to_read` is the vendor time that the run
    found uncovered at its start, `has_read` how much of it is done. A run of look-ups receives
    descriptions; `to_look_up` is how many titles were due at its start, `unanswered` how many it
    left on the list.
    """

    windows: int = 0
    blank: int = 0
    pages: int = 0
    requests: int = 0
    retries: int = 0
    received: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    new_rejects: int = 0
    doubles: int = 0
    shifts: int = 0
    unanswered: int = 0
    failed_windows: int = 0
    to_look_up: int = 0
    to_read: timedelta = field(default_factory=timedelta)
    has_read: timedelta = field(default_factory=timedelta)

    @property
    def share(self) -> float:
        """How much of its work the run has done, from 0 to 1, as far as that was known."""
        if self.to_look_up:
            return min((self.received + self.unanswered) / self.to_look_up, 1.0)
        return min(self.has_read / self.to_read, 1.0) if self.to_read else 0.0


class Witness(Protocol):
    """Who counts what the runs of a process do, while they do it."""

    def watch(self, collection: str, stream: str, tally: Tally) -> AbstractContextManager[None]:
        """Count what the tally comes to count while the block lasts."""

    def answered(self, collection: str, outcome: str) -> None:
        """Hear how a request ended: `ok`, a word of `fault`, or the code of another SourceError."""

    def ended(self, stream: str, outcome: Outcome) -> None:
        """Hear how a run ended."""


class Unwitnessed:
    """Nobody counts: a person looks on."""

    def watch(self, _collection: str, _stream: str, _tally: Tally) -> AbstractContextManager[None]:
        """Let the block pass."""
        return nullcontext()

    def answered(self, _collection: str, _outcome: str) -> None:
        """Do nothing."""

    def ended(self, _stream: str, _outcome: Outcome) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The report of one run, as `run-once --json` prints it. Times are aware and in UTC."""

    collection: str
    stream: str
    run: int | None
    outcome: Outcome
    tally: Tally
    caught_up_to: datetime | None
    duration_s: float
    problem: Problem | None

    def as_json(self) -> dict[str, object]:
        """Return the document of contract section 5; fields are only ever added."""
        tally = self.tally
        return {
            "type": "summary",
            "collection": self.collection,
            "stream": self.stream,
            "run": self.run,
            "outcome": self.outcome.value,
            "windows": tally.windows,
            "blank": tally.blank,
            "pages": tally.pages,
            "requests": tally.requests,
            "retries": tally.retries,
            "received": tally.received,
            "new": tally.new,
            "changed": tally.changed,
            "unchanged": tally.unchanged,
            "rejected": tally.rejected,
            "new_rejects": tally.new_rejects,
            "doubles": tally.doubles,
            "shifts": tally.shifts,
            "unanswered": tally.unanswered,
            "caught_up_to": utc_text(self.caught_up_to),
            "duration_s": round(self.duration_s, 3),
            "problem": self.problem.as_json() if self.problem else None,
        }


PARTLY = 3
PASSED_OVER = {Outcome.PAUSED, Outcome.ABSORBED}


def exit_code(summaries: Sequence[Summary], *, all_of_them: bool) -> int:
    """Return the exit code that contract section 5 gives these runs.

    `all_of_them` tells that nobody named the collections: paused ones don't count then, and a
    locked one beside a success is being done by another run.
    """
    if all_of_them:
        summaries = [each for each in summaries if each.outcome not in PASSED_OVER]
        if any(each.outcome is Outcome.SUCCEEDED for each in summaries):
            summaries = [each for each in summaries if each.outcome is not Outcome.LOCKED]
    codes = {_code(each) for each in summaries} or {0}
    return codes.pop() if len(codes) == 1 else PARTLY


def _code(summary: Summary) -> int:
    if summary.outcome is Outcome.SUCCEEDED:
        return PARTLY if summary.tally.new_rejects else 0
    if summary.outcome is Outcome.PARTIAL:
        return PARTLY
    return EXIT_CODES.get(summary.problem.code, 1) if summary.problem else 0


def utc_text(moment: datetime | None) -> str | None:
    """Write a moment as JSON has it: UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
