"""What the pattern takes it reads as expat does; everything else it leaves to expat."""

import pytest
from hypothesis import example, given, strategies as st
from made_up import LEADER, as_bytes, good, number, page, record, titled

from bibsync.marc import cut, reader, usual

ODD = {
    "a reference by number": titled("a&#65;"),
    "an entity of HTML": titled("caf&eacute;"),
    "a bare ampersand": titled("R&D"),
    "CDATA": titled("<![CDATA[a]]>"),
    "what ends CDATA": titled("a ]]> b"),
    "a comment": titled("a<!-- b -->"),
    "an element in a subfield": titled("<i>a</i>"),
    "a line end": titled("a\r\nb"),
    "a control character": titled("a\x1fb"),
    "a noncharacter": titled("a\ufffeb"),
    "a byte that isn't UTF-8": titled("@").encode().replace(b"@", b"\xe9"),
    "an encoded surrogate": titled("@").encode().replace(b"@", b"\xed\xa0\x80"),
    "blanks between fields": titled("a") + " ",
    "text between fields": titled("a") + "b",
    "attributes in another order": titled("a").replace('tag="245" ind1="1"', 'ind1="1" tag="245"'),
    "single quotes": titled("a").replace('"', "'"),
    "an indicator of two": titled("a").replace('ind1="1"', 'ind1="12"'),
    "a blank that XML changes": titled("a").replace('ind1="1"', 'ind1="\n"'),
    "a code of two": titled("a").replace('code="a"', 'code="ab"'),
    "a tag of two": titled("a").replace("245", "24"),
    "a datafield with a control tag": titled("a").replace("245", "003"),
    "a controlfield with another tag": number("a").replace("001", "FMT"),
    "a second leader": LEADER,
    "no end tag": titled("a").replace("</marc:subfield>", ""),
    "another prefix": titled("a").replace("marc:", "mx:"),
    "another element": "<marc:note/>",
}
PLAIN = {
    "plain text": titled("Siege and Storm"),
    "predefined references": titled("&lt;b&gt; &amp;lt; &quot;&apos;"),
    "what looks like a reference's end": titled("a; amp; &amp;amp;"),
    "letters and marks of any script": titled("Café “à” \u05e9\u05dc \U0001f4da"),
    "a sign that markup needs": titled("a > b = 'c' \"d\""),
    "an empty subfield": titled(""),
    "no subfield": titled("").replace('<marc:subfield code="a"></marc:subfield>', ""),
    "a control field behind": titled("a") + number("b").replace("001", "003"),
}


def by_expat(data):
    """What expat reads from these bytes, and the names of what is odd about it."""
    assembly = reader._parsed(data)
    return assembly.finished(), assembly.oddities


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_what_is_plain_is_read_without_a_parser(content):
    data = record(number("a"), content)

    told = usual.parsed(data)

    assert by_expat(data) == (told, ())


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_what_is_odd_is_left_to_the_parser(content):
    assert usual.parsed(record(number("a"), content)) is None


@pytest.mark.parametrize("prefix", ["", "mx:", "slim:"])
def test_any_prefix_will_do(prefix):
    data = good("a").replace(b"marc:", prefix.encode())

    assert by_expat(data) == (usual.parsed(data), ())


@pytest.mark.parametrize(
    "data", [b"", b"<", b"record", b"<record>", b"<a><record><a><leader>", b"<marc:record/>"]
)
def test_what_is_no_record_is_left_to_the_parser(data):
    assert usual.parsed(data) is None


PIECES = st.sampled_from([*PLAIN.values(), *ODD.values(), number("b")])


@given(pieces=st.lists(PIECES, max_size=4), data=st.data())
@example(pieces=[], data=None)
def test_it_never_reads_anything_else_than_expat_does(pieces, data):
    body = bytearray(record(number("a"), *map(as_bytes, pieces)))
    for _ in range(data.draw(st.integers(0, 3)) if data else 0):
        place = data.draw(st.integers(0, len(body) - 1))
        end = place + data.draw(st.integers(0, 9))
        body[place:end] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"<", b">", b"&", b'"', b"&amp;", b"]]>"])
        )

    told = usual.parsed(bytes(body))

    if told is not None:
        assert by_expat(bytes(body)) == (told, ())


def test_the_vendors_own_records_are_read_without_a_parser(samples):
    bodies = [
        (samples / "palace" / f"marc_records_{name}.xml").read_bytes() for name in ("one", "two")
    ]

    told = {raw.key: usual.parsed(raw.data) for body in bodies for raw in cut(body)}

    assert {"ddf4gr9", "ehasb89", "3oock89"} == told.keys()
    assert None not in told.values()


def test_records_of_one_spelling_are_cut_as_any_others_are():
    """A comment on the page has it cut by the other way."""
    records = [good(f"a{n}") for n in range(5)]

    quickly, slowly = cut(page(*records)), cut(page("<!-- -->", *records))

    assert [raw.data for raw in quickly] == records
    assert quickly == slowly


@pytest.mark.parametrize("tail", [b">", b" \n", b"<!-- -->", b"<note/>"])
@pytest.mark.parametrize(
    "odd", [b"<marc:record>", good("x")[:-1], b"<record/>", good("x").replace(b"marc:", b"")]
)
def test_no_record_is_lost_beside_one_that_is_spelled_unlike(odd, tail):
    body = page(good("a"), good("b"), odd, good("c"), tail)

    told = [raw.data for raw in cut(body)]

    assert {good("a"), good("b"), good("c")} <= set(told)


@pytest.mark.parametrize("hidden", ["<!-- {} -->", "<![CDATA[{}]]>"])
def test_tags_that_are_no_markup_cut_nothing(hidden):
    whole = record(number("a"), titled(hidden.format("</marc:record><marc:record>")))

    told = cut(page(good("b"), whole))

    assert [raw.data for raw in told] == [good("b"), whole]
