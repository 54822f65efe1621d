"""What was asked of the simulator and how it was answered, for tests and for `/simulator`."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bibsync.simulator.answers import Answer
from bibsync.simulator.request import DATES, Stretch

KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request: what it asked for, and how many records of which kind of answer it got.

    `stretch` is None for everything but windows of purchases and events.
    """

    at: datetime
    resource: str
    stretch: Stretch | None
    kind: str
    status: int
    records: int
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the entry as a document."""
        asked = self.stretch
        window = [asked.start.strftime(DATES), asked.end.strftime(DATES)] if asked else None
        return {
            "at": self.at.strftime(DATES),
            "resource": self.resource,
            "window": window,
            "offset": asked.offset if asked else None,
            "kind": self.kind,
            "status": self.status,
            "records": self.records,
            "faults": list(self.faults),
        }


class Log:
    """Counters of answers and of faults that fired, and the last requests, by library."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.entries: defaultdict[str, deque[Entry]] = defaultdict(lambda: deque(maxlen=KEPT))

    def note(self, library_id: str, entry: Entry) -> None:
        """Count a request and keep it, the oldest giving way."""
        self.answers[library_id][entry.kind] += 1
        self.faults[library_id].update(entry.faults)
        self.entries[library_id].append(entry)

    def fired(self, kind: str) -> int:
        """Return how often a fault struck, over all libraries."""
        return sum(counted[kind] for counted in self.faults.values())

    def asked(self, library_id: str) -> int:
        """Return how many requests a library's account made."""
        return self.answers[library_id].total()

    def as_json(self) -> dict[str, object]:
        """Return everything as a document, by library."""
        return {
            library_id: {
                "answers": dict(self.answers[library_id]),
                "faults": dict(self.faults[library_id]),
                "asked": [entry.as_json() for entry in entries],
            }
            for library_id, entries in self.entries.items()
        }


def entry(at: datetime, resource: str, stretch: Stretch | None, answer: Answer) -> Entry:
    """Return what is to be noted of an answer."""
    return Entry(
        at=at,
        resource=resource,
        stretch=stretch,
        kind=answer.kind,
        status=answer.status,
        records=answer.records,
        faults=answer.faults,
    )
