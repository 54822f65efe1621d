"""A page: one answer of a vendor, proven to be whole and cut into its records.

Records are cut by searching bytes and are never parsed here, so most of them, being unchanged,
never need to be. Whatever begins like a record comes out, readable or not: nothing is dropped.
"""

import functools
import itertools
from collections.abc import Iterator
from xml.parsers import expat

from bibsync.fault import Fault
from bibsync.marc import encoding, markup, prolog, sameness
from bibsync.marc.prolog import NotAPage, Root
from bibsync.record import RawRecord

PAGE_LIMIT = 16 * 2**20
"""The most bytes of a page; the fetcher stops at it while receiving."""

MOST_RECORDS = 10_000
"""The most records of a page, where a vendor is asked for fifty."""

MOST_DOCUMENTS = 100
"""The most collections in one body; each is searched for to the body's end."""

UNFAMILIAR_NAMESPACE = "unfamiliar_namespace"
SEVERAL_DOCUMENTS = "several_documents"

LONGEST_PREFIX = 40
Stretch = tuple[int, int]


def cut(body: bytes, *, charset: str | None = None) -> tuple[RawRecord, ...]:
    """Prove that `body` is a page and cut it into its records, in their order.

    Text between records is passed over. A record without an end tag goes as far as the next one
    begins; reading it will make it a reject. Of two pages in one body all records are returned.

    Args:
        body: an answer, decompressed.
        charset: what Content-Type declared, None where it declared nothing.

    Raises:
        NotAPage: the answer says nothing about the vendor's records; ask again.
    """
    if len(body) > PAGE_LIMIT:
        raise NotAPage(
            Fault.OVERSIZE, f"the answer has {len(body)} bytes, more than a page may have"
        )
    page, mended = encoding.as_utf8(body, charset)
    if not page.strip(b" \t\r\n\0"):
        raise NotAPage(Fault.BLANK, "the answer is blank")
    declared = markup.declaration(page)
    view = markup.visible(page, declared)
    usual = _alike(page, declared, mended) if view is page else None
    return _odd(page, view, declared, mended) if usual is None else usual


def _alike(page: bytes, declared: int, mended: tuple[str, ...]) -> tuple[RawRecord, ...] | None:
    """Cut a page of one collection whose records follow each other in one spelling, else None.

    So it is with nearly every page. One search finds the start and the end tags, both ending in the
    record's name; whatever else holds that name, a text or a tag of another form, makes the page
    an odd one. Nothing but records stands between the root's tags, so no second collection does.
    """
    root = prolog.find_root(page, declared)
    if root is None or root.closed or not root.familiar:
        return None
    start = root.end
    name = page[start + 1 : page.find(b"record", start, start + LONGEST_PREFIX)] + b"record"
    before, *parts = page.split(name, 2 * MOST_RECORDS)
    insides, between = parts[0::2], parts[1::2]
    if len(before) != start + 1 or not between or len(insides) != len(between):
        return None
    if not all(inside[:1] == b">" and inside[-2:] == b"</" for inside in insides):
        return None
    rest = between.pop()
    if between.count(b"><") != len(between) or not _ends(rest, root):
        return None
    tags = len(b"<" + name + name + b">")
    ends = itertools.accumulate((len(inside) + tags for inside in insides), initial=start)
    records = (page[begin:end] for begin, end in itertools.pairwise(ends))
    return tuple(sameness.alike(records, name, bindings=root.bindings, repairs=mended))


def _ends(rest: bytes, root: Root) -> bool:
    """Tell whether what follows the name in the last record's end tag ends the page."""
    return (
        rest[:1] == b">"
        and rest.count(b"<") == 1
        and _last_tag(rest, b"</" + root.name, 1, len(rest)) > 0
    )


def _odd(page: bytes, view: bytes, declared: int, mended: tuple[str, ...]) -> tuple[RawRecord, ...]:
    """Cut whatever page it is: several collections, several spellings, text between records."""
    documents = list(itertools.islice(_documents(view, declared), MOST_DOCUMENTS + 1))
    if len(documents) > MOST_DOCUMENTS:
        raise _too_many(MOST_DOCUMENTS, "collections")
    if len(documents) > 1:
        mended += (SEVERAL_DOCUMENTS,)
    if not all(root.familiar for root, _ in documents):
        mended += (UNFAMILIAR_NAMESPACE,)
    bindings = b"".join(dict.fromkeys(root.bindings for root, _ in documents))
    mark = functools.partial(sameness.mark, page, view, bindings=bindings, repairs=mended)
    stretches = (s for root, end in documents for s in _records(view, root.end, end))
    few = list(itertools.islice(stretches, MOST_RECORDS + 1))
    if len(few) > MOST_RECORDS:
        raise _too_many(MOST_RECORDS, "records")
    if not few:
        _demand_emptiness(page[declared:])
    return tuple(mark(stretch, position=place) for place, stretch in enumerate(few))


