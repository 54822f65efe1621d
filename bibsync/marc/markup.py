"""What of a page is markup: a view in which comments, CDATA and instructions are blank.

The view has the page's length, so that what is found in it is cut from the page itself. Only
bytes are searched and nothing is parsed: searching for one byte costs next to nothing.
"""

import re

BLANKED = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))
"""What opens a stretch in which no tag counts, and what closes it."""

NAME = rb"[^\s<>/!?='\"&:]+"
RECORD_TAG = re.compile(rb"<(/?)(?:" + NAME + rb":)?record(?=[\s/>])[^<>]*>?")
DOCUMENT_TYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)\b", re.IGNORECASE)
FIELD_TAG = re.compile(rb"<(?:" + NAME + rb":)?(?:leader|controlfield|datafield)[\s/>]")
DECLARATION = re.compile(rb"\s*<\?xml\s[^<>?]*\?>")


def declaration(page: bytes) -> int:
    """Return where the XML declaration ends, 0 where there is none."""
    found = DECLARATION.match(page)
    return found.end() if found else 0


def visible(page: bytes, start: int = 0) -> bytes:
    """Return the page with comments, CDATA and processing instructions from `start` on blanked.

    One that never closes is left as it stands: it is damage, not a comment. Where there are none
    the view is the page itself: a copy of a page costs as much as a search.
    """
    kept: list[bytes] = []
    done = 0
    closings = dict(BLANKED)
    ahead = {second: _pair(page, second, start) for second in (b"!", b"?")}
    while (at := min(ahead.values())) < len(page):
        opening = next((o for o in closings if page.startswith(o, at)), None)
        found = page.find(closings[opening], at + len(opening)) if opening else -1
        if opening and found >= 0:
            stop = found + len(closings[opening])
            kept += page[done:at], b" " * (stop - at)
            done = stop
        else:
            closings.pop(opening or b"", None)
            stop = at + 2
        for second, place in ahead.items():
            if place < stop:
                ahead[second] = _pair(page, second, stop)
    return b"".join([*kept, page[done:]]) if kept else page


def _pair(page: bytes, second: bytes, start: int) -> int:
    """Return where `<` and `second` stand together from `start` on, the page's end if nowhere."""
    at = page.find(second, start + 1)
    while at > 0 and page[at - 1] != ord("<"):
        at = page.find(second, at + 1)
    return at - 1 if at > 0 else len(page)
