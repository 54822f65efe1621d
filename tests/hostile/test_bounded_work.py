"""What an answer costs to be read grows with its size and no faster, whatever it holds.

Reading isn't interrupted: what takes an hour holds up the lease, the other collections and SIGTERM
for an hour. Each of these bodies did, where something was searched to the end for each of many
beginnings; read once, none takes more than a few seconds.
"""

from contextlib import suppress

import pytest

from bibsync.errors import SourceBusy
from bibsync.marc import NotAPage, cut, read, sameness
from bibsync.marc.page import MOST_DOCUMENTS, MOST_RECORDS
from bibsync.reject import Reason
from bibsync.sources import bibliotheca_items as items
from bibsync.sources.bibliotheca import _ERROR

pytestmark = pytest.mark.timeout(60)

MIB = 2**20
COLLECTION = b"<collection>%b</collection>"
ITEMS = b"<Items>%b</Items>"


def one(content):
    record = b"<record>%b</record>" % content
    return sameness.identified(record, record, position=0)


def test_records_that_never_close_are_looked_through_once():
    records = cut(COLLECTION % ((b"<record>" + b" " * 1_600) * (MOST_RECORDS - 1)))

    assert len(records) == MOST_RECORDS - 1


@pytest.mark.parametrize("end", [b">", b"/>", b""])
def test_a_start_tag_with_a_tag_many_times_over_is_looked_through_once(end):
    raw = one(b"<controlfield  x=''" + b' tag="001"' * (MIB // 10) + end)

    assert raw.key is None


@pytest.mark.parametrize("opening", [b"<!--", b"<![CDATA[", b"<?"])
def test_openings_that_never_close_are_mended_once(opening):
    assert read(one(opening * (MIB // len(opening)))).reason is Reason.UNREADABLE_RECORD


@pytest.mark.parametrize("text", [b"&", b"&#", b"&a", b"&#1;", b"\xe9", b"\x01"])
def test_a_record_of_damage_is_mended_in_one_go(text):
    field = b'<controlfield tag="001">a%b</controlfield>' % (text * (MIB // len(text)))

    assert read(one(b"<leader>00000nam a2200000 a 4500</leader>" + field)) is not None


@pytest.mark.parametrize(
    "body",
    [
        COLLECTION % b"<record/>" * (MOST_RECORDS + 1),
        COLLECTION % (b"<record></record>" * (MOST_RECORDS + 1)),
        COLLECTION % (b"<record/>" * (MIB // 9 * 16 - 100)),
        b"".join(b"<a%d:collection></a%d:collection>" % (n, n) for n in range(MOST_DOCUMENTS + 1)),
    ],
    ids=["in many collections", "in pairs of tags", "16 MiB of them", "many collections"],
)
def test_a_body_of_more_records_than_any_page_is_no_page(body):
    with pytest.raises(NotAPage) as refusal:
        cut(body)

    assert refusal.value.outcome == "oversize"


def test_as_many_records_as_a_page_may_hold_are_a_page():
    assert len(cut(COLLECTION % (b"<record/>" * MOST_RECORDS))) == MOST_RECORDS


HOLLOW = {
    "beginnings of tags": b"<",
    "end tags": b"</collection ",
    "comments": b"<!---->",
    "instructions": b"<?a?>",
    "sections": b"<![CDATA[]]>",
    "declarations": b"<!DOCTYPE",
    "openings": b"<!--",
    "long names": b"<" + b"a" * 5_000,
    "attributes": b"<a " + b'b="" ' * 5_000,
    "colons": b"<a:",
    "blanks": b"  ",
}


@pytest.mark.parametrize("piece", HOLLOW.values(), ids=HOLLOW)
@pytest.mark.parametrize("frame", [COLLECTION, b"%b"])
def test_a_body_without_records_is_looked_through_a_few_times(frame, piece):
    body = frame % (piece * (2 * MIB // len(piece)))

    with suppress(NotAPage):
        assert cut(body) == ()
    assert not _ERROR.match(body)


@pytest.mark.parametrize(
    "content",
    [
        b"<Item>" * (MIB // 6),
        b"<Item/>" * (MIB // 14),
        b"<a>" * 200_000,
        b"<Item>" + b"&" * MIB + b"</Item>",
        b"<Item><Title>" + b"a<b/>" * (MIB // 5) + b"</Title></Item>",
        b"<Item" + b"".join(b' a%x=""' % n for n in range(MIB // 10)) + b"/>",
    ],
    ids=["nested items", "items", "nested elements", "ampersands", "pieces", "attributes"],
)
def test_a_look_ups_answer_is_read_in_one_go(content):
    with pytest.raises(SourceBusy) as raised:
        items.read(ITEMS % content, ["a"], vendor="The vendor")

    assert raised.value.outcome == "not_items"


def test_a_look_ups_answer_has_a_bound_of_its_own():
    with pytest.raises(SourceBusy) as raised:
        items.read(ITEMS % (b" " * items.MOST_BYTES), ["a"], vendor="The vendor")

    assert raised.value.outcome == "oversize"
