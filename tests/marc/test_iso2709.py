"""A file of ISO 2709 is cut wherever its records really end; a bad one costs only itself."""

import pymarc
import pytest

from bibsync.marc import iso2709
from bibsync.record import Record
from bibsync.reject import Reason


def binary(number, title="Title", *, coding="a", encoding="utf-8"):
    """A record as every program writes it: 001 and 245 $a."""
    fields = [number.encode() + b"\x1e", b"10\x1fa" + title.encode(encoding) + b"\x1e"]
    directory = b"001%04d00000245%04d%05d\x1e" % (*map(len, fields), len(fields[0]))
    base = 24 + len(directory)
    body = directory + b"".join(fields) + b"\x1d"
    return f"{24 + len(body):05}nam {coding}22{base:05} a 4500".encode() + body


def read_bytes(tmp_path, data):
    path = tmp_path / "file.mrc"
    path.write_bytes(data)
    return list(iso2709.read_file(path))


def outcomes(told):
    return [r.control_number if isinstance(r, Record) else str(r.reason) for r in told]


A, B, C = (binary(number) for number in ("first", "second", "third"))


def with_length(record, length):
    return length.encode() + record[5:]


MENDED = {
    "length too large": (with_length(B, f"{len(B) + 10:05}"), "record_length"),
    "length too small": (with_length(B, f"{len(B) - 10:05}"), "record_length"),
    "length of two records": (with_length(B, f"{len(B) + len(C):05}"), "record_length"),
    "length 99999": (with_length(B, "99999"), "record_length"),
    "length 00000": (with_length(B, "00000"), "record_length"),
    "length not numeric": (with_length(B, "1x345"), "record_length"),
    "length blank": (with_length(B, "     "), "record_length"),
    "no record terminator": (B[:-1], "record_terminator"),
    "junk before": (b"junk" + B, "junk_before_record"),
    "directory length wrong": (B.replace(b"2450010", b"2450009"), "directory"),
    "a length within the directory wrong": (B.replace(b"0010007", b"0010009"), "directory"),
    "directory of one piece, but not of these fields": (
        B.replace(b"0010007", b"0010006").replace(b"00007\x1e", b"00006\x1e"),
        "directory",
    ),
    "control character in the leader": (B.replace(b" a 4500", b" a 45\x000"), "illegal_characters"),
    "directory place wrong": (B.replace(b"00007\x1e", b"00008\x1e"), "directory"),
    "length in characters": (
        binary("second", "Tïtle").replace(b"2450011", b"2450010"),
        "directory",
    ),
    "one indicator": (B.replace(b"10\x1fa", b"1\x1faT"), "indicator"),
    "control character": (B.replace(b"Title", b"T\x01\x02e "), "illegal_characters"),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("defect", "repair"), MENDED.values(), ids=MENDED)
def test_a_mend_is_named_and_concerns_its_record_alone(tmp_path, defect, repair, place):
    records = [A, C]
    records.insert(place, defect)
    expected = [("first", False), ("third", False)]
    expected.insert(place, ("second", True))

    told = read_bytes(tmp_path, b"".join(records))

    assert expected == [(r.control_number, repair in r.repairs) for r in told]


UNREADABLE = {
    "base address wrong": B[:12] + b"00060" + B[17:],
    "base address not numeric": B[:12] + b"x" * 5 + B[17:],
    "directory not a multiple of 12": with_length(B[:24] + b"0" + B[24:], f"{len(B) + 1:05}"),
    "directory that fits nothing": B.replace(b"2450010" + b"00007", b"2450001" + b"00002"),
    "invalid UTF-8 where UTF-8 is declared": B.replace(b"Title", b"T\xe9tle"),
    "only a leader": b"00025nam a2200024 a 4500\x1d",
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("defect", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_told_apart_is_unreadable_and_costs_only_itself(tmp_path, defect, place):
    records = [A, C]
    records.insert(place, defect)
    expected = ["first", "third"]
    expected.insert(place, "unreadable_record")

    told = read_bytes(tmp_path, b"".join(records))

    assert expected == outcomes(told)


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n", b"\0\0\0", b"  "])
def test_blanks_and_padding_between_records_are_passed_over(tmp_path, between):
    told = read_bytes(tmp_path, between + between.join([A, B, C]) + between)

    assert outcomes(told) == ["first", "second", "third"]
    assert {r.repairs for r in told} == {()}


@pytest.mark.parametrize("lost", range(3, len(C) - 1, 7))
def test_the_record_in_which_a_file_ends_is_a_reject(tmp_path, lost):
    told = read_bytes(tmp_path, A + B + C[:-lost])

    assert outcomes(told) == ["first", "second", "unreadable_record"]


def test_an_empty_file_has_no_records(tmp_path):
    assert read_bytes(tmp_path, b"") == []


def test_what_is_no_marc_is_a_reject(tmp_path):
    assert outcomes(read_bytes(tmp_path, b"<html>none</html>")) == ["unreadable_record"]


def test_a_record_above_the_limit_is_set_aside(tmp_path):
    told = read_bytes(tmp_path, A + b"00000" + b"x" * 3 * 2**20 + b"\x1e\x1d" + C)

    assert outcomes(told) == ["first", "oversize_record", "third"]


def test_marc8_is_read_as_marc8(tmp_path):
    data = binary("a", "Cafe", coding=" ").replace(b"Cafe", b"Caf\xe2e"[:4] + b"e")
    data = with_length(data.replace(b"2450009", b"2450010"), f"{len(data):05}")

    (told,) = read_bytes(tmp_path, data)

    assert (told.title, told.repairs) == ("Café", ())


def test_utf8_under_a_leader_that_does_not_say_so_is_read_as_utf8(tmp_path):
    (told,) = read_bytes(tmp_path, binary("a", "Café", coding=" "))

    assert (told.title, told.repairs) == ("Café", ("utf8_undeclared",))


def test_bytes_that_marc8_cannot_map_are_flagged_and_nothing_is_printed(tmp_path, capsys):
    data = binary("a", "Caf\xff", coding=" ", encoding="latin-1")

    (told,) = read_bytes(tmp_path, data)

    assert told.repairs == ("marc8_unmapped",)
    assert capsys.readouterr() == ("", "")


def test_pymarc_warns_nobody_of_what_the_repairs_tell(tmp_path, caplog):
    (told,) = read_bytes(tmp_path, B.replace(b"10\x1fa", b"1\x1faT"))

    assert told.repairs == ("indicator",)
    assert caplog.records == []


def test_a_record_reads_as_pymarc_reads_it(tmp_path):
    (told,) = read_bytes(tmp_path, A)

    assert told.marc.decode() == pymarc.Record(A).as_json(separators=(",", ":"))


def test_a_record_without_a_number_is_set_aside(tmp_path):
    (told,) = read_bytes(tmp_path, binary(" "))

    assert told.reason is Reason.MISSING_CONTROL_NUMBER
