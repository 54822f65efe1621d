"""Files of MARCXML are read whatever stands around the records."""

import pytest
from made_up import NAMESPACE, good, number, page, record, titled

from bibsync.marc import NotAPage, xml_file
from bibsync.record import Record

OAI = (
    "<OAI-PMH><ListRecords>"
    + "".join(
        f"<record><header><identifier>{n}</identifier></header>"
        f"<metadata>{good(n).decode()}</metadata></record>"
        for n in "ab"
    )
    + "<resumptionToken>x</resumptionToken></ListRecords></OAI-PMH>"
)
FILES = {
    "a collection": page(good("a"), good("b")),
    "an answer of OAI-PMH": OAI.encode(),
    "an answer of OAI-PMH without prefixes": OAI.replace("marc:", "").encode(),
    "records alone": good("a") + good("b"),
    "a single root of another name": b"<export>" + good("a") + good("b") + b"</export>",
    "deleted records between": page(good("a"), b"<record><header/></record>", good("b")),
    "utf-16": page(good("a"), good("b")).decode().encode("utf-16"),
    "attributes": page(good("a"), good("b")).replace(b"record>", b"record >"),
}


def read_bytes(tmp_path, data):
    path = tmp_path / "file.xml"
    path.write_bytes(data)
    return list(xml_file(path))


def outcomes(told):
    return [r.control_number if isinstance(r, Record) else str(r.reason) for r in told]


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_each_marc_record_is_read_and_envelopes_are_passed_over(tmp_path, data):
    assert outcomes(read_bytes(tmp_path, data)) == ["a", "b"]


def test_a_record_in_which_the_file_ends_is_a_reject(tmp_path):
    told = read_bytes(tmp_path, page(good("a"), good("b"))[:-60])

    assert outcomes(told) == ["a", "unreadable_record"]
    assert [r.position for r in told[1:]] == [1]


def test_a_bad_record_costs_only_itself(tmp_path):
    bad = record(number("b"), titled("a < b"))

    told = read_bytes(tmp_path, page(good("a"), bad, good("c")))

    assert outcomes(told) == ["a", "unreadable_record", "c"]


@pytest.mark.parametrize("data", [b"", b"text", b"<html></html>", f"<a{NAMESPACE}/>".encode()])
def test_a_file_without_marc_has_no_records(tmp_path, data):
    assert read_bytes(tmp_path, data) == []


def test_a_document_type_is_refused(tmp_path):
    with pytest.raises(NotAPage, match="document type"):
        read_bytes(tmp_path, b'<!DOCTYPE a [<!ENTITY b "c">]>' + good("a"))
