"""The ordinary way to store MARCXML pages: what bibsync's cost is compared with.

As it is usually written: pymarc reads the page, a hash over `as_marc` tells what changed, and
each record is upserted by a statement of its own, one transaction a page. It is granted what the
vendor would otherwise spoil for it: 005 and 008/00-05 are left out of the hash. It keeps neither
rejects nor versions nor checkpoints, and takes six columns out of a record.
"""

import hashlib
import io
from collections.abc import Iterable

import pymarc
from pymarc.marcxml import parse_xml_to_array

from bibsync.store import Connection

TABLE = """
create table ordinary (
    control_number text primary key, hash bytea not null, title text, author text, isbn text,
    publisher text, published text, marc jsonb not null
)
"""
UPSERT = """
insert into ordinary as o (control_number, hash, title, author, isbn, publisher, published, marc)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (control_number) do update
set hash = excluded.hash, title = excluded.title, author = excluded.author, isbn = excluded.isbn,
    publisher = excluded.publisher, published = excluded.published, marc = excluded.marc
where o.hash <> excluded.hash
"""


async def store(conn: Connection, bodies: Iterable[bytes]) -> int:
    """Store each page; return how many records were written."""
    written = 0
    for body in bodies:
        async with conn.transaction():
            for record in parse_xml_to_array(io.BytesIO(body)):  # type: ignore[no-untyped-call] # pymarc's
                done = await conn.execute(UPSERT, *_row(record))
                written += done.endswith("1")
    return written


def _row(record: pymarc.Record) -> tuple[object, ...]:
    whole = record.as_json()
    title, author, isbn = record.title, record.author, record.isbn
    publisher, published = record.publisher, record.pubyear
    number = record["001"].data
    record.remove_fields("005")
    for field in record.get_fields("008"):
        field.data = " " * 6 + (field.data or "")[6:]
    content = hashlib.sha256(record.as_marc()).digest()
    return number, content, title, author, isbn, publisher, published, whole
