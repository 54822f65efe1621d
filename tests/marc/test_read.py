"""A record is read, mended by name where that is certain, or set aside; it costs only itself."""

import pytest
from hypothesis import given, strategies as st
from made_up import (
    LEADER,
    around,
    as_bytes,
    good,
    number,
    only,
    outcomes,
    page,
    record,
    titled,
    values,
)

from bibsync.marc import cut, identity, read
from bibsync.record import RawRecord
from bibsync.reject import Reason, Reject

MENDED = {
    "invalid UTF-8 byte": (b"Caf\xe9 \x96 au lait", "Café \u2013 au lait", "cp1252"),
    "a byte that cp1252 leaves open": (b"a\x81b", "a\x81b", "cp1252"),
    "UTF-8 and a latin-1 byte": ("é".encode() + b"\xe9", "éé", "cp1252"),
    "raw control character": ("a\x1fb", "ab", "illegal_characters"),
    "NUL": ("a\0b", "ab", "illegal_characters"),
    "reference to a control character": ("a&#x1F;b&#31;c", "abc", "illegal_characters"),
    "reference to NUL": ("a&#0;b", "ab", "illegal_characters"),
    "reference to a surrogate": ("a&#xD800;b", "ab", "illegal_characters"),
    "reference beyond Unicode": ("a&#x110000;b&#99999999999;", "ab", "illegal_characters"),
    "U+FFFE": ("a\ufffeb&#xFFFF;", "ab", "illegal_characters"),
    "an encoded surrogate": (b"a\xed\xa0\x80b", "ab", "illegal_characters"),
    "bare ampersand": ("Salt & Pepper", "Salt & Pepper", "ampersand"),
    "ampersand at a word": ("R&D &eacute", "R&D &eacute", "ampersand"),
    "an empty reference": ("a&#;b&#x;c&;d", "a&#;b&#x;c&;d", "ampersand"),
    "entity of HTML": ("caf&eacute; &ldquo;a&rdquo;", "café \u201ca\u201d", "html_entity"),
    "entity of HTML that is markup": ("a &LT;b&GT; &AMP; &QUOT;", 'a <b> & "', "html_entity"),
    "entity of nobody": ("a&foo;b", "a&foo;b", "unknown_entity"),
    "element in a subfield": ("one <i>two</i> three", "one two three", "nested_element"),
}
AS_IT_IS = {
    "predefined entities": ("&lt;b&gt; &amp;amp; &quot;", '<b> &amp; "'),
    "references": ("&#233;&#x00E9;&#0000000000233;", "ééé"),
    "CDATA": ("<![CDATA[a & <b> &eacute;]]> c", "a & <b> &eacute; c"),
    "comment and instruction": ("a<!-- & <b> -->b<?pi & ?>c", "abc"),
    "combining characters": ("Cafe\u0301", "Cafe\u0301"),
    "beyond the basic plane": ("\U0001f4da", "\U0001f4da"),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("sent", "title", "repair"), MENDED.values(), ids=MENDED)
def test_a_mend_is_named_and_concerns_its_record_alone(sent, title, repair, place):
    text = titled("@").encode().replace(b"@", as_bytes(sent))
    told = [read(raw) for raw in cut(around(record(number("bad"), text), place))]

    mended = told.pop(place)

    assert (title, (repair,)) == (mended.title, mended.repairs)
    assert [(r.control_number, r.repairs) for r in told] == [("first", ()), ("second", ())]


@pytest.mark.parametrize(("sent", "title"), AS_IT_IS.values(), ids=AS_IT_IS)
def test_what_xml_allows_is_no_defect(sent, title):
    told = only(number("a") + titled(sent))

    assert (title, ()) == (told.title, told.repairs)


def test_mends_outside_leave_cdata_as_it_is():
    told = only(number("a") + titled("R&D <![CDATA[a & &eacute; &#0;.]]>"))

    assert told.title == "R&D a & &eacute; &#0;."


def test_mends_are_named_in_the_order_they_are_made():
    title = titled("\x01 & &eacute; &foo; @").encode().replace(b"@", b"\xe9")

    told = only(number("a").encode() + title)

    assert told.repairs == (
        "cp1252",
        "illegal_characters",
        "ampersand",
        "html_entity",
        "unknown_entity",
    )


