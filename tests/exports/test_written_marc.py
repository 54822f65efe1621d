"""What the MARC formats hold reads back as what is stored, or isn't written."""

import orjson
import pymarc
import pytest
from exported import AT, data, marc, mrc_records, row, written, xml_records
from hypothesis import HealthCheck, given, settings, strategies as st

from bibsync.exports import FORMATS, Unfit
from bibsync.marc import NotAPage, iso2709, xml_file
from bibsync.record import Record

MRC, MARCXML = FORMATS["mrc"], FORMATS["marcxml"]
LONGEST, LARGEST = 9_999, 99_999
AROUND_TEXT = 5
"""Bytes of a field beside its only value: two indicators, a delimiter, a code, a terminator."""
AROUND_FIELDS = 24 + 1 + 1
"""Bytes of a record beside its entries and fields: leader and two terminators."""

LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXT = st.text(LEGAL | st.sampled_from("\t\n\r<>&\"']"), max_size=20)
ASCII = st.characters(min_codepoint=32, max_codepoint=126)
CONTROL_FIELD = st.dictionaries(
    st.from_regex("00[2-9]", fullmatch=True), TEXT, min_size=1, max_size=1
)
DATA_FIELD = st.builds(
    lambda tag, pairs, ind1, ind2: data(tag, *pairs, ind1=ind1, ind2=ind2),
    st.from_regex("[1-9A-Za-z][0-9A-Za-z]{2}", fullmatch=True),
    st.lists(st.tuples(ASCII, TEXT), max_size=4),
    ASCII,
    ASCII,
)
LEADER = st.text(ASCII, min_size=24, max_size=24)
RECORD = st.builds(
    lambda number, fields, leader: marc(number, *fields, leader=leader),
    TEXT.filter(str.strip),
    st.lists(CONTROL_FIELD | DATA_FIELD, max_size=6),
    LEADER,
)
IN_A_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def in_iso_2709(document):
    """The record with all of the leader that a writer of ISO 2709 makes left out."""
    leader = document["leader"]
    return leader[5:9], leader[17:20], document["fields"]


def read_again(records):
    return [orjson.loads(each.marc) for each in records]


@given(records=st.lists(RECORD, max_size=3))
@IN_A_FILE
def test_made_up_records_read_back_from_mrc(records, tmp_path):
    body = written(MRC, [row(each) for each in records])

    again = read_again(mrc_records(body, tmp_path))

    assert [in_iso_2709(each) for each in records] == [in_iso_2709(each) for each in again]
    assert all(each["leader"][9:12] + each["leader"][20:] == "a224500" for each in again)


@given(records=st.lists(RECORD, max_size=3))
def test_made_up_records_read_back_from_marcxml(records):
    body = written(MARCXML, [row(each) for each in records])

    assert records == read_again(xml_records(body))


@given(
    length=st.integers(LONGEST - 12, LONGEST + 12),
    character=st.sampled_from("aé€𝄞"),
    tag=st.sampled_from(["009", "520"]),
)
@IN_A_FILE
def test_a_field_is_written_up_to_the_last_byte_that_fits(length, character, tag, tmp_path):
    around = 1 if tag == "009" else AROUND_TEXT
    count, rest = divmod(length - around, len(character.encode()))
    text = character * count + "." * rest
    document = marc("b", {tag: text} if tag == "009" else data(tag, ("a", text)))
    rows = [row(marc("a")), row(document), row(marc("c"))]

    if length > LONGEST:
        with pytest.raises(Unfit, match=f"field {tag} has {length:,} bytes, of at most 9,999"):
            written(MRC, rows)
    else:
        again = read_again(mrc_records(written(MRC, rows), tmp_path))
        assert [f["001"] for each in again for f in each["fields"] if "001" in f] == ["a", "b", "c"]
        assert document["fields"] == again[1]["fields"]


@given(over=st.integers(-12, 12), fields=st.integers(11, 60))
@IN_A_FILE
def test_a_record_is_written_up_to_the_last_byte_that_fits(over, fields, tmp_path):
    size = LARGEST + over
    around = AROUND_FIELDS + 12 + 2 + fields * (12 + AROUND_TEXT)
    each, rest = divmod(size - around, fields)
    texts = ["x" * (each + rest), *["x" * each] * (fields - 1)]
    document = marc("b", *(data("505", ("a", text)) for text in texts))
    rows = [row(marc("a")), row(document), row(marc("c"))]

    if size > LARGEST:
        with pytest.raises(Unfit, match=f"it has {size:,} bytes, of at most 99,999"):
            written(MRC, rows)
    else:
        again = read_again(mrc_records(written(MRC, rows), tmp_path))
        assert document["fields"] == again[1]["fields"]
        assert len(again) == 3


