"""Reads a journal beside the truth, and names the first guarantee that was violated, and where.

    python -m tests.checker journal.jsonl [truth.json]

Nothing here asks a database: what is checked is what the commits did, in the order in which they
did it. The numbers are those of docs/guarantees.md:

    1  nothing is lost: a covered window's titles are all there, coverage never shrinks
    3  nothing is duplicated: a new version has other content, and the next number
    4  a page and what it proves commit together
    5  a deposed run writes nothing, and no answer replaces a later-asked one's
    9  nothing is deleted
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tests.journal import Entry, Span, load

FENCE = frozenset({"raised", "advanced"})
OF_A_PAGE = frozenset({"record", "reject"})
PROOFS = frozenset({"checkpoint", "covered"})
PURCHASES = "purchases"


@dataclass(frozen=True, slots=True)
class Purchased:
    """A title that must be stored in the end: when it was bought, and shown from when on.

    One that a fault `hid` from an answer is missed by that reading, and found by a later one.
    """

    control_number: str
    moment: datetime
    visible_from: datetime
    hid: bool = False


Ledger = Mapping[int, Iterable[Purchased]]
"""What each collection must have."""


def first_violation(entries: Iterable[Entry], ledger: Ledger | None = None) -> str | None:
    """Return the first violation as a sentence, None where every guarantee was kept.

    Without a ledger whether titles are missing isn't asked.
    """
    streams: defaultdict[tuple[int, str], list[Entry]] = defaultdict(list)
    for each in entries:
        streams[each.collection, each.stream].append(each)
    found = [
        violation
        for (collection, stream), told in sorted(streams.items())
        for violation in _violations(told, _truth(ledger, collection, stream))
    ]
    missing = {} if ledger is None else dict(ledger)
    for collection, stream in streams:
        if stream == PURCHASES:
            missing.pop(collection, None)
    found += [
        (sys.maxsize, f"1: collection {each} has titles and no commit")
        for each, titles in missing.items()
        if list(titles)
    ]
    return min(found, key=itemgetter(0))[1] if found else None


def _truth(ledger: Ledger | None, collection: int, stream: str) -> Sequence[Purchased]:
    return list(ledger.get(collection, ())) if ledger and stream == PURCHASES else []


Violation = tuple[int, str]
"""The number of the entry that shows it, and the sentence."""


def _violations(entries: Sequence[Entry], truth: Sequence[Purchased]) -> Iterator[Violation]:
    """Yield what is wrong with one stream."""
    replay = _Replay(truth)
    for entry in entries:
        for sentence in replay.take(entry):
            yield entry.number, f"{sentence} (entry {entry.number}: {_told(entry)})"
    for _, commit in groupby(entries, key=lambda entry: entry.xact):
        for sentence, entry in _torn(list(commit)):
            yield entry.number, f"{sentence} (entry {entry.number}: {_told(entry)})"
    for title in truth:
        if title.control_number not in replay.known:
            yield sys.maxsize, f"1: {title.control_number} was bought {title.moment} and is lost"


def _told(entry: Entry) -> str:
    words = [entry.kind, f"collection {entry.collection}", entry.stream, entry.name or ""]
    words += [f"epoch {entry.epoch}", f"ver {entry.ver}", f"by {entry.writer or 'nobody named'}"]
    return ", ".join(filter(None, words))


def _torn(commit: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    """Yield what a transaction did by halves."""
    kinds = {entry.kind for entry in commit}
    first = commit[0]
    if not kinds & FENCE:
        yield "5: a commit that didn't move the fence", first
    if first.stream == PURCHASES and kinds & OF_A_PAGE and not kinds & PROOFS:
        yield "4: a page was stored without what it proves", first


@dataclass(slots=True)
class _Replay:
    """One stream as its commits made it."""

    truth: Sequence[Purchased]
    known: set[str] = field(default_factory=set)
    epoch: int = 0
    holder: str | None = None
    ver: int = -1
    writer: str | None = None
    versions: dict[str, int] = field(default_factory=dict)
    contents: dict[str, str | None] = field(default_factory=dict)
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)
    blanks: dict[str, tuple[Span, ...]] = field(default_factory=dict)

    def take(self, entry: Entry) -> Iterator[str]:
        """Play one entry back; yield what it violates."""
        if entry.kind == "raised":
            yield from self._raised(entry)
            return
        if (entry.epoch, entry.holder) != (self.epoch, self.holder):
            yield "5: written under a fence that nobody raised"
        if entry.writer != self.writer:
            yield f"5: {entry.writer} wrote, although {self.writer} had taken over"
        yield from {
            "advanced": self._advanced,
            "record": self._record,
            "state": self._answered,
            "blank": self._blank,
            "covered": self._covered,
            "uncovered": lambda _: ["1: coverage shrank"],
            "deleted": lambda _: ["9: a record was deleted"],
        }.get(entry.kind, lambda _: [])(entry)

    def _raised(self, entry: Entry) -> Iterator[str]:
        if entry.epoch is None or entry.epoch <= self.epoch:
            yield f"5: the epoch went from {self.epoch} to {entry.epoch}"
        self.epoch, self.holder = entry.epoch or 0, entry.holder
        self.ver, self.writer = entry.ver or 0, entry.writer

    def _advanced(self, entry: Entry) -> Iterator[str]:
        if entry.ver != self.ver + 1:
            yield f"5: ver went from {self.ver} to {entry.ver}"
        self.ver = entry.ver or 0

    def _answered(self, entry: Entry) -> Iterator[str]:
        name, asked = entry.name or "", entry.asked or (0, 0)
        if asked[0] != entry.epoch:
            yield f"5: an answer to epoch {asked[0]} was stored under epoch {entry.epoch}"
        if asked < self.asked.get(name, asked):
            yield f"5: an answer to request {asked} replaced one to {self.asked[name]}"
        self.asked[name] = asked

    def _record(self, entry: Entry) -> Iterator[str]:
        yield from self._answered(entry)
        name = entry.name or ""
        self.known.add(name)
        before = self.versions.get(name, 0)
        if entry.version != before + 1:
            yield f"3: version {entry.version} follows {before}"
        if before and entry.fingerprint == self.contents[name]:
            yield "3: a new version has the content of the one before"
        self.versions[name] = entry.version or 0
        self.contents[name] = entry.fingerprint

    def _blank(self, entry: Entry) -> Iterator[str]:
        self.blanks[entry.xact] = entry.spans
        yield from ()

    def _covered(self, entry: Entry) -> Iterator[str]:
        if entry.lane:
            return
        blank = self.blanks.get(entry.xact, ())
        for title in self.truth:
            if title.hid or title.control_number in self.known or _within(title.moment, blank):
                continue
            if any(title.visible_from <= end for _, end in _around(title.moment, entry.spans)):
                yield f"1: covered without {title.control_number}, of {title.moment}"


def _around(moment: datetime, spans: Iterable[Span]) -> list[Span]:
    return [(start, end) for start, end in spans if start <= moment < end]


def _within(moment: datetime, spans: Iterable[Span]) -> bool:
    return bool(_around(moment, spans))


def ledger_of(truth: Mapping[str, Any]) -> list[Purchased]:
    """Read the simulator's truth about a library of which no title is late."""
    return [
        Purchased(name, *[datetime.fromisoformat(told["purchased_at"]).replace(tzinfo=UTC)] * 2)
        for name, told in truth["records"].items()
    ]


def main(arguments: Sequence[str]) -> int:
    """Check a journal beside the simulator's truth, a JSON object by collection number."""
    journal, *truth = arguments
    ledger = None
    if truth:
        told = json.loads(Path(truth[0]).read_text())
        ledger = {int(number): ledger_of(each) for number, each in told.items()}
    violation = first_violation(load(Path(journal).read_text()), ledger)
    print(violation or "Every guarantee was kept.")  # noqa: T201 - the result
    return violation is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
