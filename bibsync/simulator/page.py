"""A page of purchases: which records it holds and how it is dressed.

Without faults, the pages of a window in the order of their offsets hold each visible purchase of
the window once. The faults of the second group of `Faults` break that, each in a way that a
client can notice: a short page holds two records at least, a shift shows in the first record of a
later page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from bibsync.simulator import marcxml
from bibsync.simulator.answers import XML, Answer
from bibsync.simulator.chance import Chance
from bibsync.simulator.faults import Faults
from bibsync.simulator.library import Library
from bibsync.simulator.purchase import Purchase
from bibsync.simulator.request import Stretch

_WRONG_TYPES: Final = ("text/html", "text/plain", "application/octet-stream")


@dataclass(slots=True, eq=False)
class _Page:
    """A page in the making; `fired` collects the faults that made a difference."""

    library: Library
    stretch: Stretch
    at: datetime
    chance: Chance
    faults: Faults
    fired: list[str]

    def fires(self, kind: str, *, possible: bool = True) -> bool:
        """Draw whether this fault strikes here, and note it."""
        struck = self.chance.happens(getattr(self.faults, kind)) and possible
        if struck:
            self.fired.append(kind)
        return struck

    def window(self) -> list[Purchase]:
        """Return everything the vendor shows of the window."""
        return list(self.library.visible(self.stretch.start, self.stretch.end, self.at))

    def part(self, skip: int) -> list[Purchase]:
        """Return the records of the window behind the first `skip` ones, as many as fit."""
        shown = self.library.visible(self.stretch.start, self.stretch.end, self.at)
        return list(islice(shown, skip, skip + self.stretch.limit))


def answer(
    library: Library, stretch: Stretch, *, at: datetime, chance: Chance, faults: Faults
) -> Answer:
    """Return the page of `library` for this stretch at this time, with its faults."""
    made = _Page(library, stretch, at, chance, faults, [])
    purchases = _drawn(made)
    elements = [marcxml.stamped(library.served(each, at), at) for each in purchases]
    body, content_type = _dressed(made, elements)
    return Answer(
        kind="page" if purchases else "empty",
        body=body,
        content_type=content_type,
        records=len(purchases),
        faults=tuple(made.fired),
    )


def single(library: Library, purchase: Purchase, at: datetime) -> Answer:
    """Return a page of one title alone."""
    body = marcxml.page([marcxml.stamped(library.served(purchase, at), at)])
    return Answer(kind="record", body=body, records=1)


def _drawn(made: _Page) -> list[Purchase]:
    """Return the purchases of the page: those at its offset, or what faults make of them."""
    skip, limit = made.stretch.offset - 1, made.stretch.limit
    purchases = made.part(skip)
    any_here, is_later = bool(purchases), skip > 0
    if made.fires("unstable_order", possible=any_here):
        purchases = made.chance.shuffled(made.window())[skip : skip + limit]
    if made.fires("shift", possible=any_here and is_later):
        purchases = _shifted(made, skip)
    if made.fires("duplicate", possible=any_here and limit > 1):
        place = made.chance.between(0, max(len(purchases) - 2, 0))
        purchases[place:place] = purchases[place : place + 1]
    if made.fires("duplicate_over_pages", possible=len(purchases) > 0 and is_later and limit > 1):
        place = made.chance.between(1, min(len(purchases), limit - 1))
        purchases[place:place] = made.part(0)[:1]
    purchases = purchases[:limit]
    if made.fires("short_page", possible=len(purchases) > 2):  # noqa: PLR2004 - two must remain
        purchases = purchases[: made.chance.between(2, len(purchases) - 1)]
    return purchases


def _shifted(made: _Page, skip: int) -> list[Purchase]:
    """Return the page as if the window had changed since the one before was asked for."""
    way = made.chance.pick(("gained", "lost", "rotated"))
    if way == "rotated":
        window = made.window()
        turn = made.chance.between(1, max(len(window) - 1, 1))
        return (window[turn:] + window[:turn])[skip : skip + made.stretch.limit]
    return made.part(skip - 1 if way == "gained" else skip + 1)


def _dressed(made: _Page, elements: Sequence[bytes]) -> tuple[bytes, str]:
    """Return the body and its content type, in one of the forms that a client must accept."""
    prefix = marcxml.Prefix.MARC
    if made.fires("other_prefix"):
        prefix = marcxml.Prefix.OTHER
    elif made.fires("no_prefix"):
        prefix = marcxml.Prefix.NONE
    tail = b">" if made.fires("stray_gt", possible=bool(elements)) else b""
    if made.fires("stray_declaration", possible=bool(elements)):
        tail += b'<?xml version="1.0" encoding="UTF-8"?>'
    body = marcxml.page(elements, prefix, tail=tail)
    if made.fires("latin1_declared", possible=_is_utf8(body)):
        body = body.replace(b'encoding="UTF-8"', b'encoding="ISO-8859-1"', 1)
        if made.chance.happens(0.5):  # true to its declaration; else it is UTF-8 all the same
            body = body.decode().encode("latin-1", "xmlcharrefreplace")
    if made.fires("wrong_content_type"):
        return body, made.chance.pick(_WRONG_TYPES)
    return body, "application/xml" if "latin1_declared" in made.fired else XML


def blank(right: Answer) -> Answer:
    """Return an empty body in place of an empty collection, as on a blank quiet day."""
    return replace(right, kind="blank_quiet", body=b"", faults=(*right.faults, "blank_quiet"))


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