UNFIT = {
    "a tag of two": (data("24", ("a", "x")), "a tag is '24'"),
    "a tag of four": (data("2450", ("a", "x")), "a tag is '2450'"),
    "a tag with a terminator": (data("24\x1e", ("a", "x")), r"a tag is '24\\x1e'"),
    "a long tag": (data("2" * 99, ("a", "x")), r"a tag is '2{24}\.\.\.'"),
    "no indicator": (data("245", ("a", "x"), ind1=""), "field 245 has the indicators ' '"),
    "a wide indicator": (data("245", ("a", "x"), ind2="12"), "has the indicators ' 12'"),
    "an indicator beyond ASCII": (data("245", ind1="é"), r"has the indicators '\\xe9 '"),
    "a delimiter for an indicator": (data("245", ind1="\x1f"), r"indicators '\\x1f '"),
    "a code of five": (data("245", ("BIBLI", "x")), "a subfield with the code 'BIBLI'"),
    "a code beyond ASCII": (data("245", ("é", "x")), r"a subfield with the code '\\xe9'"),
    "no code": (data("245", ("", "x")), "a subfield with the code ''"),
    "a control field of another tag": ({"FMT": "BK"}, "field FMT is a control field"),
    "a data field of a control tag": (data("003", ("a", "x")), "field 003 is a data field"),
    "a record terminator": (data("245", ("a", "x\x1dy")), "field 245 holds a control"),
    "a field terminator": (data("245", ("a", "x\x1ey")), "field 245 holds a control"),
    "a delimiter": (data("245", ("a", "x\x1fby")), "field 245 holds a control"),
    "a terminator in a control field": ({"003": "x\x1e"}, "field 003 holds a control"),
}


@pytest.mark.parametrize(("field", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_iso_2709_has_no_place_for_is_not_written(field, reason):
    with pytest.raises(Unfit, match=reason):
        MRC.one(row(marc("a", field)))


@pytest.mark.parametrize(
    "leader", ["", "x" * 23, "x" * 25, "xxxxxné" + "x" * 17, "x" * 8 + "\n" * 16]
)
def test_a_leader_that_is_none_is_not_written(leader):
    with pytest.raises(Unfit, match="its leader is"):
        MRC.one(row(marc("a", leader=leader)))


def test_what_is_made_anew_of_a_leader_may_have_been_anything():
    leader = "éééééna\nx".replace("\n", "m") + "é" * 8 + "3a " + "é" * 4

    assert MRC.one(row(marc("a", leader=leader)))[5:9] == b"namx"


@pytest.mark.parametrize("form", [MRC, MARCXML])
def test_a_withdrawn_record_has_the_status_deleted_and_is_otherwise_the_same(form, tmp_path):
    document = marc("a", data("245", ("a", "Title")))
    body = written(form, [row(document, withdrawn_at=AT)])

    (again,) = read_again(mrc_records(body, tmp_path) if form is MRC else xml_records(body))

    assert again["leader"][5] == "d"
    assert again["leader"][6:9] == document["leader"][6:9]
    assert document["fields"] == again["fields"]


def test_pymarc_reads_both_and_finds_the_namespace(tmp_path):
    rows = [row(marc(number, data("245", ("a", "Tïtle")))) for number in "abc"]
    path = tmp_path / "export.xml"
    path.write_bytes(written(MARCXML, rows))

    binary = list(pymarc.MARCReader(written(MRC, rows)))
    xml = pymarc.parse_xml_to_array(str(path), strict=True)

    assert ["Tïtle"] * 3 == [each["245"]["a"] for each in binary]
    assert ["Tïtle"] * 3 == [each["245"]["a"] for each in xml]


@pytest.fixture(scope="module")
def stored(samples):
    """Every real record that can be stored."""
    found = []
    for path in sorted(samples.glob("*/*")):
        try:
            if path.suffix in {".mrc", ".marc", ".dat"}:
                found += iso2709.read_file(path)
            elif path.suffix == ".xml":
                found += xml_file(path)
        except NotAPage:
            continue
    return [orjson.loads(each.marc) for each in found if isinstance(each, Record)]


def test_real_records_read_back_from_mrc_but_those_that_are_told(stored, tmp_path):
    pieces, fitting, reasons = [], [], []
    for each in stored:
        try:
            pieces.append(MRC.one(row(each)))
            fitting.append(each)
        except Unfit as unfit:
            reasons.append(unfit.reason)

    again = read_again(mrc_records(b"".join(pieces), tmp_path))

    assert len(stored) > 6_600
    assert [in_iso_2709(each) for each in fitting] == [in_iso_2709(each) for each in again]
    assert len(reasons) < 10
    assert all("'BIBLIOTEK'" in reason or "bytes" in reason for reason in reasons)


def test_real_records_read_back_from_marcxml(stored, tmp_path):
    path = tmp_path / "export.xml"
    path.write_bytes(written(MARCXML, [row(each) for each in stored]))

    again = [orjson.loads(each.marc) for each in xml_file(path) if isinstance(each, Record)]

    assert stored == again
