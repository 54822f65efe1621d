"""What the configuration's tables hold, with their defaults; collections are in `collection`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from bibsync import events
from bibsync.settings.addresses import Listen

LISTEN = Listen("127.0.0.1", 8470)
NOTICES = (
    "failing",
    "late",
    "recovered",
    "new_rejects",
    "credentials_refused",
    "refused_for_safety",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What stands above all tables; the state folder's default depends on the surroundings."""

    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where records are stored; no url: the embedded PostgreSQL in the state folder."""

    url: SecretStr | None = None
    upgrade: Literal["auto", "never"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """Where leases are kept; no url: in PostgreSQL."""

    url: SecretStr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """How the service works: collections at once, time for a stop, life of a dead run's lease."""

    concurrency: int = 8
    drain: timedelta = timedelta(seconds=30)
    lease_ttl: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and in which form."""

    level: events.Level = "info"
    format: events.Format = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The page and the interface; no operator token: nothing can be changed through them.

    `hosts` are names of theirs beside those that are known anyway, in lower case.
    """

    listen: Listen = LISTEN
    operator_token: SecretStr | None = None
    open_reading: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job is due: by `cron` in `timezone`, or once, `at` a moment in UTC.

    Neither is set only where `enabled` is false. No collections: all of them. `expires` is how
    long after its time a job may begin; None: however late.
    """

    name: str
    job: str
    timezone: ZoneInfo
    cron: str | None = None
    at: datetime | None = None
    enabled: bool = True
    expires: timedelta | None = None
    jitter: timedelta = timedelta(0)
    catch_up: bool = True
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=5)
    keep_results: timedelta = timedelta(days=7)
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """How long runs, history and settled rejects are kept."""

    days_to_keep: int = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told, of what: once for a problem, once for its recovery."""

    email_to: tuple[str, ...] = ()
    smtp_url: SecretStr | None = None
    webhook_url: SecretStr | None = None
    heartbeat_url: SecretStr | None = None
    on: tuple[str, ...] = NOTICES
