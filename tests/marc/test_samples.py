"""Real records that nobody of this project wrote: nothing raises, and pymarc reads the same."""

import contextlib
import io
import logging
import warnings

import orjson
import pymarc
import pytest

from bibsync.marc import NotAPage, cut, iso2709, read, to_xml, xml_file
from bibsync.record import Record
from bibsync.reject import Reject

BINARY = {".mrc", ".marc", ".dat"}
CHANGING = {"directory", "illegal_characters", "utf8_undeclared", "record_length"}
"""Mends by which a value becomes another than pymarc reads, or pymarc reads none."""


def told_of(path):
    if path.suffix in BINARY:
        return list(iso2709.read_file(path))
    with contextlib.suppress(NotAPage):
        return list(xml_file(path))
    return []


@pytest.fixture(scope="module")
def every(samples):
    """What is told of each real file, by its path."""
    paths = [p for p in sorted(samples.glob("*/*")) if p.suffix in {*BINARY, ".xml"}]
    return {path: told_of(path) for path in paths}


def test_nothing_raises_and_most_is_read(every):
    told = [one for of_file in every.values() for one in of_file]
    read_well = [one for one in told if isinstance(one, Record)]

    assert all(isinstance(one, Record | Reject) for one in told)
    assert len(read_well) > 6_600
    assert len(told) - len(read_well) < 250


def test_binary_records_read_as_pymarc_reads_them(every):
    compared = 0
    for path in (p for p in every if p.suffix in BINARY):
        with path.open("rb") as file:
            data = file.read()
        for chunk, one in zip(iso2709.chunks(data), every[path], strict=True):
            if isinstance(one, Record) and not CHANGING & set(one.repairs):
                assert orjson.loads(one.marc) == pymarc_of(chunk.data).as_dict(), one.control_number
                compared += 1

    assert compared > 6_000


def pymarc_of(chunk):
    logging.getLogger("pymarc").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pymarc.Record(chunk, hide_utf8_warnings=True)


def test_xml_records_read_as_pymarc_reads_them(every):
    compared = 0
    for path in (p for p in every if p.suffix == ".xml"):
        try:
            theirs = pymarc.parse_xml_to_array(io.BytesIO(path.read_bytes()))
        except Exception:  # noqa: BLE001, S112 - whatever pymarc can't read isn't compared
            continue
        read_by_pymarc = [one.as_dict() for one in theirs if one]
        for one in every[path]:
            if isinstance(one, Record) and not one.repairs:
                assert orjson.loads(one.marc) in read_by_pymarc, one.control_number
                compared += 1

    assert compared > 250


def test_every_real_record_survives_being_written_and_read(every):
    for told in every.values():
        records = [one for one in told if isinstance(one, Record)]
        body = b"<marc:collection>%b</marc:collection>" % b"".join(
            to_xml(one.marc) for one in records
        )

        again = [read(raw) for raw in cut(body)]

        assert [one.marc for one in records] == [one.marc for one in again]
        assert [one.fingerprint for one in records] == [one.fingerprint for one in again]


def test_the_vendors_own_answers_are_read_completely(samples):
    first = cut((samples / "palace" / "marc_records_one.xml").read_bytes())
    second = cut((samples / "palace" / "marc_records_two.xml").read_bytes())

    (ours,) = (read(raw) for raw in first)
    told = [read(raw) for raw in second]

    assert [raw.key for raw in (*first, *second)] == ["ddf4gr9", "ehasb89", "3oock89"]
    assert {one.repairs for one in (ours, *told)} == {()}
    assert (ours.title, ours.author) == ("Siege and Storm", "Bardugo, Leigh")
    assert (ours.isbns, ours.publisher) == (("9780805097115",), "Henry Holt and Co. (BYR)")
    assert (ours.published, ours.language) == ("2013", "eng")
    assert (ours.format, ours.material_type) == ("EPUB", "ebook")
    assert "type=DOCUMENTIMAGE&documentID=ehasb89" in ours.cover_url
    assert len(ours.subjects) == 2


def test_both_records_of_an_answer_differ_where_their_content_does(samples):
    first = cut((samples / "palace" / "marc_records_one.xml").read_bytes())
    second = cut((samples / "palace" / "marc_records_two.xml").read_bytes())

    assert len({raw.raw_hash for raw in (*first, *second)}) == 3
    assert len({read(raw).fingerprint for raw in (*first, *second)}) == 3
