"""Real records served as purchases."""

import os
from collections import Counter
from pathlib import Path

import asking
import pytest

from bibsync import marc
from bibsync.record import Record
from bibsync.simulator import Library, Vendor

SAMPLES = Path(
    os.environ.get("BIBSYNC_MARC_SAMPLES", Path(__file__).parents[3] / "shared" / "marc-samples")
)
XML = b"""<?xml version="1.0"?><collection xmlns="http://www.loc.gov/MARC21/slim">
<record><leader>00000nam a2200000 a 4500</leader><controlfield tag="001">one</controlfield>
<controlfield tag="005">20010101000000.0</controlfield>
<datafield tag="245" ind1="1" ind2="0"><subfield code="a">First</subfield></datafield></record>
<record><leader>00000nam a2200000 a 4500</leader><controlfield tag="001">two</controlfield>
<datafield tag="245" ind1="1" ind2="0"><subfield code="a">a < b</subfield></datafield></record>
<record><leader>00000nam a2200000 a 4500</leader><controlfield tag="001">one</controlfield>
<datafield tag="245" ind1="1" ind2="0"><subfield code="a">Again</subfield></datafield></record>
</collection>"""


def library_of(*files):
    return Library.of_marc("abcde", files=files, since=asking.SINCE, until=asking.UNTIL)


def read(pages):
    outcomes = [marc.read(raw) for page in pages for raw in marc.cut(page.body)]
    records = {
        each.control_number: each.fingerprint.hex() for each in outcomes if isinstance(each, Record)
    }
    return records, Counter(str(each.reason) for each in outcomes if not isinstance(each, Record))


def told(truth):
    records = {key: each["fingerprint"] for key, each in truth["records"].items()}
    return records, Counter(each["reason"] for each in truth["rejects"])


def test_readable_unreadable_and_repeated_records_are_accounted_for(tmp_path):
    file = tmp_path / "three.xml"
    file.write_bytes(XML)
    vendor = Vendor([library_of(file)], now=asking.Clock())

    pages = list(asking.pages(vendor))

    truth = vendor.truth("abcde")
    assert read(pages) == told(truth)
    assert truth["records"]["one"]["title"] == "First"
    assert [each["reason"] for each in truth["rejects"]] == ["unreadable_record"]
    assert truth["left_out"] == {"control_number_repeated": 1}
    assert b'tag="005">20240601120000.0<' in pages[0].body


def test_no_files_make_an_empty_library():
    vendor = Vendor([library_of()], now=asking.Clock())

    assert asking.ask(vendor).kind == "empty"


def test_an_item_of_a_file_can_be_looked_up(tmp_path):
    file = tmp_path / "three.xml"
    file.write_bytes(XML)
    vendor = Vendor([library_of(file)], now=asking.Clock())

    answer = asking.ask(vendor, "items/one,two")

    assert answer.records == 1
    assert b"<Title>First</Title>" in answer.body


def test_a_real_vendor_answer_is_served_again():
    files = sorted((SAMPLES / "palace").glob("*.xml"))
    if not files:
        pytest.skip("the sample records are not here")
    vendor = Vendor([library_of(*files)], now=asking.Clock())

    pages = list(asking.pages(vendor))

    assert read(pages) == told(vendor.truth("abcde"))
    assert "ddf4gr9" in told(vendor.truth("abcde"))[0]


def test_all_real_records_are_served_or_counted():
    files = [
        path
        for path in sorted(SAMPLES.rglob("*"))
        if path.suffix in (".mrc", ".xml", ".marc", ".dat") and path.stat().st_size < 400_000
    ]
    if not files:
        pytest.skip("the sample records are not here")
    library = library_of(*files)
    vendor = Vendor([library], now=asking.Clock())

    records, rejects = read(asking.pages(vendor))

    assert (records, rejects) == told(vendor.truth("abcde"))
    assert len(records) > 500
