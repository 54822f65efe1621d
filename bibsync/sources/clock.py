"""Moments as HTTP writes them, in English whatever the locale, and what they tell of a clock.

No clock is read here. A header that makes no sense is None, never an error.
"""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

YEARS = range(1970, 3000)
"""What lies outside is nonsense, and near the ends of datetime it couldn't be reckoned with."""

LONGEST_PAUSE_S = 3600.0
SHORTEST_PAUSE_S = 1.0


def http_date(at: datetime) -> str:
    """Return `at` as in `Mon, 11 Nov 2024 10:00:00 GMT`."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


def moment(header: str | None) -> datetime | None:
    """Read an HTTP date; None where there is none."""
    if header is None:
        return None
    try:
        read = parsedate_to_datetime(header)
        read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return read if read.year in YEARS else None


def skew(vendor: datetime, ours: datetime) -> float:
    """Return the vendor's clock minus ours in seconds; both are cut to whole ones, as Date is."""
    return (vendor - ours.replace(microsecond=0)).total_seconds()


def pause(header: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a Retry-After asks for, between 1 second and 1 hour.

    `now` is the vendor's clock: a date counts from there, so that ours may be wrong.
    """
    if header is None:
        return None
    if (whole := re.fullmatch(r"[ \t]*([0-9]{1,10})[ \t]*", header)) is not None:
        seconds = float(whole[1])
    elif (until := moment(header)) is not None:
        seconds = (until - now).total_seconds()
    else:
        return None
    return min(max(seconds, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
