"""A library: an account at the vendor, what it bought, and the vendor's records of that."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from bibsync.simulator import files, history, titles
from bibsync.simulator.defects import USUAL, Defect, damaged
from bibsync.simulator.faults import Faults
from bibsync.simulator.purchase import Purchase


class Records(Protocol):
    """Where the MARC records of a library's titles come from."""

    def work(self, purchase: Purchase, version: int) -> titles.Work:
        """Return what the vendor knows of the title."""

    def element(self, purchase: Purchase, version: int, library_id: str) -> bytes:
        """Return the title's record as MARCXML, undamaged where it has a `defect`."""


class MadeUp:
    """Records that are made from the number of a purchase when they are asked for."""

    def work(self, purchase: Purchase, version: int) -> titles.Work:
        """Return what the vendor knows of the title."""
        return titles.work(purchase.number, version)

    def element(self, purchase: Purchase, version: int, library_id: str) -> bytes:
        """Return the title's record as MARCXML, undamaged."""
        long_field = purchase.defect is Defect.LONG_FIELD
        return titles.element(self.work(purchase, version), library_id, long_field=long_field)


@dataclass(slots=True, eq=False)
class Library:
    """One account at the vendor.

    `faults` replaces the vendor's where it is given; a library whose account is `refused` gets
    a 401 whatever it signs. `left_out` counts what of its files could not be served.
    """

    library_id: str
    account_id: str
    account_key: str = field(repr=False)
    purchases: history.History | Iterable[Purchase] = ()
    records: Records = field(default_factory=MadeUp, repr=False)
    faults: Faults | None = None
    refused: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    bought: history.History = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = self.purchases
        self.bought = history.Listed(given) if isinstance(given, Iterable) else given

    @classmethod
    def virtual(
        cls,
        library_id: str,
        account_id: str = "partner",
        account_key: str = "secret",
        *,
        titles: int,
        since: date,
        until: date,
        seed: int = 0,
        dense_days: int | None = None,
        late: float = 0.0,
        retitled: float = 0.0,
        removed: float = 0.0,
        bad: float = 0.0,
        defects: Sequence[Defect] = USUAL,
        faults: Faults | None = None,
        refused: bool = False,
    ) -> "Library":
        """Return a library with a made-up history, as `history.Virtual` says."""
        bought = history.Virtual(
            titles=titles,
            since=since,
            until=until,
            seed=f"{seed}/{library_id}",
            dense_days=dense_days,
            late=late,
            retitled=retitled,
            removed=removed,
            bad=bad,
            defects=tuple(defects),
        )
        return cls(library_id, account_id, account_key, bought, faults=faults, refused=refused)

    @classmethod
    def of_marc(
        cls,
        library_id: str,
        account_id: str = "partner",
        account_key: str = "secret",
        *,
        files: Iterable[Path],
        since: date,
        until: date,
        faults: Faults | None = None,
        refused: bool = False,
    ) -> "Library":
        """Return a library that bought the records of these files, evenly over the days."""
        imported = _imported(files, since, until)
        return cls(
            library_id,
            account_id,
            account_key,
            imported.purchases,
            imported,
            faults=faults,
            refused=refused,
            left_out=imported.left_out,
        )

    def visible(self, start: datetime, end: datetime, at: datetime) -> Iterator[Purchase]:
        """Yield what the vendor shows at `at` of the purchases of [start, end), in its order."""
        return (each for each in self.bought.between(start, end) if each.visible(at))

    def served(self, purchase: Purchase, at: datetime) -> bytes:
        """Return the title's record as the vendor sends it at `at`, with its damage."""
        return damaged(self.element(purchase, at), purchase.defect)

    def element(self, purchase: Purchase, at: datetime) -> bytes:
        """Return the title's record of `at`, undamaged."""
        return self.records.element(purchase, purchase.version(at), self.library_id)

    def work(self, purchase: Purchase, at: datetime) -> titles.Work:
        """Return what the vendor knows of the title at `at`."""
        return self.records.work(purchase, purchase.version(at))


def _imported(paths: Iterable[Path], since: date, until: date) -> files.Imported:
    return files.Imported.of(tuple(paths), since, until)
