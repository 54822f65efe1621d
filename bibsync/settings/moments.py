"""How a person names a moment or a length of time, on the command line and in a request."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from bibsync.errors import UsageWrong
from bibsync.settings.values import UNITS

SHORT = re.compile(r"(\d+)([smhd])")


def moment(text: str | None, *, name: str, now: datetime) -> datetime | None:
    """Read a moment that is given as `name`: a date, a time (UTC without a zone), or `7d` ago.

    Raises:
        UsageWrong: it is none of these.
    """
    if text is None:
        return None
    try:
        if match := SHORT.fullmatch(text.strip()):
            return (now - _length(match)).replace(microsecond=0)
        read = datetime.fromisoformat(text.strip())
        read = read if read.tzinfo else read.replace(tzinfo=UTC)
        return read.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise UsageWrong(
            f"{name}: {text!r} is no date.",
            remedy=f"Write {name} 2024-05-01, {name} 2024-05-01T12:00:00Z, or {name} 7d.",
        ) from None


def span(text: str, *, name: str) -> timedelta:
    """Read a duration that is given as `name`: `90s`, `5m`, `6h`, `7d`.

    Raises:
        UsageWrong: it isn't one.
    """
    with suppress(OverflowError):
        if match := SHORT.fullmatch(text.strip()):
            return _length(match)
    raise UsageWrong(f"{name}: {text!r} is no duration.", remedy=f"Write {name} 90s, 5m, 6h or 7d.")


def _length(match: re.Match[str]) -> timedelta:
    return int(match[1]) * UNITS[match[2]]
