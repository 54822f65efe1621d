"""What counts as a change between two versions, and in which words it is told."""

import orjson
import pymarc
import pytest
from exported import data, marc
from hypothesis import given, strategies as st

from bibsync import record
from bibsync.exports import difference
from bibsync.exports.difference import between

DATE = "240510"
REST = "s2013    nyu     o     000 1 eng d"


def text(document):
    return orjson.dumps(document).decode()


def changed(old, new):
    """What is told of two records: the lines that went and those that came."""
    changes = between(text(old), text(new))
    removed = [line for each in changes for line in difference.lines(each.tag, each.removed)]
    added = [line for each in changes for line in difference.lines(each.tag, each.added)]
    return removed, added


def titled(title, *more):
    return marc("a", data("245", ("a", title), ind1="1", ind2="0"), *more)


def subject(text):
    return data("650", ("a", text), ind2="4")


SAME = {
    "005": (marc("a", {"005": "20240510"}), marc("a", {"005": "20250101"})),
    "no 005": (marc("a", {"005": "20240510"}), marc("a")),
    "the date in 008": (marc("a", {"008": DATE + REST}), marc("a", {"008": "999999" + REST})),
    "the leader's lengths": (
        marc("a", leader="01034nam a22002413a 4500"),
        marc("a", leader="99999nam a22999993a 4500"),
    ),
    "tags interleaved": (
        marc("a", data("072"), subject("x"), data("072"), subject("y")),
        marc("a", data("072"), data("072"), subject("x"), subject("y")),
    ),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_the_fingerprint_leaves_out_is_no_difference(old, new):
    assert changed(old, new) == ([], [])


CHANGED = {
    "a title": (titled("Old"), titled("New"), ["=245  10$aOld"], ["=245  10$aNew"]),
    "a field more": (titled("T"), titled("T", subject("x")), [], ["=650  \\4$ax"]),
    "a field less": (titled("T", subject("x")), titled("T"), ["=650  \\4$ax"], []),
    "one more of its tag": (
        titled("T", subject("x"), subject("z")),
        titled("T", subject("x"), subject("y"), subject("z")),
        [],
        ["=650  \\4$ay"],
    ),
    "the order within a tag": (
        titled("T", subject("x"), subject("y")),
        titled("T", subject("y"), subject("x")),
        ["=650  \\4$ay"],
        ["=650  \\4$ay"],
    ),
    "the rest of 008": (
        marc("a", {"008": "240510s2013"}),
        marc("a", {"008": "240511s2014"}),
        ["=008  240510s2013"],
        ["=008  240511s2014"],
    ),
    "the leader": (
        marc("a", leader="01034nam a22002413a 4500"),
        marc("a", leader="01034cam a22002413a 4500"),
        ["=LDR  01034nam a22002413a 4500"],
        ["=LDR  01034cam a22002413a 4500"],
    ),
    "an indicator": (
        marc("a", data("245", ("a", "T"))),
        titled("T"),
        ["=245  \\\\$aT"],
        ["=245  10$aT"],
    ),
    "a line break": (titled("a b"), titled("a\nb"), ["=245  10$aa b"], ["=245  10$aa{0A}b"]),
}


@pytest.mark.parametrize(("old", "new", "removed", "added"), CHANGED.values(), ids=CHANGED)
def test_what_changed_is_told_in_mnemonic_form(old, new, removed, added):
    assert changed(old, new) == (removed, added)


def test_changes_are_told_leader_first_and_then_by_tag_and_a_replaced_field_counts_once():
    old = marc("a", subject("x"), subject("y"), data("100"), leader="0" * 24)
    new = marc("a", subject("z"), data("100", ("a", "n")), data("FMT"), leader="1" * 24)

    changes = between(text(old), text(new))

    assert [(each.tag, each.fields) for each in changes] == [
        ("LDR", 1),
        ("100", 1),
        ("650", 2),
        ("FMT", 1),
    ]


FIELDS = st.lists(
    st.one_of(
        st.builds(subject, st.sampled_from("xyz")),
        st.builds(lambda text: data("072", ("a", text)), st.sampled_from("xy")),
        st.builds(
            lambda d, r: {"008": d + r}, st.sampled_from([DATE, "999999"]), st.sampled_from("ab")
        ),
        st.builds(lambda text: {"005": text}, st.sampled_from("xy")),
    ),
    max_size=5,
)


@given(old=FIELDS, new=FIELDS)
def test_two_records_differ_where_their_fingerprints_do(old, new):
    prints = [fingerprint(marc("a", *fields)) for fields in (old, new)]

    assert (prints[0] != prints[1]) == bool(between(text(marc("a", *old)), text(marc("a", *new))))


def fingerprint(document):
    (read,) = pymarc.parse_json_to_array(text([document]))
    return record.fingerprint(read)
