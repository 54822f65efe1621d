"""What must hold of a seed, read from its tables and its journal beside the truth.

The number before each sentence is the guarantee's, as docs/guarantees.md counts them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bibsync.collection import Sync
from bibsync.window import DAY, midnight_before
from tests import journal
from tests.checker import Purchased, first_violation
from tests.journal import Entry
from tests.simulation.database import Server
from tests.simulation.vendor import Title

WRONG_S = 1800.0
"""Clocks that are wrong are so by less."""
RIGHT_S = 5.0
"""What takes less time than this is not told apart where all clocks are right."""
ROLLING_S = 86400.0

RECORDS = "select control_number, marc::text as marc from records where collection = $1"
VERSIONS = """
select control_number, marc::text as marc from record_versions where collection = $1
order by control_number, version
"""
REJECTS = "select reason, count(*) from rejects where collection = $1 group by reason"
UNSOUND_RUNS = """
select count(*) from runs where collection = $1
  and (finished is null or received <> new + changed + unchanged + rejected)
"""
COUNTED_RUNS = """
select run, new, changed from runs
where collection = $1 and outcome in ('succeeded', 'partial', 'failed')
"""
"""Runs that came to their end by themselves: their counts are whole."""
LIVE = "select covered from lanes where collection = $1 and lane = 0"
UNCLOSED = "select count(*) from lanes where collection = $1 and lane <> 0 and closed_at is null"
OPEN_WINDOWS = """
select count(*) from open_windows w join lanes l using (collection, stream)
where collection = $1 and l.lane = 0 and w.start_at >= l.from_at
  and (failed_at is null or tstzrange(start_at, end_at) <@ covered)