def _too_many(most: int, things: str) -> NotAPage:
    return NotAPage(
        Fault.OVERSIZE, f"the answer holds more than {most} {things}, more than a page may have"
    )


def _demand_emptiness(content: bytes) -> None:
    """Let a page without records pass only as one well-formed collection that holds nothing.

    A lone `>` counts as nothing: vendor-api, seen in a real answer behind the last record.

    Raises:
        NotAPage: it holds something else, so it doesn't say that there are none.
    """
    other = NotAPage(Fault.FOREIGN_XML, "the answer's collection holds no record, yet isn't empty")
    begun: list[str] = []
    said = ""

    def begin(name: str, _: object) -> None:
        begun.append(name)
        if len(begun) > 1:
            raise other

    def say(text: str) -> None:
        nonlocal said
        said += text.strip(" \t\r\n")
        if said not in {"", ">"}:
            raise other

    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler = begin
    parser.CharacterDataHandler = say
    try:
        parser.Parse(content.strip(b" \t\r\n\0"), True)  # noqa: FBT003 - expat's own signature
    except expat.ExpatError:
        raise other from None


def _documents(view: bytes, start: int) -> Iterator[tuple[Root, int]]:
    """Yield each collection of the body with the place where its closing tag begins."""
    root = prolog.find_root(view, start)
    if root is None:
        raise NotAPage(Fault.NOT_XML, "the answer has no XML element")
    while root is not None:
        if root.closed:
            end = after = root.end
        else:
            again = _find_tag(view, b"<" + root.name, root.end, len(view))
            limit = again if again >= 0 else len(view)
            end = _last_tag(view, b"</" + root.name, root.end, limit)
            if end < 0:
                raise NotAPage(Fault.CUT_SHORT, "the answer breaks off before the end of its root")
            after = view.find(b">", end) + 1
        yield root, end
        root = prolog.find_root(view, after)


def _records(view: bytes, start: int, end: int) -> Iterator[Stretch]:
    """Yield the stretches of records between `start` and `end`.

    The first record's spelling is searched for, which is quick; what lies between two of that
    spelling is looked at by every other, which hardly ever holds anything.
    """
    first = markup.RECORD_TAG.search(view, start, end)
    if first is None or first[1]:
        yield from odd_records(view, start, end)
        return
    name = first[0][1:].split(b"record", 1)[0] + b"record"
    opening, closing = b"<" + name, b"</" + name
    at = start
    while (begin := _find_tag(view, opening, at, end)) >= 0:
        if view.find(b"<", at, begin) >= 0:
            yield from odd_records(view, at, begin)
        at = _record_end(view, (begin, end), opening, closing)
        yield begin, at
    if view.find(b"<", at, end) >= 0:
        yield from odd_records(view, at, end)


def _record_end(view: bytes, within: Stretch, opening: bytes, closing: bytes) -> int:
    """Return the end of the record that begins `within`: of its tag, or where the next begins."""
    begin, end = within
    head = begin + len(opening)
    if view[head] != ord(">"):
        tag = markup.RECORD_TAG.match(view, begin, end)
        if tag and tag[0].endswith(b"/>"):
            return tag.end()
    following = _find_tag(view, opening, head, end)  # first: nothing is searched to the end twice
    limit = following if following >= 0 else end
    close = _find_tag(view, closing, head, limit)
    after = view.find(b">", close, limit) + 1 if close >= 0 else 0
    return after or limit


def odd_records(view: bytes, start: int, end: int) -> Iterator[Stretch]:
    """Yield what looks like records of any spelling, also such as lost their start or end tag."""
    begin, opened = start, False
    for tag in markup.RECORD_TAG.finditer(view, start, end):
        closes = bool(tag[1])
        stop = tag.end() if closes else tag.start()
        if opened or markup.FIELD_TAG.search(view, begin, stop):
            yield begin, stop
        begin, opened = stop, not closes
        if tag[0].endswith(b"/>"):
            yield tag.span()
            begin, opened = tag.end(), False
    if opened or markup.FIELD_TAG.search(view, begin, end):
        yield begin, end


def _find_tag(view: bytes, tag: bytes, start: int, end: int) -> int:
    """Return where `tag` begins, -1 where it doesn't; a longer name isn't that tag."""
    at = view.find(tag, start, end)
    while at >= 0 and not _ends_name(view, at + len(tag)):
        at = view.find(tag, at + 1, end)
    return at


def _last_tag(view: bytes, tag: bytes, start: int, end: int) -> int:
    """Return where the last `tag` that is closed by `>` begins, -1 where there is none."""
    at = view.rfind(tag, start, end)
    while at >= 0 and not view[at + len(tag) : at + len(tag) + 80].lstrip().startswith(b">"):
        at = view.rfind(tag, start, at)
    return at


def _ends_name(view: bytes, at: int) -> bool:
    return view[at : at + 1] in (b">", b" ", b"/", b"\n", b"\r", b"\t")
