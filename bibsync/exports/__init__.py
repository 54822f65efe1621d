"""Formats in which records are handed on: one module each, rows in, bytes out, one at a time."""

from typing import Final

from bibsync.exports import delimited, iso2709, jsonl, marcxml
from bibsync.exports.format import Format, Row, Unfit

FORMATS: Final[dict[str, Format]] = {
    "jsonl": jsonl.FORMAT,
    "mrc": iso2709.FORMAT,
    "marcxml": marcxml.FORMAT,
    "csv": delimited.FORMAT,
}
"""What `records export --format` may say."""

__all__ = ["FORMATS", "Format", "Row", "Unfit"]
