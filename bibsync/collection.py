"""A collection: one account of a library at a vendor, with the settings in force for it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

REREAD = tuple(timedelta(days=n) for n in (1, 2, 4, 8, 16, 32, 64))


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on mass changes: a share of the collection (0..1), never below `least` titles."""

    share: float
    least: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """How a collection is read; `[sync]` gives the defaults, a collection may override each."""

    start_date: datetime = datetime(2014, 1, 1, tzinfo=UTC)
    reread: tuple[timedelta, ...] = REREAD
    """Ages past its end, ascending, at which a UTC day is read again."""
    window: timedelta = timedelta(days=1)
    max_window: timedelta = timedelta(days=32)
    windows_at_once: int = 2
    requests_per_second: float = 5.0
    timeout: timedelta = timedelta(seconds=60)
    retries: int = 4
    late_after: timedelta = timedelta(hours=36)
    max_deletes: Limit = Limit(0.05, 10)
    max_changes: Limit = Limit(0.20, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One account at a vendor. `name` is unique; the other four words identify the account."""

    name: str
    source: str
    library_id: str
    account_id: str
    account_key: SecretStr
    base_url: str = "https://partner.yourcloudlibrary.com/"
    api_version: str = "2.0"
    sync: Sync = field(default_factory=Sync)
