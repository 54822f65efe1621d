"""What is written is read again as it was: every character, every blank, every order."""

import orjson
import pytest
from hypothesis import given, strategies as st

from bibsync.marc import cut, read, to_xml

LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXT = st.text(LEGAL | st.sampled_from("\t\n\r<>&\"']"), max_size=20)
CODE = st.sampled_from("abcxyz019")
DATA_TAG = st.from_regex(r"[1-9A-Z][0-9A-Z]{2}", fullmatch=True)
DATAFIELD = st.fixed_dictionaries(
    {
        "ind1": st.sampled_from(" 01|"),
        "ind2": st.sampled_from(" 01|"),
        "subfields": st.lists(st.dictionaries(CODE, TEXT, min_size=1, max_size=1), max_size=4),
    }
)
CONTROL_TAG = st.from_regex(r"00[2-9]", fullmatch=True)
FIELD = st.dictionaries(DATA_TAG, DATAFIELD, min_size=1, max_size=1) | st.dictionaries(
    CONTROL_TAG, TEXT, min_size=1, max_size=1
)
RECORD = st.builds(
    lambda leader, number, fields: {"leader": leader, "fields": [{"001": number}, *fields]},
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=24, max_size=24),
    TEXT.filter(str.strip),
    st.lists(FIELD, max_size=6),
)


@pytest.mark.parametrize("prefix", ["marc", "m", ""])
@given(records=st.lists(RECORD, max_size=3))
def test_a_record_written_cut_and_read_again_is_the_same(prefix, records):
    root = f"{prefix}:collection".lstrip(":").encode()
    body = b"".join(to_xml(orjson.dumps(record), prefix=prefix) for record in records)

    told = [read(raw) for raw in cut(b"<" + root + b">" + body + b"</" + root + b">")]

    assert records == [orjson.loads(record.marc) for record in told]
    assert all(record.repairs == () for record in told)


def test_characters_that_xml_forbids_are_left_out():
    marc = orjson.dumps({"leader": "x" * 24, "fields": [{"001": "a\0\x1fb\uffff"}]})

    assert to_xml(marc).count(b">ab<") == 1
