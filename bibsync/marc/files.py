"""MARCXML files of any shape: collections, answers of OAI-PMH and SRU, a single record.

A file is not an answer: no root is asked for, and an envelope that is called a record but holds
no MARC is passed over.
"""

from collections.abc import Iterator
from pathlib import Path

from bibsync.fault import Fault
from bibsync.marc import encoding, markup, page, sameness
from bibsync.marc.prolog import NotAPage
from bibsync.marc.reader import read
from bibsync.record import Record
from bibsync.reject import Reject


def xml_file(path: Path) -> Iterator[Record | Reject]:
    """Read each MARC record of a file, in order. The file is held in memory meanwhile.

    Raises:
        NotAPage: the file declares a document type.
    """
    text, mended = encoding.as_utf8(path.read_bytes())
    view = markup.visible(text)
    if markup.DOCUMENT_TYPE.search(view):
        raise NotAPage(Fault.DOCTYPE, f"{path.name} declares a document type, which no page needs")
    position = 0
    for start, end in page.odd_records(view, 0, len(view)):
        if markup.FIELD_TAG.search(view, start, end):
            yield read(sameness.mark(text, view, (start, end), position=position, repairs=mended))
            position += 1
