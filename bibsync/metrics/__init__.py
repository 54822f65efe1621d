"""What Prometheus is told: every family of numbers, in a registry of its own.

Two kinds. What this process does is counted where it happens: `Metrics` is the witness of runs
(`run.Witness`), and hears requests, leases, schedules and the loop. What the database says is the
same at every replica and is shown as it was last read (`stand`), all of it replaced at once.

Promises: labels are collections, streams, schedules, vendors' hosts and words of closed lists, so
the number of series is bounded by the configuration. A collection that left it is gone from the
next exposition. An exposition is written beside the event loop, which goes on turning.

Each family is described for people in docs/monitoring.md, where a test looks it up.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bibsync import fault
from bibsync.collection import Collection
from bibsync.errors import SourceMisled, SourceRefused
from bibsync.fault import Fault
from bibsync.metrics.shown import Connections, Pool, Redis, Shown, Standing
from bibsync.run import METADATA, PURCHASES, Outcome, Tally

RECORDS: Final = ("new", "changed", "unchanged", "rejected")
"""What becomes of a record: counters of a tally."""
TITLES: Final = ("new", "changed", "unchanged", "unanswered")
"""What becomes of a title that is looked up: counters of a tally."""
ALWAYS_SHOWN: Final = ("ok", SourceRefused.code, SourceMisled.code)
"""Outcomes of requests that are shown before there was one: an increase from nothing isn't seen."""
WORDS: Final = frozenset({*ALWAYS_SHOWN, *Fault, *fault.STATUSES})
OTHER_STATUS: Final = "http_other"
OTHER: Final = "other"

LAG_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUEST_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
DELAY_BUCKETS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there


class Metrics:
    """The numbers of one process. Only the event loop's thread calls its methods."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counted: set[str] = set()
        self._watched: list[_Watched] = []
        self._pool: Pool | None = None
        self._shown = Shown()
        self.registry.register(self._shown)
        ProcessCollector(registry=self.registry)
        self._records = self._counter(
            "bibsync_records",
            "Records received in purchases, by what became of them.",
            "collection",
            "result",
        )
        self._titles = self._counter(
            "bibsync_titles_looked_up",
            "Titles that the vendor was asked about, by what came of it.",
            "collection",
            "result",
        )
        self._requests = self._counter(
            "bibsync_source_requests",
            "Requests to the vendor, by outcome: ok, or why there was no usable answer.",
            "collection",
            "outcome",
        )
        self._runs = self._counter(
            "bibsync_runs", "Runs that ended, by outcome.", "stream", "outcome"
        )
        self._request_s = self._histogram(
            "bibsync_source_request_duration_seconds",
            "How long an exchange with a vendor's host took, answered or not.",
            REQUEST_BUCKETS,
            "host",
        )
        self._delay_s = self._histogram(
            "bibsync_schedule_delay_seconds",
            "How long after its time a scheduled job was begun.",
            DELAY_BUCKETS,
        )
        self._lag_s = self._histogram(
            "bibsync_event_loop_lag_seconds", "How late a timer fired.", LAG_BUCKETS
        )
        self._leases = self._gauge("bibsync_leases_held", "Leases that this process holds.")
        self._reloaded = self._gauge(
            "bibsync_config_last_reload_successful",
            "Whether the last reading of the configuration was taken over: 1, or 0.",
        )
        self._begin()

    @contextmanager
    def watch(self, collection: str, stream: str, tally: Tally) -> Iterator[None]:
        """Count what the tally comes to count while the block lasts, as each page is stored."""
        watched = _Watched(collection, stream, tally)
        self._watched.append(watched)
        try:
            yield
        finally:
            self._watched.remove(watched)
            self._catch_up(watched)

    def answered(self, collection: str, outcome: str) -> None:
        """Count a request; an outcome that isn't known has no series of its own."""
        if outcome not in WORDS:
            outcome = OTHER_STATUS if outcome.startswith("http_") else OTHER
        self._know(collection)
        self._requests.labels(collection, outcome).inc()

    def ended(self, stream: str, outcome: Outcome) -> None:
        """Count a run."""
        self._runs.labels(stream, outcome.value).inc()

    def took(self, host: str, seconds: float) -> None:
        """Note how long an exchange with a vendor's host took."""
        self._request_s.labels(host).observe(seconds)

    def held(self, leases: int) -> None:
        """Note how many leases this process holds now."""
        self._leases.set(leases)

    def fired(self, delay: timedelta) -> None:
        """Note how long after its time a scheduled job was begun."""
        self._delay_s.observe(max(delay.total_seconds(), 0.0))

    def reloaded(self, *, successful: bool) -> None:
        """Note how the last reload of the configuration went."""
        self._reloaded.set(successful)

    def lagged(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._lag_s.observe(seconds)

    def follow(self, pool: Pool, redis: Redis | None = None) -> None:
        """Look at these at each exposition; without a Redis nothing is said of one."""
        self._pool = pool
        self._shown.redis = redis

    def stand(
        self,
        document: Mapping[str, Any],
        configured: Iterable[Collection],
        *,
        rejects: Mapping[tuple[str, str], int],
        now: datetime,
    ) -> None:
        """Show from now on how everything stands; collections that aren't configured are gone.

        `document` is `status.document`'s, which must not be changed afterwards. `rejects` are those
        that wait for a person, by collection and reason. `now` is when all this was read.
        """
        late_after = {each.name: each.sync.late_after for each in configured}
        self._shown.standing = Standing(document, late_after, rejects, now)
        for name in self._counted - set(late_after):
            for counter in (self._records, self._titles, self._requests):
                counter.remove_by_labels({"collection": name})
        self._counted &= set(late_after)
        for name in late_after:
            self._know(name)

    async def exposition(self) -> tuple[str, bytes]:
        """Return content type and body of an answer to Prometheus.

        With thousands of collections writing it takes a while, so that is done in a thread.
        """
        for watched in self._watched:
            self._catch_up(watched)
        if self._pool is not None:
            self._shown.connections = Connections.of(self._pool)
        return CONTENT_TYPE_PLAIN_0_0_4, await asyncio.to_thread(generate_latest, self.registry)

    def _begin(self) -> None:
        """Show what can be counted before anything was."""
        self._reloaded.set(1)
        for stream in (PURCHASES, METADATA):
            for outcome in Outcome:
                self._runs.labels(stream, outcome.value)

    def _know(self, collection: str) -> None:
        """Do the same for what is counted of a collection."""
        if collection in self._counted:
            return
        self._counted.add(collection)
        for outcome in ALWAYS_SHOWN:
            self._requests.labels(collection, outcome)
        for result in RECORDS:
            self._records.labels(collection, result)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(name, says, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, says, labels, buckets=buckets, registry=self.registry)

    def _catch_up(self, watched: "_Watched") -> None:
        counter = self._titles if watched.stream == METADATA else self._records
        self._know(watched.collection)
        for result, grown in watched.grown():
            counter.labels(watched.collection, result).inc(grown)


@dataclass(slots=True, eq=False)
class _Watched:
    """A tally that goes on growing, and what of it is counted."""

    collection: str
    stream: str
    tally: Tally
    seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _ in self.grown():
            pass

    def grown(self) -> Iterator[tuple[str, int]]:
        """Yield by how much each counter has grown since the last time, as far as it has."""
        for result in TITLES if self.stream == METADATA else RECORDS:
            count, seen = getattr(self.tally, result), self.seen.get(result, 0)
            if count > seen:
                self.seen[result] = count
                yield result, count - seen
