"""JSON lines: one record a line, as contract section 5 has it."""

from typing import Any

import orjson

from bibsync.exports.format import Format, Row, fragment
from bibsync.run import utc_text


def document(row: Row) -> dict[str, Any]:
    """Return the document of a record's row.

    `marc` is MARC-in-JSON, the record as received; `description` is what the vendor tells of the
    title beside it, None where it wasn't looked up.
    """
    described = row["description"]
    return {
        "collection": row["collection_name"],
        "control_number": row["control_number"],
        "title": row["title"],
        "author": row["author"],
        "isbns": row["isbns"],
        "publisher": row["publisher"],
        "published": row["published"],
        "language": row["language"],
        "subjects": row["subjects"],
        "format": row["format"],
        "cover_url": row["cover_url"],
        "material_type": row["material_type"],
        "version": row["version"],
        "fingerprint": row["fingerprint"].hex(),
        "first_seen": utc_text(row["first_seen"]),
        "last_seen": utc_text(row["last_seen"]),
        "last_changed": utc_text(row["last_changed"]),
        "withdrawn": row["withdrawn_at"] is not None,
        "repairs": row["repairs"],
        "marc": fragment(row["marc"]),
        "description": None if described is None else fragment(described),
    }


def line(row: Row) -> bytes:
    """Return the record as one line."""
    return orjson.dumps(document(row)) + b"\n"


FORMAT = Format(one=line, suffix=".jsonl")
