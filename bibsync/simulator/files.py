"""Real MARC records as purchases: ISO 2709 and MARCXML files, spread evenly over a period.

Promises that every record of the files is either served or counted in `left_out`. A control
number is served once, as its first record; unreadable records are served as they lie in an XML
file and left out of a binary one, which has no form on a page. The records are kept in memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from bibsync import marc
from bibsync.marc import iso2709
from bibsync.record import Record
from bibsync.reject import Reject
from bibsync.simulator import marcxml, titles
from bibsync.simulator.purchase import Purchase

_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Imported:
    """The purchases that the files became, and their records."""

    purchases: tuple[Purchase, ...]
    received: tuple[Record | bytes, ...]
    """By number of the purchase: the record, or the bytes of an unreadable one."""
    left_out: Counter[str]

    @classmethod
    def of(cls, paths: Iterable[Path], since: date, until: date) -> "Imported":
        """Read the files and spread their records over the days from `since` to before `until`."""
        left_out: Counter[str] = Counter()
        received = tuple(_servable(paths, left_out))
        start = datetime.combine(since, time(), UTC)
        span_s = (until - since) // timedelta(seconds=1)
        if span_s <= 0:
            raise ValueError("the records are spread over at least one day")
        purchases = []
        for number, each in enumerate(received):
            moment = start + timedelta(seconds=number * span_s // len(received))
            purchases.append(
                Purchase(
                    number=number,
                    control_number=_key(number, each),
                    moment=moment,
                    visible_from=moment,
                )
            )
        return cls(tuple(purchases), received, left_out)

    def work(self, purchase: Purchase, version: int) -> titles.Work:
        """Return what the record tells of the title; a file has one version of it."""
        del version
        record = self.received[purchase.number]
        if isinstance(record, bytes):
            return titles.unknown(purchase.control_number)
        return titles.Work(
            control_number=record.control_number,
            title=record.title,
            authors=(record.author,) if record.author else (),
            isbn=next(iter(record.isbns), ""),
            print_isbn="",
            publisher=record.publisher,
            year=int(record.published) if record.published.isdecimal() else 0,
            format=record.format,
            genres=tuple(("", subject, "") for subject in record.subjects),
            pages=0,
        )

    def element(self, purchase: Purchase, version: int, library_id: str) -> bytes:
        """Return the title's record as MARCXML, the account left as the file has it."""
        del version, library_id
        record = self.received[purchase.number]
        return record if isinstance(record, bytes) else marc.to_xml(record.marc)


def _servable(paths: Iterable[Path], left_out: Counter[str]) -> Iterator[Record | bytes]:
    served: set[str] = set()
    for path in paths:
        for each in iso2709.read_file(path) if _is_binary(path) else marc.xml_file(path):
            if isinstance(each, Reject):
                raw = marcxml.prefixed(each.raw)
                if _is_cut_as_one(raw):
                    yield raw
                else:
                    left_out[str(each.reason)] += 1
            elif each.control_number in served:
                left_out["control_number_repeated"] += 1
            else:
                served.add(each.control_number)
                yield each


def _is_binary(path: Path) -> bool:
    """Tell ISO 2709, which begins with digits of a length, from XML."""
    with path.open("rb") as file:
        start = file.read(512)
    return not start.startswith(_BYTE_ORDER_MARKS) and not start.lstrip().startswith(b"<")


def _is_cut_as_one(raw: bytes) -> bool:
    """Tell whether the bytes on a page are one record, and no other record's trouble."""
    if not raw.startswith(b"<marc:record"):
        return False
    try:
        return len(marc.cut(marcxml.page([raw]))) == 1
    except marc.NotAPage:
        return False


def _key(number: int, received: Record | bytes) -> str:
    return f"unreadable {number}" if isinstance(received, bytes) else received.control_number
