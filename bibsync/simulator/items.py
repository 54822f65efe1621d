"""Item look-ups: metadata and copies of single titles, with the oddities of real answers.

Authors and genres are escaped twice, a role stands in brackets behind some authors, some items
lack AvailableCopies, and some have a PubDate, others only a PubYear. Ids that the library doesn't
have are left out of the answer.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

from bibsync.simulator.answers import Answer
from bibsync.simulator.chance import Chance
from bibsync.simulator.library import Library
from bibsync.simulator.purchase import Purchase
from bibsync.simulator.request import Unanswerable

MOST: Final = 25
_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>'
_SITE: Final = "https://ebook.yourcloudlibrary.com/library/"
_COVER: Final = "https://images.yourcloudlibrary.com/delivery/img?type=DOCUMENTIMAGE&documentID="
_QUOTES: Final = {"'": "&#39;", '"': "&quot;"}


def items(library: Library, ids: str, at: datetime) -> Answer:
    """Return the metadata of the titles with these ids, which commas part.

    Raises:
        Unanswerable: more ids than the vendor takes in one request.
    """
    found = _found(library, ids, at)
    return _document("ArrayOfItem", (_item(library, each, at) for each in found), "items")


def summary(library: Library, ids: str, at: datetime) -> Answer:
    """Return title and copies of the titles with these ids.

    Raises:
        Unanswerable: more ids than the vendor takes in one request.
    """
    found = _found(library, ids, at)
    lines = (
        _element("LibraryDocumentSummary", _title(library, each, at) + _copies(each))
        for each in found
    )
    return _document("ArrayOfLibraryDocumentSummary", lines, "summary")


def circulation(library: Library, item_id: str, at: datetime) -> Answer:
    """Return who has and who waits for a title: nobody, for a patron's data is nobody's."""
    found = _found(library, item_id, at)
    lines = (
        f"<ItemId>{escape(each.control_number)}</ItemId>{_copies(each)}<Checkouts/><Holds/><Reserves/>"
        for each in found
    )
    return _document("ItemCirculation", lines, "circulation")


def _found(library: Library, ids: str, at: datetime) -> list[Purchase]:
    asked = list(dict.fromkeys(filter(None, ids.split(","))))
    if len(asked) > MOST:
        raise Unanswerable(f"at most {MOST} items a request")
    purchases = (library.bought.find(item_id) for item_id in asked)
    return [each for each in purchases if each is not None and each.visible(at)]


def _item(library: Library, purchase: Purchase, at: datetime) -> str:
    work = library.work(purchase, at)
    chance = Chance("item", purchase.control_number)
    role = " (Author)" if chance.happens(0.3) else ""
    dated = chance.happens(0.5)
    published = f"<PubDate>{work.year}-06-01</PubDate>" if dated else ""
    inner = (
        _title(library, purchase, at),
        "<SubTitle />",
        f"<Authors>{_twice('; '.join(name + role for name in work.authors))}</Authors>",
        f"<Description>{escape(f'About {work.title}')}</Description>",
        f"<Publisher>{escape(work.publisher)}</Publisher>",
        published + f"<PubYear>{work.year}</PubYear>",
        "<Language>en</Language>",
        f"<PhysicalISBN>{work.print_isbn}</PhysicalISBN><ISBN13>{work.isbn}</ISBN13>",
        f"<BookFormat>{work.format}</BookFormat><NumberOfPages>{work.pages}</NumberOfPages>",
        f"<Genre>{_twice(', '.join(part or name for _, name, part in work.genres))}</Genre>",
        _copies(purchase),
        f"<BookLinkURL>{_SITE}{_at(library, work.control_number)}</BookLinkURL>",
        f"<CoverLinkURL>{escape(_COVER + work.control_number)}</CoverLinkURL>",
    )
    return _element("Item", "".join(inner))


def _title(library: Library, purchase: Purchase, at: datetime) -> str:
    title = escape(library.work(purchase, at).title)
    return f"<ItemId>{escape(purchase.control_number)}</ItemId><Title>{title}</Title>"


def _copies(purchase: Purchase) -> str:
    chance = Chance("copies", purchase.control_number)
    total = chance.between(1, 5)
    available = f"<AvailableCopies>{chance.between(0, total)}</AvailableCopies>"
    known = available if chance.happens(0.8) else ""
    return f"<TotalCopies>{total}</TotalCopies>{known}<OnHoldCount>0</OnHoldCount>"


def _at(library: Library, item_id: str) -> str:
    return escape(f"{library.library_id}-document_id-{item_id}")


def _twice(text: str) -> str:
    return escape(escape(text, _QUOTES))


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _document(root: str, lines: Iterable[str], kind: str) -> Answer:
    each = list(lines)
    names = ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    body = f"{_DECLARATION}<{root}{names}>{''.join(each)}</{root}>"
    return Answer(kind=kind, body=body.encode(), records=len(each))
