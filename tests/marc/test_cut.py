"""A page is proven to be whole, and everything in it that begins like a record comes out."""

import codecs

import pytest
from hypothesis import given, strategies as st
from made_up import around, good, number, outcomes, page, record, titled

from bibsync.marc import PAGE_LIMIT, NotAPage, cut, markup, page as pages, read

ERROR = b"<Error><Code>Gen-001</Code><Message>Authentication &amp; more</Message></Error>"
NOT_PAGES = {
    "zero bytes": (b"", "blank"),
    "white space": (b" \r\n\t ", "blank"),
    "a byte order mark alone": (codecs.BOM_UTF8, "blank"),
    "plain text": (b"Service temporarily unavailable", "not_xml"),
    "json": (b'{"error": "a < b"}', "not_xml"),
    "html": (b"<html lang=en><body>Maintenance</body></html>", "html"),
    "html with a doctype": (b"\n<!DOCTYPE html>\n<html></html>", "html"),
    "html in capitals": (b"<HTML><BODY><H1>502 Bad Gateway</H1></BODY></HTML>", "html"),
    "xhtml": (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html/>', "html"),
    "an error document": (b'<?xml version="1.0"?>' + ERROR, "error_document"),
    "other xml": (b"<feed><collection/></feed>", "foreign_xml"),
    "a record without a collection": (good("a"), "foreign_xml"),
    "billion laughs": (b'<!DOCTYPE c [<!ENTITY a "b">]>' + page(good("a"))[38:], "doctype"),
    "a lone entity declaration": (b'<!ENTITY a "b">' + page()[38:], "doctype"),
    "cut in the declaration": (b'<?xml version="1.0" enc', "cut_short"),
    "cut in the root's start tag": (b'<marc:collection xmlns:marc="htt', "cut_short"),
    "cut in a comment": (b"<!-- made by", "cut_short"),
    "cut between records": (page(good("a"), good("b"))[:-18], "cut_short"),
    "cut in a record": (page(good("a"), good("b"))[:-60], "cut_short"),
    "cut in the closing root tag": (page(good("a"))[:-1], "cut_short"),
    "closing root tag within a comment": (
        page(good("a"))[:-18] + b"<!-- </marc:collection> -->",
        "cut_short",
    ),
    "closing tag of another name": (page(good("a"))[:-18] + b"</marc:collections>", "cut_short"),
    "cut short, then whole": (page(good("a"))[:-18] + page(good("a")), "cut_short"),
    "a page, then an error document": (page(good("a")) + ERROR, "error_document"),
    "a page, then html": (page(good("a")) + b"<html></html>", "html"),
    "a collection of a text": (b"<collection>Back soon</collection>", "foreign_xml"),
    "a collection of brackets": (b"<collection>>></collection>", "foreign_xml"),
    "a collection of escaped brackets": (b"<collection>&gt;\n&gt;</collection>", "foreign_xml"),
    "a collection of a section": (b"<collection><![CDATA[Back soon]]></collection>", "foreign_xml"),
    "a collection of html": (b"<collection><p>Back soon</p></collection>", "foreign_xml"),
    "a collection of nothing but openings": (b"<collection><<<</collection>", "foreign_xml"),
    "a collection that ends twice": (b"<collection/></collection>", "foreign_xml"),
    "two collections without a record": (b"<collection/><collection/>", "foreign_xml"),
    "a text, then a collection": (b"Back soon <collection/>", "foreign_xml"),
}


@pytest.mark.parametrize(("body", "outcome"), NOT_PAGES.values(), ids=NOT_PAGES)
def test_what_is_no_page_is_refused_by_its_kind(body, outcome):
    with pytest.raises(NotAPage) as refusal:
        cut(body)

    assert outcome == refusal.value.outcome
    assert refusal.value.message


def test_an_error_document_tells_its_code_and_message():
    with pytest.raises(NotAPage, match="Gen-001: Authentication & more"):
        cut(ERROR)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_document_type_is_refused_in_wide_encodings_too(codec):
    body = '<!DOCTYPE c [<!ENTITY a "b">]><collection/>'.encode(codec)

    with pytest.raises(NotAPage) as refusal:
        cut(body)

    assert refusal.value.outcome == "doctype"


def test_a_body_above_the_limit_is_refused_unread():
    with pytest.raises(NotAPage) as refusal:
        cut(b" " * (PAGE_LIMIT + 1))

    assert refusal.value.outcome == "oversize"


@pytest.mark.parametrize("cut_at", range(1, 400, 13))
def test_a_page_cut_anywhere_is_never_taken_for_a_whole_one(cut_at):
    whole = page(good("a"), good("b"))

    with pytest.raises(NotAPage):
        cut(whole[:-cut_at])


EMPTY = {
    "closed by itself": b"<collection/>",
    "with a prefix": b'<m:collection xmlns:m="http://www.loc.gov/MARC21/slim"></m:collection>',
    "with white space": b"<collection >\n</collection\n>\n",
    "with a comment": b"<collection><!-- <record> nothing --></collection>",
    "padded": b"\n<collection/>\0\0",
    "with a stray bracket": b"<collection>></collection>",
}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_an_empty_collection_is_a_page_without_records(body):
    assert cut(body) == ()


PREFIX_DECLARED = b' xmlns:marc="http://www.loc.gov/MARC21/slim"'
WHOLE = page(good("a"), good("b"), good("c"))
TEXT = WHOLE.decode()
BARE = b"".join(good(c).replace(b"marc:", b"") for c in "abc")
URI = b"http://www.loc.gov/MARC21/slim"
COMMENTED = page(*map(good, "abc"), between=b"<!-- <marc:record> -->")
SPELLINGS = {
    "as the vendor sends it": WHOLE,
    "a stray > behind the last record": WHOLE.replace(b"</marc:coll", b"></marc:coll"),
    "text between records": page(good("a"), good("b"), good("c"), between=b"> and text "),
    "text behind the page": WHOLE + b"> and text",
    "an end tag twice": WHOLE.replace(b"</marc:record>", b"</marc:record></marc:record>"),
    "no declaration": WHOLE[38:],
    "another prefix": WHOLE.replace(b"marc:", b"m:").replace(b":marc=", b":m="),
    "no prefix, default namespace": WHOLE.replace(b"marc:", b"").replace(b":marc=", b"="),
    "no prefix, no namespace": b"<collection>" + BARE + b"</collection>",
    "a prefix that is never declared": WHOLE.replace(PREFIX_DECLARED, b""),
    "records without the root's prefix": b"<m:collection>" + BARE + b"</m:collection>",
    "marcxchange": WHOLE.replace(URI, b"info:lc/xmlns/marcxchange-v1"),
    "comments around records": COMMENTED,
    "an instruction": page(good("a"), good("b"), good("c"), between=b"<?pi <marc:record> ?>"),
    "elements that are almost called record": page(*map(good, "abc"), between=b"<marc:records/>"),
    "attributes on records": WHOLE.replace(b"<marc:record>", b'<marc:record type="a>b">'),
    "line ends in tags": WHOLE.replace(b"</marc:record>", b"</marc:record\n>"),
    "byte order mark": codecs.BOM_UTF8 + WHOLE,
    "utf-16": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16 without a mark": TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "unknown declared encoding": WHOLE.replace(b"UTF-8", b"MARC-8"),
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_every_record_comes_out_whatever_the_spelling(body):
    raws = cut(body)

    assert [read(raw).control_number for raw in raws] == ["a", "b", "c"]
    assert [raw.position for raw in raws] == [0, 1, 2]
    assert {()} == {raw.repairs for raw in raws}


def test_the_control_number_is_seen_without_parsing():
    assert [raw.key for raw in cut(WHOLE)] == ["a", "b", "c"]


def test_an_unfamiliar_namespace_is_named_on_each_record():
    body = WHOLE.replace(b"http://www.loc.gov/MARC21/slim", b"urn:something")

    raws = cut(body)

    assert {("unfamiliar_namespace",)} == {read(raw).repairs for raw in raws}


def test_two_documents_in_one_body_give_the_records_of_both():
    other = page(good("c"), good("d")).replace(b"marc:", b"m:").replace(b":marc=", b":m=")

    raws = cut(page(good("a"), good("b")) + other)

    assert [read(raw).control_number for raw in raws] == ["a", "b", "c", "d"]
    assert {("several_documents",)} == {raw.repairs for raw in raws}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_markup_in_comments_and_cdata_is_no_markup(place):
    defect = record(
        number("odd"),
        "<!-- </marc:record> <marc:record> -->",
        titled("<![CDATA[</marc:record><marc:record></marc:collection>]]>"),
    )
    expected = ["first", "second"]
    expected.insert(place, "odd")

    assert expected == outcomes(around(defect, place))


@pytest.mark.timeout(30)
def test_openings_that_never_close_are_looked_for_once():
    body = page(record(number("a"), titled("<!--" * 500_000)))

    assert len(cut(body)) == 1


BEGINNINGS = {
    "no end tag": good("bad")[:-14],
    "no start tag": good("bad")[13:],
    "another start tag": good("bad").replace(b"<marc:record>", b"<marc:recrd>"),
    "empty": b"<marc:record></marc:record>",
    "closed by itself": b"<marc:record/>",
    "comment that never closes": record(number("bad"), titled("<!-- a")),
    "cdata that never closes": record(number("bad"), titled("<![CDATA[ a")),
    "instruction that never closes": record(number("bad"), titled("<? a")),
    "Dublin Core": b"<marc:record><dc:title>Title</dc:title></marc:record>",
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("defect", BEGINNINGS.values(), ids=BEGINNINGS)
def test_whatever_begins_like_a_record_is_kept_and_costs_only_itself(defect, place):
    expected = ["first", "second"]
    expected.insert(place, "unreadable_record")

    assert expected == outcomes(around(defect, place))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_of_another_prefix_among_the_rest_is_a_record(place):
    expected = ["first", "second"]
    expected.insert(place, "odd")

    assert expected == outcomes(around(good("odd").replace(b"marc:", b"m:"), place))


DECLARED = {
    "latin-1, is UTF-8": ("ISO-8859-1", "utf-8", None, ("declared_encoding_wrong",)),
    "latin-1, is so": ("ISO-8859-1", "latin-1", None, ("cp1252",)),
    "UTF-8, is latin-1": ("UTF-8", "latin-1", None, ("cp1252",)),
    "cp1251 in Content-Type only": ("UTF-8", "utf-8", "cp1251", ("declared_encoding_wrong",)),
    "nonsense in Content-Type": ("UTF-8", "utf-8", "\0", ()),
}


@pytest.mark.parametrize(("said", "codec", "charset", "repairs"), DECLARED.values(), ids=DECLARED)
def test_bytes_decide_before_declarations_do(said, codec, charset, repairs):
    body = page(record(number("a"), titled("Café"))).decode().replace("UTF-8", said)

    (raw,) = cut(body.encode(codec), charset=charset)

    assert read(raw).title == "Café"
    assert repairs == read(raw).repairs


@pytest.mark.parametrize(("said", "charset"), [("koi8-r", None), ("UTF-8", '"KOI8-R"')])
def test_a_declared_encoding_is_used_where_the_bytes_are_not_utf8(said, charset):
    body = page(record(number("a"), titled("Мастер"))).decode().replace("UTF-8", said)

    (raw,) = cut(body.encode("koi8-r"), charset=charset)

    assert read(raw).title == "Мастер"


def test_a_lone_surrogate_in_utf16_costs_only_itself():
    body = page(good("a"), record(number("b"), titled("x\ud800y").encode("utf-8", "surrogatepass")))
    wide = body.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")

    first, second = (read(raw) for raw in cut(wide))

    assert first.repairs == ()
    assert (second.title, second.repairs) == ("xy", ("illegal_characters",))


FRAGMENTS = [
    good("a"),
    good("b"),
    record(number("c"), number("d")),
    record(titled("e"), number("e")),
    b"<marc:record>",
    b"</marc:record>",
    b"<record>",
    b"</marc:collection>",
    b"<marc:collection>",
    b"<marc:collection/>",
    b'<?xml version="1.0"?>',
    b"<!-- -->",
    b"text",
    b"<",
    b"\n",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6), st.sampled_from(["", "</x>", "\n", "<"]))
def test_the_short_way_for_usual_pages_cuts_what_the_long_way_cuts(fragments, behind):
    body = page(*fragments) + behind.encode()
    declared = markup.declaration(body)

    usual = pages._alike(body, declared, ())

    if usual is not None:
        assert pages._odd(body, markup.visible(body, declared), declared, ()) == usual


def test_the_short_way_is_taken_for_a_usual_page():
    body = page(good("a"), good("b"))

    assert pages._alike(body, markup.declaration(body), ()) is not None
