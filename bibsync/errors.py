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
    ├── RedisUnavailable         Redis doesn't answer at the start; safe to run again exit 7
    ├── NotListening             the address of the interface can't be had            exit 1
    ├── LeaseHeld                another run does the work: say who                   exit 11
    ├── LeaseLost                write nothing more                                   exit 11
    ├── CollectionPaused         say by whom and why                                  exit 12
    ├── RefusedForSafety         a person decides                                     exit 13
    └── NotWritten               output could not be written: say where               exit 1

A defect is none of these and is never caught on its way out. Every class has a stable `code`, and
a `cause` and `default_remedy` in plain sentences, of which docs/problems.md is made; the message
of an error says what happened this time. `Problem` is what JSON and the log show of an error.
"""

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from bibsync import fault
from bibsync.fault import Fault, Status

Origin = Literal["source", "bibsync", "network", "config"]

_exit_codes: Final = {"unexpected": 1}
EXIT_CODES: Final[Mapping[str, int]] = MappingProxyType(_exit_codes)
"""The exit code of each problem code, wherever its class is defined."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as run summaries, status and the log show it.

    `detail` is the word of `bibsync.fault` where it was the vendor's answer, else None.
    """

    code: str
    origin: Origin
    transient: bool
    message: str
    remedy: str
    detail: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the document that contract and API call `problem`."""
        return asdict(self)


class BibsyncError(Exception):
    """Something that a person can understand and act on."""

    code: ClassVar[str] = "unexpected"
    cause: ClassVar[str] = (
        "bibsync has a defect. What was stored stays stored, and nothing half done: a page is "
        "stored whole or not at all."
    )
    origin: Origin = "bibsync"
    transient: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    default_remedy: ClassVar[str] = "Run again with --debug and report what it prints."
    detail: Fault | Status | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Note the exit code of the new kind."""
        super().__init_subclass__(**options)
        _exit_codes[cls.code] = cls.exit_code

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy

    @property
    def problem(self) -> Problem:
        """The error as data."""
        detail = str(self.detail) if self.detail else None
        return Problem(self.code, self.origin, self.transient, self.message, self.remedy, detail)


class UsageWrong(BibsyncError):
    """The command was called in a way that has no meaning."""

    code = "usage"
    cause = (
        "The command was called in a way that has no meaning: something is missing, contradicts "
        "itself or can't be read. Nothing was done."
    )
    exit_code = 2
    default_remedy = "See the command's --help."


class ConfigInvalid(BibsyncError):
    """The configuration can't be used; `problems` holds every reason, each with its place."""

    code = "config_invalid"
    cause = (
        "The configuration has mistakes; each is named with its file and line. Nothing was "
        "started or changed, and a process that runs keeps the configuration it has."
    )
    origin = "config"
    exit_code = 5
    default_remedy = "Mend the lines named above; `bibsync config check` tells when all is well."

    def __init__(self, problems: tuple[str, ...], *, remedy: str | None = None) -> None:
        super().__init__("\n".join(problems), remedy=remedy)
        self.problems = problems


class NotFound(BibsyncError):
    """There is no such collection, run, record or reject."""

    code = "not_found"
    cause = "No collection, run, record or reject has this name or number. Nothing was changed."
    exit_code = 10
    default_remedy = "`bibsync status` lists the collections."


class SourceError(BibsyncError):
    """The vendor gave no usable answer; what was asked for stays uncovered."""

    code = "source_failed"
    cause = "The vendor gave no usable answer. What was asked for is not counted as read."
    origin: Origin = "source"
    exit_code = 6
    default_remedy = "Nothing is lost: the next run asks again."


class SourceBusy(SourceError):
    """The vendor can't answer now.

    `retry_after` is the least number of seconds to wait, None where the vendor named none.
    `outcome` is one word for the log and for counters: html, reset, http_503 ... It has a cause and
    a remedy of its own, see `fault`; some of them speak of the network, not of the vendor.
    """

    code = "source_busy"
    cause = (
        "The vendor can't answer now, can't be reached, or answered something that isn't a page "
        "of records; `detail` says which. It was asked again `retries` times; the windows it "
        "failed on are not counted as read, so the next run asks for them."
    )
    transient = True
    default_remedy = fault.LATER

    def __init__(
        self,
        message: str,
        *,
        outcome: Fault | Status,
        retry_after: float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy or fault.plain(outcome).remedy)
        self.outcome = self.detail = outcome
        if outcome in fault.OF_NETWORK:
            self.origin = "network"
        self.retry_after = retry_after


class SourceTimedOut(SourceBusy):
    """The vendor took too long; a smaller window may be answered in time."""

    code = "source_timed_out"
    cause = (
        "The vendor took longer than `timeout`, also after less was asked for at once. The "
        "window is not counted as read, so the next run asks for it."
    )

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, outcome=Fault.TIMEOUT, remedy=remedy)


class SourceParked(SourceError):
    """The vendor asked for a pause that is longer than a run waits: `wait_s` seconds."""

    code = "source_parked"
    cause = (
        "The vendor asked for a pause longer than a run waits, so the run ended. What was "
        "stored stays; the rest is not counted as read."
    )
    transient = True

    def __init__(
        self, message: str, *, wait_s: float, detail: Fault | Status | None = None
    ) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.detail = detail


