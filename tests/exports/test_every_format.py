"""What every format keeps to; a new one needs a line in READERS, and passes unchanged."""

import re

import pytest
from exported import READERS, data, marc, row, written
from hypothesis import HealthCheck, given, settings, strategies as st

from bibsync.exports import FORMATS

NAMES = pytest.mark.parametrize("name", FORMATS)
CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXT = st.text(LEGAL | st.sampled_from("\t\n\r<>&\"'],;|=+-@\\$\u2028\x85"), max_size=20)


def test_every_format_has_a_reader_here():
    assert FORMATS.keys() == READERS.keys()


def test_a_suffix_tells_the_format():
    assert len({form.suffix for form in FORMATS.values()}) == len(FORMATS)


@NAMES
def test_an_export_of_nothing_reads_as_nothing(name, tmp_path):
    assert READERS[name](written(FORMATS[name], []), tmp_path) == []


@NAMES
@given(numbers=st.lists(st.text("abc019 ", min_size=1).filter(str.strip), max_size=4), text=TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_record_comes_out_once_and_in_order_whatever_it_says(name, numbers, text, tmp_path):
    rows = [
        row(marc(number, data("245", ("a", text))), title=text, subjects=[text, text])
        for number in numbers
    ]

    body = written(FORMATS[name], rows)

    assert [number.strip() for number in numbers] == READERS[name](body, tmp_path)


@NAMES
@given(text=TEXT)
def test_a_text_format_is_utf_8_without_control_characters(name, text):
    if FORMATS[name].binary:
        return
    body = written(FORMATS[name], [row(marc("a", data("245", ("a", text))), title=text)])

    assert not CONTROL.search(body.decode().replace("\x85", ""))


@NAMES
def test_what_is_written_of_a_record_depends_on_nothing_before(name):
    one = FORMATS[name].one
    first, second = row(marc("a")), row(marc("b"), withdrawn_at=None)

    alone = one(second)
    one(first)

    assert alone == one(second)
