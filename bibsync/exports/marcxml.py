"""MARCXML: a collection in the namespace of MARC 21 slim, a record a line."""

from bibsync.exports.format import Format, Row, marc_of
from bibsync.marc import to_xml

HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<collection xmlns="http://www.loc.gov/MARC21/slim">
"""
TAIL = b"</collection>\n"


def element(row: Row) -> bytes:
    """Return the record as an element that belongs behind HEAD."""
    return to_xml(marc_of(row), prefix="") + b"\n"


FORMAT = Format(head=HEAD, one=element, tail=TAIL, suffix=".xml")
