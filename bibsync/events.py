"""The names of log events, and how the log is set up.

An event is data: a constant name, `noun.past_participle`, and fields. Names are never reused
for another meaning. The log goes to stderr; stdout belongs to data.
"""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal, TextIO, cast

import orjson
import structlog

RUN_STARTED: Final = "run.started"
RUN_ENDED: Final = "run.ended"
PAGE_STORED: Final = "page.stored"
WINDOW_COVERED: Final = "window.covered"
WINDOW_FAILED: Final = "window.failed"
WINDOW_SHIFTED: Final = "window.shifted"
WINDOW_HALVED: Final = "window.halved"
TITLES_DESCRIBED: Final = "titles.described"
LOOKUP_FAILED: Final = "lookup.failed"
RECORD_REJECTED: Final = "record.rejected"
REQUEST_RETRIED: Final = "request.retried"
CLOCK_DIFFERED: Final = "clock.differed"
REQUEST_ENDED: Final = "request.ended"
REQUEST_PUT_BACK: Final = "request.put_back"
REQUEST_TAKEN_OVER: Final = "request.taken_over"
REQUEST_DROPPED: Final = "request.dropped"
REQUEST_CRASHED: Final = "request.crashed"
STORE_LOST: Final = "store.lost"
STORE_RECOVERED: Final = "store.recovered"
CONFIG_RELOADED: Final = "config.reloaded"
CONFIG_REFUSED: Final = "config.refused"
CONFIG_NEEDS_RESTART: Final = "config.needs_restart"
DAEMON_STARTED: Final = "daemon.started"
DAEMON_WAITING: Final = "daemon.waiting"
DAEMON_READY: Final = "daemon.ready"
DAEMON_STOPPING: Final = "daemon.stopping"
DAEMON_STOPPED: Final = "daemon.stopped"
DAEMON_CRASHED: Final = "daemon.crashed"
DAEMON_DUMPED: Final = "daemon.dumped"
SCHEDULE_FIRED: Final = "schedule.fired"
SCHEDULE_ENDED: Final = "schedule.ended"
SLOT_MISSED: Final = "slot.missed"
WEB_OPENED: Final = "web.opened"
CHANGE_MADE: Final = "change.made"
ANSWER_CRASHED: Final = "answer.crashed"
COLLECTION_RENAMED: Final = "collection.renamed"
COLLECTION_DISABLED: Final = "collection.disabled"
LEASE_TAKEN_OVER: Final = "lease.taken_over"
LEASE_LOST: Final = "lease.lost"
REDIS_LOST: Final = "redis.lost"
REDIS_RECOVERED: Final = "redis.recovered"
STORE_INTERRUPTED: Final = "store.interrupted"
STORE_RECONNECTED: Final = "store.reconnected"
SCHEMA_MIGRATED: Final = "schema.migrated"
LOOP_LAGGED: Final = "loop.lagged"
LOOP_RECOVERED: Final = "loop.recovered"
NOTICE_OPENED: Final = "notice.opened"
NOTICE_ENDED: Final = "notice.ended"
NOTICE_TOLD: Final = "notice.told"
NOTICE_UNDELIVERED: Final = "notice.undelivered"
NOTICE_GIVEN_UP: Final = "notice.given_up"
CHANNEL_RECOVERED: Final = "channel.recovered"

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console", "auto"]


def configure(level: Level, style: Format) -> None:
    """Send every event of at least `level` to stderr, `auto`: plain on a terminal, else JSON.

    Local variables are never shown: they may hold secrets.
    """
    logging.getLogger("asyncpg").setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    exceptions = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [
            structlog.processors.ExceptionRenderer(exceptions),
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )


def _json(event: dict[str, Any], default: Callable[[Any], Any]) -> str:
    """Write an event as JSON: quickly, and where that refuses (a lone surrogate) all the same.

    What isn't printable is escaped: vendors' words would otherwise steer the terminal.
    """
    try:
        line = orjson.dumps(event, default=default).decode()
    except TypeError:
        return json.dumps(event, default=default)
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)


class _Stderr:
    """Standard error as it is now; where it can't be written, the work goes on without a log."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


STDERR: Final = structlog.WriteLogger(cast("TextIO", _Stderr()))
"""The one log of a process: a line and its end are written at once, under one lock."""


def _to_stderr(*_: object) -> structlog.WriteLogger:
    return STDERR