class SourceRefused(SourceError):
    """The vendor refuses the credentials (401 without a body)."""

    code = "credentials_refused"
    cause = (
        "The vendor doesn't know the account or its key, or doesn't let it see this library. "
        "Nothing more is read until that is mended; what is stored stays."
    )
    exit_code = 4
    default_remedy = (
        "Check library_id, account_id and account_key of this collection with the vendor; "
        "each run asks once more."
    )


class SourceMisled(SourceError):
    """The address answers, but not as this vendor's interface: a redirect, a 404 on the library."""

    code = "source_misconfigured"
    cause = (
        "Something answers at this address, but not as this vendor does for this library: it "
        "points elsewhere, or has never found the library. Nothing more is read until that is "
        "mended; what is stored stays."
    )
    origin: Origin = "config"
    default_remedy = "Check base_url and library_id of this collection."


class StoreUnavailable(BibsyncError):
    """PostgreSQL can't be reached or doesn't answer."""

    code = "database_unavailable"
    cause = (
        "PostgreSQL can't be reached, doesn't let us in, or went away during the work. What was "
        "stored stays stored; a page that was being stored is stored whole or not at all, and "
        "is asked for again."
    )
    origin: Origin = "network"
    transient = True
    exit_code = 7
    default_remedy = (
        "Check that the server runs, and [database] url if there is one; nothing stored is lost."
    )


class SchemaUnfit(StoreUnavailable):
    """The database's schema is not the one this program works with."""

    code = "schema_unfit"
    cause = (
        "The tables in the database are older or newer than this version of bibsync. Nothing "
        "was changed."
    )
    origin: Origin = "bibsync"
    transient = False
    default_remedy = "Run `bibsync db upgrade`, or install the bibsync that made this database."


class RedisUnavailable(BibsyncError):
    """Redis is configured and can't be used at the start; later its loss only costs waiting."""

    code = "redis_unavailable"
    cause = (
        "Redis is configured and can't be reached or used. Nothing was begun: without it, "
        "replicas would not know what the others do."
    )
    origin: Origin = "network"
    transient = True
    exit_code = 7
    default_remedy = (
        "Check that the server runs, and [redis] url; one process alone needs no Redis at all."
    )


class NotListening(BibsyncError):
    """The interface's address can't be listened on: the daemon doesn't begin."""

    code = "not_listening"
    cause = (
        "The daemon can't listen on the address that [web] listen names: another process has it, "
        "this machine doesn't, or this user may not. Nothing was begun."
    )
    default_remedy = (
        "End the other process, or give [web] listen another port; port 0 takes a free one."
    )


class LeaseHeld(BibsyncError):
    """Another run holds the lease; the message says who, where and since when."""

    code = "locked"
    cause = "Another run is at work on this collection, and only one may be. Nothing was begun."
    transient = True
    exit_code = 11
    default_remedy = "Wait for it, or give --wait-lock a time."


class LeaseLost(BibsyncError):
    """A later run took over: whatever this one has not committed must not be written."""

    code = "deposed"
    cause = (
        "This process was away so long that another run took over, so it may write nothing "
        "more. What it had stored stays."
    )
    transient = True
    exit_code = 11
    default_remedy = "Nothing is lost: the run that took over goes on."


class CollectionPaused(BibsyncError):
    """The collection is paused; the message says why."""

    code = "paused"
    cause = (
        "A person or a safeguard has paused the collection, or it left the configuration. "
        "Nothing was asked; its records stay."
    )
    exit_code = 12
    default_remedy = (
        "`bibsync resume --collection NAME` lets it go on; one that left the configuration goes on "
        "once it is put back."
    )


class RefusedForSafety(BibsyncError):
    """A change so large that a person must confirm it."""

    code = "refused_for_safety"
    cause = (
        "So much would be changed or removed at once that it may be a mistake. None of it was "
        "done; it waits for a person's word."
    )
    exit_code = 13
    default_remedy = "Look at what changed; `bibsync resume` lets the next run through."


class NotWritten(BibsyncError):
    """The output could not be written; no file that was named holds a part of it."""

    code = "not_written"
    cause = (
        "The output could not be written: the disk is full, the folder can't be written to, or "
        "the device failed. A file that was named holds no part of it, and keeps what it held."
    )
    default_remedy = "Free some space or choose another place, and try again."

    def __init__(self, message: str, *, why: int | None = None, remedy: str | None = None) -> None:
        """Say what can't be written; `why` is the operating system's errno."""
        super().__init__(message, remedy=remedy or NOT_WRITTEN.get(why or 0))


_NO_SPACE: Final = "Free some space there or choose another place, and try again."
_NO_FOLDER: Final = "Make that folder first, or choose another place."
_FORBIDDEN: Final = "Choose a place where this user may write, or let this user write there."
NOT_WRITTEN: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: _NO_SPACE,
        errno.EDQUOT: _NO_SPACE,
        errno.EACCES: _FORBIDDEN,
        errno.EPERM: _FORBIDDEN,
        errno.EROFS: _FORBIDDEN,
        errno.ENOENT: _NO_FOLDER,
        errno.ENOTDIR: _NO_FOLDER,
        errno.EISDIR: "That is a folder: name a file in it.",
        errno.ENAMETOOLONG: "Choose a shorter name.",
    }
)
"""What to do where the operating system says why something can't be written."""


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
