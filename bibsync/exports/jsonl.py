"""JSON lines: one record a line, as contract section 5 has it."""

from collections.abc import Mapping
from typing import Any

import orjson

from bibsync.run import utc_text


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a record's row; `marc` is MARC-in-JSON, the record as received."""
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
        "marc": orjson.Fragment(row["marc"]),
    }


def line(row: Mapping[str, Any]) -> bytes:
    """Return the record as one line."""
    return orjson.dumps(document(row)) + b"\n"
