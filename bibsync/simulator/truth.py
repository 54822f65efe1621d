"""The truth ledger: what a client that lost nothing and doubled nothing must have.

Each title's record is made undamaged and read with the program's own reader, so that a title in
the store can be compared by its fingerprint.
"""

from datetime import UTC, datetime

from bibsync import marc
from bibsync.record import Record
from bibsync.simulator import marcxml
from bibsync.simulator.library import Library
from bibsync.simulator.purchase import Purchase
from bibsync.simulator.request import DATES

_EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def truth(library: Library, at: datetime) -> dict[str, object]:
    """Return what the vendor shows of a library at this time.

    `records` gives purchased_at, title and fingerprint (hex) by control number and holds the
    `repairable` ones (control number to defect) too; `rejects` lists the records that can't be
    stored; `withdrawn` are titles that were shown once, which a client may have or not.
    """
    records: dict[str, object] = {}
    repairable: dict[str, str] = {}
    withdrawn: dict[str, str] = {}
    rejects: list[dict[str, str]] = []
    for purchase in library.bought.between(*_EVER):
        if purchase.removed_at is not None and purchase.removed_at <= at:
            withdrawn[purchase.control_number] = purchase.moment.strftime(DATES)
        elif purchase.visible(at):
            defect = str(purchase.defect or "as_received")
            reason, record = _fate(library, purchase, at)
            if record is None:
                rejects.append(
                    {
                        "defect": defect,
                        "reason": reason,
                        "purchased_at": purchase.moment.strftime(DATES),
                    }
                )
                continue
            if purchase.defect is not None:
                repairable[record.control_number] = defect
            records[record.control_number] = {
                "purchased_at": purchase.moment.strftime(DATES),
                "title": record.title,
                "fingerprint": record.fingerprint.hex(),
            }
    return {
        "library_id": library.library_id,
        "at": at.strftime(DATES),
        "records": records,
        "repairable": repairable,
        "rejects": rejects,
        "withdrawn": withdrawn,
        "left_out": dict(library.left_out),
    }


def _fate(library: Library, purchase: Purchase, at: datetime) -> tuple[str, Record | None]:
    """Return the record as it must be stored, or why it can't be."""
    if purchase.defect is not None and purchase.defect.fate is not None:
        return str(purchase.defect.fate), None
    [raw] = marc.cut(marcxml.page([library.element(purchase, at)]))
    outcome = marc.read(raw)
    return ("", outcome) if isinstance(outcome, Record) else (str(outcome.reason), None)
