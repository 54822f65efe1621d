"""What schedules say: the built-in ones, those of the file, and how edits are read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bibsync.config import Config, Schedule
from bibsync.errors import UsageWrong
from bibsync.settings import keys, values
from bibsync.settings.values import Unfit
from bibsync.store.schedules import Terms


def built_in(zone: ZoneInfo) -> tuple[Schedule, ...]:
    """Return the schedules that are there without anybody's doing."""
    hour, quarter = timedelta(hours=1), timedelta(minutes=15)

    def daily(job: str, cron: str, **more: Any) -> Schedule:
        return Schedule(name=job, job=job, cron=cron, timezone=zone, **more)

    return (
        daily("purchases", "0 4 * * *", retries=3, retry_delay=quarter),
        daily("metadata", "0 3 * * 0", retries=1, retry_delay=hour, expires=24 * hour),
        daily("statistics", "0 1 * * *", retries=2),
        daily("snapshot", "15 0 * * *", retries=2),
        daily("cleanup", "0 5 * * 1", retries=2),
        daily("health", "0 * * * *", expires=hour / 2, catch_up=False),
    )


def configured(config: Config) -> dict[str, Terms]:
    """Return the terms of every schedule of file and program, by name; the file's replace ours."""
    each = {schedule.name: schedule for schedule in built_in(config.timezone)}
    each |= {schedule.name: schedule for schedule in config.schedules}
    return {name: terms_of(schedule) for name, schedule in each.items()}


def terms_of(schedule: Schedule) -> Terms:
    """Return the terms of a schedule as the configuration has it."""
    return Terms(
        job=schedule.job,
        cron=schedule.cron,
        once_at=schedule.at,
        timezone=schedule.timezone.key,
        enabled=schedule.enabled,
        expires=schedule.expires,
        jitter=schedule.jitter,
        catch_up=schedule.catch_up,
        retries=schedule.retries,
        retry_delay=schedule.retry_delay,
        keep_results=schedule.keep_results,
        collections=schedule.collections,
    )


def read_changes(changes: Mapping[str, object]) -> dict[str, Any]:
    """Read terms as the file has them.

    Raises:
        UsageWrong: naming everything that has no meaning.
    """
    read: dict[str, Any] = {}
    problems = []
    settings = {key: each for key, each in keys.SCHEDULE.settings.items() if key != "name"}
    for key, written in changes.items():
        try:
            if key not in settings:
                raise Unfit(f"is unknown{values.suggestion(key, sorted(settings))}")  # noqa: TRY301
            read[key] = settings[key].read(written)
        except Unfit as unfit:
            problems.append(f"{key} {unfit}")
    if "cron" in changes and "at" in changes:
        problems.append("cron and at exclude each other")
    if problems:
        wrong = values.sentence("; ".join(problems))
        raise UsageWrong(wrong, remedy="Nothing was changed; correct it.")
    if "timezone" in read:
        read["timezone"] = read["timezone"].key
    if "at" in read:
        read["once_at"] = read.pop("at")
    return read


def at_in_zone(terms: Terms, zone: ZoneInfo) -> Terms:
    """Read a moment that names no offset as one of the schedule's time zone."""
    at = terms.once_at
    if at is None or at.tzinfo is not None:
        return terms
    return replace(terms, once_at=at.replace(tzinfo=zone).astimezone(UTC))
