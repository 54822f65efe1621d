"""What a format is: a head, one piece a record, a tail; and what of a row all MARC formats take.

Rows are those of `store.records` and `store.versions`. A format holds no state, so what is written
may be cut off after any record, and memory doesn't grow with the collection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bibsync.errors import BibsyncError

STATUS = 5
"""The place of the record status in the leader."""
DELETED = "d"

Row = Mapping[str, Any]


class Unfit(BibsyncError):
    """A record that a format can't hold unchanged; `reason` says what of it."""

    code = "does_not_fit"
    cause = (
        "The record is larger than this format can hold. It is stored all the same, whole; only "
        "this output lacks it."
    )
    exit_code = 3
    default_remedy = "The formats marcxml and jsonl hold every record."

    def __init__(self, reason: str) -> None:
        super().__init__(f"The record doesn't fit into this format: {reason}.")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to write records as bytes.

    `one` raises Unfit where the format can't hold the record, before anything of it is written.
    `suffix` is how such a file's name ends. `binary` is what no terminal can show.
    """

    one: Callable[[Row], bytes]
    head: bytes = b""
    tail: bytes = b""
    suffix: str
    binary: bool = False


def marc_of(row: Row) -> bytes:
    """Return the record as MARC-in-JSON: as received, a withdrawn one with status `d`, deleted."""
    marc: str = row["marc"]
    if row["withdrawn_at"] is None:
        return marc.encode()
    document = orjson.loads(marc)
    leader = document["leader"]
    document["leader"] = leader[:STATUS] + DELETED + leader[STATUS + 1 :]
    return orjson.dumps(document)


def fragment(text: str) -> orjson.Fragment:
    """Return stored JSON to be put into a document: on one line, and otherwise as it is."""
    return orjson.Fragment(text.replace("\r", " ").replace("\n", " "))
