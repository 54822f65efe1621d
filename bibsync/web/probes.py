"""Probes: whether the process turns, whether it can work, and its numbers. None asks the database.

They are asked every few seconds by whoever supervises: what they say is what the rounds of the
last second found.
"""

from typing import Any, Final

from bibsync import __version__
from bibsync.web.route import Answer, Text
from bibsync.web.served import Served

PLAIN: Final = "text/plain; charset=utf-8"
UNREADY: Final = 503
OPENING: Final = """\
bibsync {version}

/v1/openapi.json  describes the interface for programs
/v1/status        how every collection stands
/healthz          the process turns
/readyz           database and Redis answer, the schema is current
/metrics          numbers for Prometheus
"""


async def front(_: Served) -> Text:
    """Answer where to go."""
    return Text(PLAIN, OPENING.format(version=__version__).encode())


async def health(_: Served) -> Answer:
    """Answer: the loop turns."""
    return Answer({"healthy": True})


async def readiness(daemon: Served) -> Answer:
    """Answer whether work can be done. Redis, lost after the start, is told but costs nothing."""
    document: dict[str, Any] = {
        "ready": daemon.ready,
        "database": daemon.database is not None and not daemon.database.lost,
        "redis": None if daemon.config.redis.url is None else _redis(daemon),
        "schema": daemon.dispatch is not None,
        "replica": daemon.replica,
    }
    return Answer(document, 200 if daemon.ready else UNREADY)


async def metrics(daemon: Served) -> Text:
    """Answer Prometheus."""
    return Text(*await daemon.outside.metrics.exposition())


def _redis(daemon: Served) -> bool:
    """Tell whether Redis answers; before all was reached once it isn't known to."""
    return daemon.dispatch is not None and not daemon.redis_lost
