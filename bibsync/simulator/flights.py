"""Requests in flight, and the encounters among them: two clients at the same stream of a library.

Clients are told apart by the version of the interface that they name, which the vendor accepts
whatever it is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bibsync.simulator.request import Request
from bibsync.simulator.signature import VERSIONS

Stream = tuple[str, str]
"""A library, and `data` or `items`."""


@dataclass(frozen=True, slots=True)
class Encounter:
    """A request of `who`, come while `others` were still being answered in the same stream."""

    stream: Stream
    target: str
    who: str
    others: tuple[str, ...]


class Flights:
    """What is in flight now; `encounters` is what must never be, `clients` who ever came."""

    def __init__(self) -> None:
        self.clients: Counter[str] = Counter()
        self.encounters: list[Encounter] = []
        self._aloft: defaultdict[Stream, Counter[str]] = defaultdict(Counter)

    @contextmanager
    def of(self, request: Request) -> Iterator[None]:
        """Count a request as in flight as long as the block lasts."""
        who = next((request.headers[name] for name in VERSIONS if name in request.headers), "")
        stream = (request.library_id, request.resource.partition("/")[0])
        aloft = self._aloft[stream]
        others = tuple(each for each in +aloft if each != who)
        if others:
            self.encounters.append(Encounter(stream, request.target, who, others))
        self.clients[who] += 1
        aloft[who] += 1
        try:
            yield
        finally:
            aloft[who] -= 1
