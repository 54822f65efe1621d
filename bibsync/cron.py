"""Cron: when a schedule's slots are. Pure arithmetic, no clock is read.

Five fields as Debian's cron knows them, or `@daily` and its like, in a time zone. Of a fixed time
the hour that comes twice in autumn has one slot, in its first half; a slot in the hour that is
missing in spring comes at that hour's end. Intervals (`*/15 * * * *`) go by the clock on the wall.
Slots are aware datetimes in UTC.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)


@dataclass(frozen=True, slots=True)
class Timing:
    """When something is due: by `cron` in `zone`, or once, `at` a moment in UTC; neither: never."""

    cron: str | None
    at: datetime | None
    zone: ZoneInfo

    def latest(self, now: datetime) -> datetime | None:
        """Return the last slot that isn't after `now`, None where there was none."""
        if self.at is not None:
            return self.at if self.at <= now else None
        if self.cron is None:
            return None
        just_behind = now + timedelta(
            microseconds=1
        )  # else cronsim leaves out a slot of that moment
        backwards = CronSim(self._line, just_behind.astimezone(self.zone), reverse=True)
        return next((slot for slot in map(_utc, backwards) if slot <= now), None)

    def following(self, after: datetime) -> Iterator[datetime]:
        """Yield the slots after that moment, in order; of `at` the one, if it is still to come."""
        if self.at is not None:
            if self.at > after:
                yield self.at
        elif self.cron is not None:
            forwards = CronSim(self._line, after.astimezone(self.zone))
            yield from (slot for slot in map(_utc, forwards) if slot > after)

    @property
    def words(self) -> str:
        """Say it in words: `At 04:00 every day`."""
        if self.at is not None:
            return f"Once, at {self.at.astimezone(self.zone):%Y-%m-%d %H:%M}"
        if self.cron is None:
            return "Never"
        told: str = CronSim(self._line, datetime(2026, 1, 1, tzinfo=UTC)).explain()
        return told

    @property
    def _line(self) -> str:
        line = self.cron or ""
        return NAMES.get(line.lower(), line)


def _utc(slot: datetime) -> datetime:
    return slot.astimezone(UTC)
