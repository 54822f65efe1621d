"""A reject: a received record that can't be stored, kept with its raw bytes and its reason."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a record could not be stored; the value stands in the database and in JSON."""

    MISSING_CONTROL_NUMBER = "missing_control_number"
    MULTIPLE_CONTROL_NUMBERS = "multiple_control_numbers"
    UNREADABLE_RECORD = "unreadable_record"
    OVERSIZE_RECORD = "oversize_record"


PLAIN: dict[Reason, str] = {
    Reason.MISSING_CONTROL_NUMBER: (
        "The record has no control number (001), so it can't be identified."
    ),
    Reason.MULTIPLE_CONTROL_NUMBERS: (
        "The record has several control numbers (001), so it can't be identified."
    ),
    Reason.UNREADABLE_RECORD: "The record can't be read as MARC.",
    Reason.OVERSIZE_RECORD: "The record is larger than a record may be.",
}


SHORT: dict[Reason, str] = {
    Reason.MISSING_CONTROL_NUMBER: "without a control number (001)",
    Reason.MULTIPLE_CONTROL_NUMBERS: "with several control numbers (001)",
    Reason.UNREADABLE_RECORD: "not readable as MARC",
    Reason.OVERSIZE_RECORD: "larger than a record may be",
}

REMEDY: dict[Reason, str] = {
    Reason.MISSING_CONTROL_NUMBER: (
        "Report the title to the vendor, which has to number it; once it has, the record is stored."
    ),
    Reason.MULTIPLE_CONTROL_NUMBERS: (
        "Report the title to the vendor, which has to decide on one number; once it has, the "
        "record is stored."
    ),
    Reason.UNREADABLE_RECORD: (
        "Look at its bytes with `bibsync rejects show` and report it to the vendor; if your other "
        "systems read it, report it to us."
    ),
    Reason.OVERSIZE_RECORD: (
        "Look at its beginning with `bibsync rejects show` and report it to the vendor: an honest "
        "record has a few kilobytes."
    ),
}


def sentence(reason: Reason, detail: str = "") -> str:
    """Say why a record is set aside; `detail` says what exactly is wrong with it."""
    plain = PLAIN[reason]
    return f"{plain.removesuffix('.')}: {detail.removesuffix('.')}." if detail else plain


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was set aside.

    `identity` is the sha256 of its bytes without 005 and 008/00-05: met again with the same
    reason and identity it is the same reject. `position` is its place in the window, from 1.
    """

    reason: Reason
    message: str
    raw: bytes
    identity: bytes
    position: int