SUBFIELD = '<marc:subfield code="a">x</marc:subfield>'
UNREADABLE = {
    "bare <": titled("a < b"),
    "wrong end tag": titled("x").replace("</marc:subfield>", "</marc:subfeld>"),
    "an attribute twice": titled("x").replace('tag="245"', 'tag="245" tag="246"'),
    "a bare attribute": titled("x").replace('ind1="1"', "ind1=1"),
    "datafield without tag": titled("x").replace(' tag="245"', ""),
    "datafield with an empty tag": titled("x").replace('tag="245"', 'tag=""'),
    "controlfield without tag": "<marc:controlfield>x</marc:controlfield>",
    "tag of other digits": titled("x").replace("245", "\u0662\u0664\u0665"),
    "subfield without code": titled("x").replace(' code="a"', ""),
    "subfield outside a datafield": SUBFIELD,
    "datafield in a datafield": titled("x").replace(SUBFIELD, titled("x")),
    "controlfield in a subfield": titled(number("b")),
    "a document type inside": titled("<!DOCTYPE a>"),
    "nesting without end": titled("<i>" * 200_000),
    "nesting too deep": titled("<i>" * 40 + "</i>" * 40),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_told_apart_is_unreadable_and_costs_only_itself(content, place):
    expected = ["first", "second"]
    expected.insert(place, "unreadable_record")

    assert expected == outcomes(around(record(number("bad"), content), place))


NUMBERS = {
    "none": ("", Reason.MISSING_CONTROL_NUMBER),
    "empty": (number(""), Reason.MISSING_CONTROL_NUMBER),
    "blank": (number(" \n "), Reason.MISSING_CONTROL_NUMBER),
    "two": (number("a") + number("b"), Reason.MULTIPLE_CONTROL_NUMBERS),
    "the same twice": (number("a") + number("a"), Reason.MULTIPLE_CONTROL_NUMBERS),
    "two, spelled unlike": (
        number("a") + "<marc:controlfield tag='001'>b</marc:controlfield>",
        Reason.MULTIPLE_CONTROL_NUMBERS,
    ),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("content", "reason"), NUMBERS.values(), ids=NUMBERS)
def test_a_record_without_exactly_one_control_number_is_set_aside(content, reason, place):
    expected = ["first", "second"]
    expected.insert(place, str(reason))

    assert expected == outcomes(around(record(content, titled("x")), place))


def test_a_reject_keeps_the_bytes_the_place_and_what_it_is_known_again_by():
    bad = record(titled("no number"))
    raws = cut(page(good("a"), bad))

    told = read(raws[1])

    assert told == Reject(
        Reason.MISSING_CONTROL_NUMBER,
        "The record has no control number (001), so it can't be identified.",
        bad,
        identity(raws[1]),
        position=1,
    )


DRESSES = {
    "another prefix": lambda body: body.replace(b"marc:", b"m:").replace(b":marc=", b":m="),
    "no prefix": lambda body: body.replace(b"marc:", b"").replace(b":marc=", b"="),
    "references": lambda body: body.decode().encode("ascii", "xmlcharrefreplace"),
    "hexadecimal": lambda body: body.replace("“".encode(), b"&#x201C;"),
    "latin-1": lambda body: body.decode().encode("latin-1", "xmlcharrefreplace"),
    "a later 005": lambda body: body.replace(b"20260101", b"20261231"),
}
STAMP = '<marc:controlfield tag="005">20260101120000.0</marc:controlfield>'


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize(
    "broken", ["", titled("two</marc:subfeld>")], ids=["without a number", "broken"]
)
def test_a_reject_is_known_again_however_the_page_is_dressed(broken, dress):
    bad = record(STAMP + titled("Ein “Bär” in Zürich") + broken)

    [once], [again] = cut(page(bad)), cut(dress(page(bad)))

    assert isinstance(read(again), Reject)
    assert once.data != again.data
    assert identity(once) == identity(again)


def test_rejects_that_differ_are_told_apart():
    [one, other, third] = cut(page(*(record(titled(x)) for x in ("&#38;#38;", "&#38;", "&lt;"))))

    assert 3 == len({identity(one), identity(other), identity(third)})


def test_the_control_number_is_stripped_and_001_is_kept_as_received():
    told = only(number("  a1 \n"))

    assert told.control_number == "a1"
    assert values(told, "001") == ["  a1 \n"]


def test_the_same_control_number_may_come_twice_on_a_page():
    assert outcomes(page(good("a"), good("a"))) == ["a", "a"]


def test_a_record_above_the_limit_is_set_aside_unread():
    told = only(number("a") + titled("x" * 2 * 2**20))

    assert told.reason is Reason.OVERSIZE_RECORD


def test_a_field_may_be_as_large_as_the_record():
    told = only(number("a") + titled("x" * 1_500_000))

    assert len(told.title) == 1_500_000


LEADERS = {
    "20 characters": ("01034nam a22002413a ", "01034nam a22002413a     ", ("leader_length",)),
    "26 characters": ("01034nam a22002413a 4500xx", "01034nam a22002413a 4500", ("leader_length",)),
    "empty": ("", " " * 24, ("leader_length",)),
    "blank lengths": ("     nam a22     3a 4500", "     nam a22     3a 4500", ()),
    "odd entry map": ("01034nam a3300241 a 4567", "01034nam a3300241 a 4567", ()),
}


@pytest.mark.parametrize(("sent", "kept", "repairs"), LEADERS.values(), ids=LEADERS)
def test_a_leader_is_kept_as_received_and_made_24_characters_long(sent, kept, repairs):
    body = page(good("a").replace(LEADER.encode(), f"<marc:leader>{sent}</marc:leader>".encode()))

    told = read(cut(body)[0])

    assert f'{{"leader":"{kept}"'.encode() == told.marc[: len(kept) + 12]
    assert repairs == told.repairs


def test_a_record_without_a_leader_is_read_and_flagged():
    told = read(cut(page(good("a").replace(LEADER.encode(), b"")))[0])

    assert (told.control_number, told.repairs) == ("a", ("leader_absent",))


UNUSUAL = {
    "tag of two digits, padded": (titled("x").replace("245", "24"), "024", "tag_length"),
    "tag of four characters": (titled("x").replace("245", "abcd"), "abcd", "tag_length"),
    "indicator of two": (titled("x").replace('ind1="1"', 'ind1="12"'), "245", "indicator"),
    "indicator absent": (titled("x").replace('ind1="1"', ""), "245", "indicator"),
    "code of two": (titled("x").replace('code="a"', 'code="ab"'), "245", "subfield_code"),
    "unknown element": (titled("x") + "<marc:note/>", "245", "unknown_element"),
    "text between fields": (titled("x") + ">", "245", "stray_text"),
    "a second leader": (titled("x") + LEADER, "245", "leader_repeated"),
}


@pytest.mark.parametrize(("content", "tag", "repair"), UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_but_plain_is_kept_and_flagged(content, tag, repair):
    told = only(number("a") + content)

    assert len(values(told, tag)) == 1
    assert (repair,) == told.repairs


def test_a_datafield_with_a_control_tag_becomes_a_control_field():
    told = only(number("a") + titled("MnSpTMCL").replace("245", "003"))

    assert values(told, "003") == ["MnSpTMCL"]
    assert told.repairs == ("datafield_with_control_tag",)


def test_a_controlfield_with_another_tag_keeps_its_text():
    told = only(number("a") + number("BK").replace("001", "FMT"))

    assert values(told, "FMT") == ["BK"]
    assert told.repairs == ("controlfield_with_data_tag",)


def test_fields_and_subfields_keep_their_order():
    fields = [
        titled(n).replace("245", tag) for n, tag in [("1", "650"), ("2", "072"), ("3", "650")]
    ]
    told = only(number("a") + "".join(fields))

    assert [v["subfields"][0]["a"] for v in values(told, "650")] == ["1", "3"]
    assert told.marc.index(b'"072"') < told.marc.rindex(b'"650"')


def test_a_linked_field_in_another_script_is_read():
    linked = titled("\u05e9\u05dc\u05d5\u05dd").replace("245", "880")

    told = only(number("a") + linked)

    assert values(told, "880")[0]["subfields"] == [{"a": "\u05e9\u05dc\u05d5\u05dd"}]


@pytest.mark.parametrize("data", [b"", b"<", b"&", b"\xff\xfe", b"<!DOCTYPE a>", b"<a/>", b"\0"])
def test_nothing_that_is_sent_raises(data):
    told = read(RawRecord(data, b"h", b"i", None, 0))

    assert told.reason is Reason.UNREADABLE_RECORD


def test_an_entity_is_never_declared_by_a_record():
    declared = b'<!DOCTYPE marc:record [<!ENTITY b "c">]>' + record(number("a"), titled("&b;"))

    told = read(RawRecord(declared, b"h", b"i", None, 0))

    assert "document type" in told.message


@given(data=st.data())
def test_damage_of_any_kind_costs_only_the_record_that_has_it(data):
    bad = bytearray(good("bad"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(bad) - 1))
        bad[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))

    told = outcomes(page(good("first"), bytes(bad), good("last")))

    assert (told[0], told[-1]) == ("first", "last")
