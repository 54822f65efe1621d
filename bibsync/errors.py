"""The error tree, arranged by what the catcher should do.

    BibsyncError                 one plain sentence, a remedy, a code, an exit code
    ├── UsageWrong               say how the command is used                          exit 2
    ├── ConfigInvalid            keep what is in force, tell every problem            exit 5
    ├── NotFound                 say which names there are                            exit 10
    ├── SourceError              the window stays uncovered
    │   ├── SourceBusy           ask again, no sooner than `retry_after` seconds      exit 6
    │   │   └── SourceTimedOut   the same, and ask for less at once
    │   ├── SourceParked         stop this run; the vendor wants a longer pause       exit 6
    │   ├── SourceRefused        do not ask again: the credentials are wrong          exit 4
    │   └── SourceMisled         do not ask again: the address or an id is wrong      exit 6
    ├── StoreUnavailable         PostgreSQL doesn't answer; safe to run again         exit 7
    │   └── SchemaUnfit          the schema is too old or too new for this program    exit 7
    ├── LeaseHeld                another run does the work: say who                   exit 11
    ├── LeaseLost                write nothing more                                   exit 11
    ├── CollectionPaused         say by whom and why                                  exit 12
    └── RefusedForSafety         a person decides                                     exit 13

A defect is none of these and is never caught on its way out. Every class has a stable `code`;
`Problem` is what JSON and the log show of an error.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

Origin = Literal["source", "bibsync", "network", "config"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as run summaries, status and the log show it."""

    code: str
    origin: Origin
    transient: bool
    message: str
    remedy: str

    def as_json(self) -> dict[str, object]:
        """Return the document that contract and API call `problem`."""
        return asdict(self)


class BibsyncError(Exception):
    """Something that a person can understand and act on."""

    code: ClassVar[str] = "unexpected"
    origin: ClassVar[Origin] = "bibsync"
    transient: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    default_remedy: ClassVar[str] = "Run again with --debug and report what it prints."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy

    @property
    def problem(self) -> Problem:
        """The error as data."""
        return Problem(self.code, self.origin, self.transient, self.message, self.remedy)


class UsageWrong(BibsyncError):
    """The command was called in a way that has no meaning."""

    code = "usage"
    exit_code = 2
    default_remedy = "See the command's --help."


class ConfigInvalid(BibsyncError):
    """The configuration can't be used; `problems` holds every reason, each with its place."""

    code = "config_invalid"
    origin = "config"
    exit_code = 5
    default_remedy = "Mend the lines named above; `bibsync config check` tells when all is well."

    def __init__(self, problems: tuple[str, ...], *, remedy: str | None = None) -> None:
        super().__init__("\n".join(problems), remedy=remedy)
        self.problems = problems


class NotFound(BibsyncError):
    """There is no such collection, run, record or reject."""

    code = "not_found"
    exit_code = 10
    default_remedy = "`bibsync status` lists the collections."


class SourceError(BibsyncError):
    """The vendor gave no usable answer; what was asked for stays uncovered."""

    code = "source_failed"
    origin: ClassVar[Origin] = "source"
    exit_code = 6
    default_remedy = "Nothing is lost: the next run asks again."


class SourceBusy(SourceError):
    """The vendor can't answer now.

    `retry_after` is the least number of seconds to wait, None where the vendor named none.
    `outcome` is one word for counters: http_503, html, error_document, cut_short, reset, ...
    """

    code = "source_busy"
    transient = True
    default_remedy = "Nothing is lost; run again later, it goes on where it was."

    def __init__(
        self,
        message: str,
        *,
        outcome: str,
        retry_after: float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.outcome = outcome
        self.retry_after = retry_after


class SourceTimedOut(SourceBusy):
    """The vendor took too long; a smaller window may be answered in time."""

    code = "source_timed_out"

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, outcome="timeout", remedy=remedy)


class SourceParked(SourceError):
    """The vendor asked for a pause that is longer than a run waits: `wait_s` seconds."""

    code = "source_parked"
    transient = True

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class SourceRefused(SourceError):
    """The vendor refuses the credentials (401 without a body)."""

    code = "credentials_refused"
    exit_code = 4
    default_remedy = (
        "Check library_id, account_id and account_key of this collection with the vendor; "
        "each run asks once more."
    )


class SourceMisled(SourceError):
    """The address answers, but not as this vendor's interface: a redirect, a 404 on the library."""

    code = "source_misconfigured"
    origin: ClassVar[Origin] = "config"
    default_remedy = "Check base_url and library_id of this collection."


class StoreUnavailable(BibsyncError):
    """PostgreSQL can't be reached or doesn't answer."""

    code = "database_unavailable"
    origin: ClassVar[Origin] = "network"
    transient = True
    exit_code = 7
    default_remedy = (
        "Check that the server runs, and [database] url if there is one; nothing stored is lost."
    )


class SchemaUnfit(StoreUnavailable):
    """The database's schema is not the one this program works with."""

    code = "schema_unfit"
    origin: ClassVar[Origin] = "bibsync"
    transient = False
    default_remedy = "Run `bibsync db upgrade`, or install the bibsync that made this database."


class LeaseHeld(BibsyncError):
    """Another run holds the lease; the message says who, where and since when."""

    code = "locked"
    transient = True
    exit_code = 11
    default_remedy = "Wait for it, or give --wait-lock a time."


class LeaseLost(BibsyncError):
    """A later run took over: whatever this one has not committed must not be written."""

    code = "deposed"
    transient = True
    exit_code = 11
    default_remedy = "Nothing is lost: the run that took over goes on."


class CollectionPaused(BibsyncError):
    """The collection is paused; the message says why."""

    code = "paused"
    exit_code = 12
    default_remedy = "`bibsync resume --collection NAME` lets it go on."


class RefusedForSafety(BibsyncError):
    """A change so large that a person must confirm it."""

    code = "refused_for_safety"
    exit_code = 13
    default_remedy = "Look at what changed; `bibsync resume` lets the next run through."


def _codes(kind: type[BibsyncError]) -> dict[str, int]:
    below = {code: exit_ for each in kind.__subclasses__() for code, exit_ in _codes(each).items()}
    return {kind.code: kind.exit_code} | below


EXIT_CODES = _codes(BibsyncError)
"""The exit code of each problem code."""


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that a task group ended with, the most telling one where there are several.

    Errors that a person understands come before defects only if there is no defect: a defect must
    never hide behind them.
    """
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((error for error in leaves if not isinstance(error, BibsyncError)), leaves[0])