"""
"""Begun and not finished, or failed and covered since; those before start_date are let be."""
LANES = """
select from_at, until_at, opened_at from lanes
where collection = $1 and lane <> 0 and closed_at is not null
"""
TITLES = "select count(*) from titles where collection = $1"
BLANKS = """
select count(*) from blanks b join lanes l using (collection, stream)
where collection = $1 and l.lane = 0 and b.end_at > l.from_at
"""
EDITION = re.compile(r"Edition (\d+)")
REASONS = {0: "missing_control_number", 2: "multiple_control_numbers"}


class Violation(Exception):
    """A guarantee was violated."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true when a run ended that nothing disturbed.

    Attributes:
        epoch: second 0.
        began: when that run began, in seconds.
        now: when it had ended.
        slack_s: moments as near to each other as this aren't told apart.
    """

    titles: Sequence[Title]
    sync: Sync
    epoch: datetime
    began: float
    now: float
    slack_s: float

    def must_know(self, title: Title) -> bool:
        """Tell whether a reading that had to find the title is past."""
        if title.withdrawn_at is not None or title.moment < self.sync.start_date:
            return False
        prompt = title.prompt and self.second(title.moment) < self.began - self.slack_s
        return prompt or self.was_read(title, since=title.settled_from)

    def was_read(self, title: Title, *, since: float) -> bool:
        """Tell whether its day had to be read after `since`: by an age, or by this very run.

        A day that was older than any age when it was read at first, and blank, is asked for again
        as a blank one: its ages are counted from then.
        """
        bought = self.second(title.moment)
        if bought >= self.now - ROLLING_S + self.slack_s and since <= self.began:
            return bought < self.began - self.slack_s
        first = title.settled_from if bought < 0 else self._end_of_day(title)
        ages = (first + age.total_seconds() for age in self.sync.reread)
        return any(since + self.slack_s <= due <= self.began - self.slack_s for due in ages)

    def _end_of_day(self, title: Title) -> float:
        return self.second(midnight_before(title.moment) + DAY)

    def second(self, moment: datetime) -> float:
        """Return the moment in seconds of the loop."""
        return (moment - self.epoch).total_seconds()


def demand(server: Server, number: int, truth: Truth, *, final: bool) -> None:
    """Compare what is stored of the collection with what is true.

    Raises:
        Violation: the first difference.
    """
    conn = server.lend("")
    try:
        for sentence in _violations(server, conn, number, truth, final=final):
            raise Violation(sentence)
    finally:
        server.take_back("", conn)


def _violations(
    server: Server, conn: Any, number: int, truth: Truth, *, final: bool
) -> Iterator[str]:
    def rows(sql: str) -> list[Any]:
        return server.run(conn.fetch(sql, number))

    def count(sql: str) -> int:
        return server.run(conn.fetchval(sql, number))

    stored = {row["control_number"]: _edition(row["marc"]) for row in rows(RECORDS)}
    before: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows(VERSIONS):
        before[row["control_number"]].append(_edition(row["marc"]))
    yield from _of_titles(truth, stored, before, rows(LANES))
    yield from _of_rejects(truth, Counter({row[0]: row[1] for row in rows(REJECTS)}))
    yield from _of_coverage(truth, rows(LIVE)[0]["covered"])
    if count(UNCLOSED):
        yield "8: a forced re-import or a backfill isn't finished"
    if count(OPEN_WINDOWS):
        yield "1: a window is left open"
    if count(UNSOUND_RUNS):
        yield "2: there are runs that never ended, or whose counts don't add up"
    if count(TITLES) != len(stored):
        yield "the titles to look up aren't those that are stored"
    if final and count(BLANKS):
        yield "6: blank answers are still believed"
    ledger = {number: [_purchased(each) for each in truth.titles if _counts(truth, each)]}
    entries = server.run(journal.entries(conn, collection=number))
    if violation := first_violation(entries, ledger):
        yield violation
    yield from _of_counts(entries, rows(COUNTED_RUNS))


def _of_titles(
    truth: Truth,
    stored: Mapping[str, int],
    before: Mapping[str, list[int]],
    closed: Sequence[Mapping[str, datetime]],
) -> Iterator[str]:
    for title in truth.titles:
        edition = stored.get(title.key)
        if edition is None:
            if title.controls == 1 and truth.must_know(title):
                yield f"1: lost: {title}"
            continue
        chain = [*before.get(title.key, ()), edition]
        if chain != sorted(set(chain)):
            yield f"3: {title.key} went through editions {chain}"
        least = _least_edition(truth, title, closed)
        if not least <= edition <= title.edition(truth.now):
            yield f"6: edition {edition} is stored, not {least}: {title}"


def _least_edition(truth: Truth, title: Title, closed: Sequence[Mapping[str, datetime]]) -> int:
    """Return the edition that had to be seen: by an age, or by a forced re-import."""
    if title.withdrawn_at is not None or title.moment < truth.sync.start_date:
        return 0
    since = [
        edited
        for edited in title.edited
        if truth.was_read(title, since=max(edited, title.settled_from))
    ]
    least = len(since)
    for lane in closed:
        opened = truth.second(lane["opened_at"]) - truth.slack_s
        inside = lane["from_at"] <= title.moment < lane["until_at"]
        if inside and title.settled_from <= opened:
            least = max(least, title.edition(opened))
    return least


def _of_counts(entries: Sequence[Entry], runs: Sequence[Mapping[str, int]]) -> Iterator[str]:
    stored: Counter[tuple[int | None, bool]] = Counter(
        (entry.run, entry.version == 1) for entry in entries if entry.kind == "record"
    )
    for row in runs:
        told = row["new"], row["changed"]
        true = stored[row["run"], True], stored[row["run"], False]
        if told != true:
            yield f"2: run {row['run']} counts {told} new and changed records, and stored {true}"


def _of_rejects(truth: Truth, found: Counter[str]) -> Iterator[str]:
    for controls, reason in REASONS.items():
        such = [each for each in truth.titles if each.controls == controls]
        least = sum(truth.must_know(each) for each in such)
        if not least <= found[reason] <= len(such):
            yield f"2: {found[reason]} of {least} to {len(such)} rejects: {reason}"


def _of_coverage(truth: Truth, covered: Sequence[Any]) -> Iterator[str]:
    start = truth.second(truth.sync.start_date)
    spans = [(truth.second(each.lower), truth.second(each.upper)) for each in covered]
    if not any(begin <= start and truth.began - truth.slack_s <= end for begin, end in spans):
        yield f"1: not covered from {truth.sync.start_date} to the present: {covered}"
    if spans[-1][1] > truth.now + truth.slack_s:
        yield f"1: the future is covered: {covered}"


def _counts(truth: Truth, title: Title) -> bool:
    return title.controls == 1 and truth.must_know(title)


def _purchased(title: Title) -> Purchased:
    return Purchased(title.key, title.moment, title.moment, hid=not title.prompt)


def _edition(marc: str) -> int:
    found = EDITION.search(marc)
    assert found is not None, marc
    return int(found[1])
