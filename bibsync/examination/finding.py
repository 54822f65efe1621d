"""What a check found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from bibsync.errors import BibsyncError, ConfigInvalid


class State(StrEnum):
    """How it stands: a warning works, but somebody should know of it."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of an examination.

    Attributes:
        check: what was examined, a word that stays the same.
        state: how it stands.
        message: a sentence, without any secret.
        remedy: what to do, None where nothing is.
        code: the problem's code, where the failure has one.
        transient: whether the failure may pass by itself.
        collection: the collection's name, None for what all of them share.
        duration_s: how long the check took that this was found by; several may share one.
    """

    check: str
    state: State
    message: str
    remedy: str | None = None
    code: str | None = None
    transient: bool = False
    collection: str | None = None
    duration_s: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Return the line of `doctor --json`."""
        head = {"type": "check", "check": self.check, "collection": self.collection}
        return head | asdict(self)


def passed(check: str, message: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, state=State.PASSED, message=message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Return that it works, but not as it should."""
    return Finding(check=check, state=State.WARNING, message=message, remedy=remedy)


def failed(check: str, error: BibsyncError) -> Finding:
    """Return that it doesn't work, as the error says."""
    return Finding(
        check=check,
        state=State.FAILED,
        message=error.message,
        remedy=error.remedy,
        code=error.code,
        transient=error.problem.transient,
    )


def invalid(check: str, error: ConfigInvalid) -> list[Finding]:
    """Return each problem of a configuration by itself."""
    return [replace(failed(check, error), message=problem) for problem in error.problems]


def without(finding: Finding, unchecked: Sequence[str]) -> Finding:
    """Say in a failure what could not be checked because of it."""
    if not unchecked:
        return finding
    message = f"{finding.message} Not checked therefore: {', '.join(unchecked)}."
    return replace(finding, message=message)
