"""The gauges that show how things stand: made anew for each exposition, in whatever thread asks.

What they show is replaced as a whole and never changed, so no exposition shows half of it.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bibsync import __version__
from bibsync.reject import Reason


class Pool(Protocol):
    """A pool of connections, as asyncpg has it."""

    def get_size(self) -> int:
        """Return how many connections there are."""

    def get_idle_size(self) -> int:
        """Return how many of them nobody uses."""

    def get_max_size(self) -> int:
        """Return how many there may be."""


class Redis(Protocol):
    """A Redis that may get lost."""

    @property
    def lost(self) -> bool:
        """Whether it doesn't answer."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How a pool's connections stood at a moment."""

    used: int
    idle: int
    most: int

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Look at the pool; only the event loop's thread may."""
        idle = pool.get_idle_size()
        return cls(pool.get_size() - idle, idle, pool.get_max_size())


@dataclass(frozen=True, slots=True)
class Standing:
    """How everything stood when the database was last read."""

    document: Mapping[str, Any] = field(default_factory=dict)
    late_after: Mapping[str, timedelta] = field(default_factory=dict)
    rejects: Mapping[tuple[str, str], int] = field(default_factory=dict)
    read_at: datetime | None = None


class Shown(Collector):
    """The gauges that are made anew for each exposition; what they show is replaced as a whole."""

    def __init__(self) -> None:
        self.standing = Standing()
        self.connections: Connections | None = None
        self.redis: Redis | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every family, also those that have nothing to show."""
        yield from _of_process(self.connections, self.redis)
        yield from _of_collections(self.standing)
        yield from _of_streams(self.standing)
        yield from _of_schedules(self.standing)


def _of_process(
    connections: Connections | None, redis: Redis | None
) -> Iterator[GaugeMetricFamily]:
    build = GaugeMetricFamily(
        "bibsync_build_info",
        "Always 1: which bibsync this is, on which Python.",
        labels=("version", "python"),
    )
    build.add_metric((__version__, platform.python_version()), 1)
    yield build
    lent = GaugeMetricFamily(
        "bibsync_database_connections",
        "Connections to the database, used and idle.",
        labels=("state",),
    )
    most = GaugeMetricFamily(
        "bibsync_database_connections_max", "How many connections there may be."
    )
    if connections is not None:
        lent.add_metric(("used",), connections.used)
        lent.add_metric(("idle",), connections.idle)
        most.add_metric((), connections.most)
    yield lent
    yield most
    up = GaugeMetricFamily("bibsync_redis_up", "Whether Redis answers: 1, or 0.")
    if redis is not None:
        up.add_metric((), not redis.lost)
    yield up


def _of_collections(standing: Standing) -> Iterator[GaugeMetricFamily]:
    health = GaugeMetricFamily(
        "bibsync_collection_health",
        "Always 1: the word for how the collection stands.",
        labels=("collection", "health"),
    )
    records = GaugeMetricFamily(
        "bibsync_collection_records", "Records that are stored.", labels=("collection",)
    )
    late = GaugeMetricFamily(
        "bibsync_collection_late_after_seconds",
        "How old the last success may grow: late_after of the configuration.",
        labels=("collection",),
    )
    open_rejects = GaugeMetricFamily(
        "bibsync_rejects_open",
        "Rejects that wait for a person, by reason.",
        labels=("collection", "reason"),
    )
    for each in _configured(standing):
        name = each["name"]
        health.add_metric((name, each["health"]), 1)
        records.add_metric((name,), each["records"])
        late.add_metric((name,), standing.late_after[name].total_seconds())
        for reason in Reason:
            count = standing.rejects.get((name, reason.value), 0)
            open_rejects.add_metric((name, reason.value), count)
    yield from (health, records, late, open_rejects)
    read = GaugeMetricFamily(
        "bibsync_status_read_timestamp_seconds",
        "When the database was last read for what is shown of collections and schedules.",
    )
    if standing.read_at:
        read.add_metric((), standing.read_at.timestamp())
    yield read


def _of_streams(standing: Standing) -> Iterator[GaugeMetricFamily]:
    labels = ("collection", "stream")
    success = GaugeMetricFamily(
        "bibsync_collection_last_success_timestamp_seconds",
        "When a run last succeeded; not shown before one did.",
        labels=labels,
    )
    lag = GaugeMetricFamily(
        "bibsync_collection_lag_seconds",
        "How far behind the present everything is known without a gap.",
        labels=labels,
    )
    problem = GaugeMetricFamily(
        "bibsync_collection_problem",
        "Always 1: the code of what the last run ended with; not shown where all was well.",
        labels=(*labels, "code"),
    )
    waiting = GaugeMetricFamily(
        "bibsync_titles_waiting", "Titles that wait for a look-up.", labels=("collection",)
    )
    for each in _configured(standing):
        for stream in each["streams"]:
            key = (each["name"], stream["stream"])
            lag.add_metric(key, stream["lag_s"])
            if last := stream["last_success"]:
                success.add_metric(key, datetime.fromisoformat(last).timestamp())
            if trouble := (stream["last_run"] or {}).get("problem"):
                problem.add_metric((*key, trouble["code"]), 1)
            if (titles := stream.get("titles_waiting")) is not None:
                waiting.add_metric(key[:1], titles)
    yield from (success, lag, problem, waiting)


def _of_schedules(standing: Standing) -> Iterator[GaugeMetricFamily]:
    overdue = GaugeMetricFamily(
        "bibsync_schedule_overdue_seconds",
        "How long a scheduled job has been due without being begun; 0: it isn't due.",
        labels=("schedule",),
    )
    for each in standing.document.get("schedules", ()):
        due = each.get("next_due")
        if standing.read_at and due and each.get("enabled", True):
            late = standing.read_at - datetime.fromisoformat(due)
            overdue.add_metric((each["name"],), max(late.total_seconds(), 0.0))
    yield overdue


def _configured(standing: Standing) -> Iterator[Mapping[str, Any]]:
    """Yield what the document says of the collections that are in the configuration."""
    for each in standing.document.get("collections", ()):
        if each["name"] in standing.late_after:
            yield each
