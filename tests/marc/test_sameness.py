"""What the vendor makes at request time leaves a record the same; every other change tells."""

import pytest
from hypothesis import given, strategies as st
from made_up import as_bytes, good, number, page, record, titled

from bibsync.marc import cut, identity, read, sameness
from bibsync.record import Record

SPELLINGS = {
    "as the vendor sends it": '<marc:controlfield tag="{}">{}</marc:controlfield>',
    "single quotes": "<marc:controlfield tag='{}'>{}</marc:controlfield>",
    "blanks": '<marc:controlfield id="x" tag = "{}" >{}</marc:controlfield>',
}


def control(tag, value, spelling="as the vendor sends it"):
    return SPELLINGS[spelling].format(tag, value)


def stamped(stamp, day, spelling, title="x", rest="s2013    xx |||||o"):
    fields = control("001", "a", spelling) + control("005", stamp, spelling)
    return only_raw(fields, control("008", day + rest, spelling), titled(title))


def only_raw(*content):
    (raw,) = cut(page(record(*content)))
    return raw


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(
    stamp=st.from_regex(r"[0-9]{14}\.[0-9]", fullmatch=True),
    day=st.from_regex(r"[0-9]{6}", fullmatch=True),
)
def test_dates_made_at_request_time_change_nothing(spelling, stamp, day):
    before = stamped("20210402235548.0", "210402", spelling)

    after = stamped(stamp, day, spelling)

    assert before.raw_hash == after.raw_hash
    assert identity(before) == identity(after)
    assert read(before).fingerprint == read(after).fingerprint


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(
    title=st.from_regex(r"[a-z]{1,5}", fullmatch=True), rest=st.text("sr0123456789 |", min_size=1)
)
def test_any_other_change_is_seen(spelling, title, rest):
    before = stamped("20210402235548.0", "210402", spelling, "a title", "s2013")

    after = stamped("20210402235548.0", "210402", spelling, title, rest)

    assert before.raw_hash != after.raw_hash
    assert identity(before) != identity(after)
    assert read(before).fingerprint != read(after).fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        control("001", "a") + control("005", "2021") + control("008", "210402s2013"),
        control("001", "a") + control("003", "x") + control("005", "") + control("008", "2104022"),
        control("007", "tz") + control("001", "a") + control("005", "1") + control("008", "210402"),
        control("001", "a") + control("005", "&amp;") + control("008", "210402s2013"),
        control("001", "a") + control("005", "2021") + control("008", "2104"),
        control("001", "a b") + control("005", "2021") + control("008", "210402s2013"),
        control("001", "a") + control("008", "210402s2013") + control("005", "2021"),
        control("001", "a") + control("008", "210402s2013"),
    ],
)
def test_a_record_on_a_usual_page_is_known_as_it_is_by_itself(fields):
    raw = only_raw(fields, titled("x"))

    alone = sameness.identified(raw.data, raw.data, position=0, bindings=raw.bindings)

    assert alone == raw
    assert alone.key is not None


def test_a_second_control_number_behind_the_fields_makes_a_reject_of_the_record():
    """The page is cut without looking for it; no record that was read before can be equal to it."""
    usual = control("001", "a") + control("005", "2021") + control("008", "210402s2013")
    before, after = only_raw(usual, titled("x")), only_raw(usual, titled("x"), number("b"))

    assert before.raw_hash != after.raw_hash
    assert isinstance(read(before), Record)
    assert not isinstance(read(after), Record)


LOOKALIKES = {
    "in a title": titled("{}"),
    "in CDATA": titled('<![CDATA[<marc:controlfield tag="005">{}</marc:controlfield>]]>'),
    "in another control field": '<marc:controlfield tag="006">{}</marc:controlfield>',
    "in a datafield": titled("{}").replace("245", "005"),
    "behind six characters of 008": '<marc:controlfield tag="008">210402{}</marc:controlfield>',
    "an ampersand in 005": '<marc:controlfield tag="005">{} &amp;</marc:controlfield>',
}


@pytest.mark.parametrize("form", LOOKALIKES.values(), ids=LOOKALIKES)
def test_what_only_looks_like_a_date_made_at_request_time_counts(form):
    before, after = (only_raw(number("a"), form.format(day)) for day in ("20210402", "20210403"))

    assert before.raw_hash != after.raw_hash


def test_the_page_that_a_record_comes_in_counts_for_its_hash_but_not_for_its_identity():
    body = page(good("a"))
    plain, other = cut(body)[0], cut(body.replace(b"loc.gov", b"example"))[0]

    assert identity(plain) == identity(other)
    assert plain.raw_hash != other.raw_hash


@pytest.mark.parametrize(
    ("value", "key"),
    [("a", "a"), (" a b \n", "a b"), ("a&amp;lt;b", "a&lt;b"), ("é", None), ("", None)],
)
def test_the_key_is_the_control_number_where_that_is_plain(value, key):
    assert only_raw(number(value)).key == key


@pytest.mark.parametrize("content", ["", number("a") + number("b")])
def test_there_is_no_key_where_a_control_number_cannot_be_told(content):
    assert only_raw(content).key is None


ODD = [
    number("a"),
    number(" b "),
    number("&lt;c&amp;"),
    number("&eacute;"),
    number("x\x01y"),
    number("<i>d</i>"),
    number("<![CDATA[e]]>"),
    number("<!-- -->f"),
    number("d<i>e</i>"),
    number("e<![CDATA[f]]>"),
    number("g<!-- -->h"),
    number("é"),
    b'<marc:controlfield tag="001">\xe9</marc:controlfield>',
    number("g").replace('"', "'"),
    number("h").replace("001", "1"),
    number("i").replace("001", "&#48;01"),
    number("j").replace("controlfield", "datafield"),
    number("k").replace(' tag="001"', ' tag="001" x=">"'),
    f"<!-- {number('l')} -->",
    f"<![CDATA[{number('m')}]]>",
    f"<?pi {number('n')} ?>",
    f"<note>{number('o')}</note>",
    titled(number("p")),
    titled("&quot; & &eacute;"),
    titled("]]> <!"),
    "<!--",
    "-->",
    "<marc:record>",
    "</marc:record>",
    "<controlfield tag='001'>q</controlfield>",
    '<m:controlfield tag="001">r</m:controlfield>',
]
PIECES = st.sampled_from(ODD)


@pytest.mark.parametrize("piece", ODD)
def test_a_key_that_is_oddly_written_is_the_one_that_reading_finds_or_none(piece):
    for raw in cut(page(record(piece))):
        told = read(raw)

        assert raw.key is None or not isinstance(told, Record) or told.control_number == raw.key


@given(pieces=st.lists(PIECES, max_size=5))
def test_a_key_is_never_another_than_the_one_that_reading_finds(pieces):
    for raw in cut(page(record(*pieces))):
        told = read(raw)

        assert raw.key is None or not isinstance(told, Record) or told.control_number == raw.key


@given(data=st.data(), pieces=st.lists(PIECES, max_size=3))
def test_a_key_holds_for_damaged_bytes_too(data, pieces):
    body = bytearray(record(number("a"), *map(as_bytes, pieces)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(
            st.sampled_from(b"<>&\"' a\x01\xe9")
        )

    for raw in cut(page(bytes(body))):
        told = read(raw)

        assert raw.key is None or not isinstance(told, Record) or told.control_number == raw.key
