"""Purchase histories: what a library bought and when.

`Listed` keeps its purchases; `Virtual` works each one out from its number and the seed, so that
a million titles need no memory.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from bibsync.simulator import titles
from bibsync.simulator.chance import Chance
from bibsync.simulator.defects import USUAL, Defect
from bibsync.simulator.purchase import Purchase

REACH = timedelta(days=64)
"""How long after its purchase a title may turn up, change or go."""
_DAY_S = 24 * 60 * 60


class History(Protocol):
    """What a library bought, whether the vendor shows it yet or not."""

    def between(self, start: datetime, end: datetime) -> Iterator[Purchase]:
        """Yield the purchases of [start, end), by moment, then by control number."""

    def find(self, control_number: str) -> Purchase | None:
        """Return the purchase of this title, None where there was none."""


class Listed:
    """A history that is given purchase by purchase; no title comes twice."""

    def __init__(self, purchases: Iterable[Purchase]) -> None:
        self._purchases = sorted(purchases, key=_order)
        self._by_title = {each.control_number: each for each in self._purchases}
        if len(self._by_title) < len(self._purchases):
            raise ValueError("a title is bought once only")

    def between(self, start: datetime, end: datetime) -> Iterator[Purchase]:
        """Yield the purchases of [start, end), by moment, then by control number."""
        first = bisect.bisect_left(self._purchases, start, key=_moment)
        past = bisect.bisect_left(self._purchases, end, key=_moment)
        yield from self._purchases[first:past]

    def find(self, control_number: str) -> Purchase | None:
        """Return the purchase of this title, None where there was none."""
        return self._by_title.get(control_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtual:
    """A history of any size, of which nothing is kept: purchase n follows from n and the seed.

    The titles are bought in the order of their numbers between midnight of `since` and midnight
    of `until`, spread over every day or, with `dense_days`, over only so many. The shares, each
    of 0..1, say how many titles turn up late, get another title, are withdrawn, or have a record
    with one of `defects`. What comes late or gets another title does so within `REACH` of the
    purchase, what is withdrawn within `REACH` of turning up. A record that must become a reject
    stays as it is.
    """

    titles: int
    since: date
    until: date
    seed: object
    dense_days: int | None = None
    late: float = 0.0
    retitled: float = 0.0
    removed: float = 0.0
    bad: float = 0.0
    defects: Sequence[Defect] = USUAL
    _days: tuple[datetime, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        span = (self.until - self.since).days
        if span < 1 or self.titles < 0 or not 1 <= (self.dense_days or span) <= span:
            raise ValueError("a history covers at least one day and no more days than it has")
        numbers: Iterable[int] = range(span)
        if self.dense_days is not None:
            drawn = Chance(self.seed, "days").shuffled(range(span))
            numbers = sorted(drawn[: self.dense_days])
        first = datetime.combine(self.since, time(), UTC)
        object.__setattr__(self, "_days", tuple(first + timedelta(days=n) for n in numbers))

    def between(self, start: datetime, end: datetime) -> Iterator[Purchase]:
        """Yield the purchases of [start, end), by moment, then by control number."""
        everything = range(self.titles)
        number = bisect.bisect_left(everything, start, key=self._moment)
        tie: list[Purchase] = []
        while number < self.titles:
            purchase = self.purchase(number)
            if purchase.moment >= end:
                break
            if tie and tie[0].moment != purchase.moment:
                yield from sorted(tie, key=_order)
                tie.clear()
            tie.append(purchase)
            number += 1
        yield from sorted(tie, key=_order)

    def find(self, control_number: str) -> Purchase | None:
        """Return the purchase of this title, None where there was none."""
        number = titles.number_of(control_number)
        return None if number is None or number >= self.titles else self.purchase(number)

    def purchase(self, number: int) -> Purchase:
        """Return the purchase with this place in the history, from 0."""
        chance = Chance(self.seed, number)
        moment = self._place(number, chance.share())
        is_late, is_retitled, is_removed = (
            chance.happens(share) for share in (self.late, self.retitled, self.removed)
        )
        visible_from = moment + _delay(chance) if is_late else moment
        defect = chance.pick(self.defects) if chance.happens(self.bad) else None
        lasting = defect is not None and defect.fate is not None
        retitled_at = moment + _delay(chance)
        return Purchase(
            number=number,
            control_number=titles.control_number(number),
            moment=moment,
            visible_from=visible_from,
            retitled_at=retitled_at if is_retitled and not lasting else None,
            removed_at=visible_from + _delay(chance) if is_removed and not lasting else None,
            defect=defect,
        )

    def _moment(self, number: int) -> datetime:
        return self._place(number, Chance(self.seed, number).share())

    def _place(self, number: int, share: float) -> datetime:
        """Return the moment of a purchase: the later the number, the later the moment."""
        place = (number + share) * len(self._days) / self.titles
        day = min(int(place), len(self._days) - 1)
        return self._days[day] + timedelta(seconds=min(int((place - day) * _DAY_S), _DAY_S - 1))


def _delay(chance: Chance) -> timedelta:
    """Draw how late something happens: mostly minutes or hours, sometimes nearly `REACH`."""
    return timedelta(seconds=int(60 * (REACH.total_seconds() / 60) ** chance.share()))


def _moment(purchase: Purchase) -> datetime:
    return purchase.moment


def _order(purchase: Purchase) -> tuple[datetime, str]:
    return purchase.moment, purchase.control_number
