"""CSV for spreadsheets, after RFC 4180: a header, a record a line, CRLF.

The file begins with a byte order mark: without it Excel reads UTF-8 as the local code page. A
cell that a spreadsheet would take for a formula begins with an apostrophe; programs that want each
value as it is read jsonl. The MARC record and the description have no cell.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable

from bibsync.exports import jsonl
from bibsync.exports.format import Format, Row

COLUMNS = (
    "collection",
    "control_number",
    "title",
    "author",
    "isbns",
    "publisher",
    "published",
    "language",
    "subjects",
    "format",
    "cover_url",
    "material_type",
    "version",
    "fingerprint",
    "first_seen",
    "last_seen",
    "last_changed",
    "withdrawn",
)
BETWEEN = " | "
"""What stands between the values of a list."""
FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet may compute; the last four are the wide forms."""


def line(row: Row) -> bytes:
    """Return the record as one line; a line break within a value stays, in quotes."""
    document = jsonl.document(row)
    return _line(_cell(document[column]) for column in COLUMNS)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            text = BETWEEN.join(map(str, value))
        case _:
            text = str(value)
    return f"'{text}" if FORMULA.match(text) else text


def _line(cells: Iterable[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue().encode()


FORMAT = Format(head=codecs.BOM_UTF8 + _line(COLUMNS), one=line, suffix=".csv")
