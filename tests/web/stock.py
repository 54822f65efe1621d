"""What the tables hold before something is asked: runs, records, rejects, as a sync leaves them."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from bibsync import marc
from bibsync.errors import SourceBusy
from bibsync.fault import Fault
from bibsync.record import Record
from bibsync.reject import Reason, Reject
from bibsync.run import PURCHASES, Outcome, Tally
from bibsync.store import Connection, records, rejects, runs
from bibsync.store.records import Asked
from bibsync.window import Window

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=1), NOW)


def element(*numbers: str, title: str = "A title") -> bytes:
    controls = "".join(f'<m:controlfield tag="001">{each}</m:controlfield>' for each in numbers)
    return (
        f"<m:record><m:leader>00000nam a2200000   4500</m:leader>{controls}"
        '<m:datafield tag="245" ind1="1" ind2="0">'
        f'<m:subfield code="a">{title}</m:subfield></m:datafield></m:record>'
    ).encode()


async def ran(
    conn: Connection,
    collection: int,
    *,
    at: datetime = NOW,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    stream: str = PURCHASES,
) -> int:
    """Note a run; one without an outcome is under way."""
    busy = SourceBusy("Busy.", outcome=Fault.HTML).problem
    run = await runs.start(
        conn, (collection, stream), trigger="schedule", replica="here:1", epoch=1, now=at
    )
    if outcome is not None:
        await runs.end(
            conn,
            collection,
            run,
            outcome=outcome,
            tally=Tally(requests=3, received=2, new=2),
            caught_up_to=at,
            problem=busy if outcome is Outcome.FAILED else None,
            now=at + timedelta(seconds=4),
        )
    return run


async def stored(conn: Connection, collection: int, key: str) -> None:
    """Store a record."""
    [raw] = marc.cut(b'<m:collection xmlns:m="x">' + element(key) + b"</m:collection>")
    record = marc.read(raw)
    assert isinstance(record, Record)
    await records.store(conn, collection, [record], asked=Asked(1, 1), run=1, now=NOW)


async def set_aside(
    conn: Connection,
    collection: int,
    raw: bytes,
    *,
    run: int = 0,
    reason: Reason = Reason.UNREADABLE_RECORD,
) -> int:
    """Keep bytes as a reject, as a reader of old may have made it; return its number."""
    reject = Reject(reason, "is not readable MARC", raw, sha256(raw).digest(), 1)
    [row] = await rejects.store(
        conn, (collection, PURCHASES), [reject], run=run, window=WINDOW, now=NOW
    )
    return row["reject"]
