"""Records: one as it is stored."""

from bibsync.errors import NotFound
from bibsync.exports import jsonl
from bibsync.store import collections, records
from bibsync.web.route import Answer, Asked


async def show(asked: Asked) -> Answer:
    """Answer a record as `records export` writes it."""
    collection, control_number = asked.path["collection"], asked.path["control_number"]
    number = (await collections.named(asked.conn, collection)).number
    row = await records.one(asked.conn, number, control_number.strip())
    if row is None:
        raise NotFound(
            f'There is no record "{control_number}" in "{collection}".',
            remedy="`bibsync records export` writes all there are.",
        )
    return Answer(jsonl.document(row))
