"""Made-up pages: records that are plain MARCXML, but for what a test puts into them."""

import orjson

from bibsync.marc import cut, read
from bibsync.record import Record

NAMESPACE = ' xmlns:marc="http://www.loc.gov/MARC21/slim"'
LEADER = "<marc:leader>01034nam a22002413a 4500</marc:leader>"


def number(control_number):
    return f'<marc:controlfield tag="001">{control_number}</marc:controlfield>'


def titled(title):
    return (
        '<marc:datafield tag="245" ind1="1" ind2="0">'
        f'<marc:subfield code="a">{title}</marc:subfield></marc:datafield>'
    )


def record(*content):
    """A record of this content behind a leader; bytes may be anything."""
    return b"<marc:record>" + b"".join(map(as_bytes, (LEADER, *content))) + b"</marc:record>"


def as_bytes(content):
    return content if isinstance(content, bytes) else content.encode()


def page(*records, between=b""):
    opening = f'<?xml version="1.0" encoding="UTF-8" ?><marc:collection{NAMESPACE}>'
    return opening.encode() + between.join(map(as_bytes, records)) + b"</marc:collection>"


def good(control_number):
    return record(number(control_number), titled(f"Title of {control_number}"))


def around(defect, place):
    """A page of three: the good ones that go before and behind the defect at `place` (0..2)."""
    records = [good("first"), good("second")]
    records.insert(place, defect)
    return page(*records)


def outcomes(body, **declared):
    """What reading a page gives, as control numbers and reasons, in order."""
    told = [read(raw) for raw in cut(body, **declared)]
    return [r.control_number if isinstance(r, Record) else str(r.reason) for r in told]


def only(content):
    """Read a page of one record that holds this; a Record or a Reject."""
    (raw,) = cut(page(record(content)))
    return read(raw)


def values(told, tag):
    """The contents of all fields of that tag, as MARC-in-JSON has them."""
    return [field[tag] for field in orjson.loads(told.marc)["fields"] if tag in field]
