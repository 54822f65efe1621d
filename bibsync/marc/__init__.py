"""Reading MARC: a page's bytes become records and rejects.

`cut` proves that an answer is a page and cuts it into raw records; `read` makes a Record or a
Reject of one, without raising for anything that a vendor may send. Between the two the store is
asked which raw records it has already, so that hardly any need to be read.

`iso2709` and `xml_file` read files; `to_xml` writes what was read.
"""

from bibsync.marc import iso2709
from bibsync.marc.files import xml_file
from bibsync.marc.page import PAGE_LIMIT, cut
from bibsync.marc.prolog import NotAPage
from bibsync.marc.reader import read
from bibsync.marc.sameness import READER_VERSION, identity
from bibsync.marc.writer import to_xml

__all__ = [
    "PAGE_LIMIT",
    "READER_VERSION",
    "NotAPage",
    "cut",
    "identity",
    "iso2709",
    "read",
    "to_xml",
    "xml_file",
]
