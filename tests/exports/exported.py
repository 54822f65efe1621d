"""Rows as the store gives them, and what reads each format again: no code of the exports."""

import csv
import io
from datetime import UTC, datetime

import orjson

from bibsync.marc import cut, iso2709, read, xml_file
from bibsync.record import Record

LEADER = "01034nam a22002413a 4500"
AT = datetime(2024, 5, 10, 12, 30, 15, tzinfo=UTC)
BEYOND = 10_000


def marc(number="a", *fields, leader=LEADER):
    return {"leader": leader, "fields": [{"001": number}, *fields]}


def data(tag, *subfields, ind1=" ", ind2=" "):
    pairs = [{code: value} for code, value in subfields]
    return {tag: {"ind1": ind1, "ind2": ind2, "subfields": pairs}}


def row(document, **columns):
    """The row of a record; what a test doesn't say is the same for all."""
    return {
        "collection_name": "Springfield",
        "control_number": document["fields"][0].get("001", "").strip(),
        "title": "Siege and Storm",
        "author": "Bardugo, Leigh",
        "isbns": ["9780805097115", "0805097112"],
        "publisher": "Henry Holt",
        "published": "2013",
        "language": "eng",
        "subjects": [],
        "format": "EPUB",
        "cover_url": "",
        "material_type": "ebook",
        "repairs": [],
        "version": 1,
        "fingerprint": bytes(32),
        "first_seen": AT,
        "last_seen": AT,
        "last_changed": AT,
        "withdrawn_at": None,
        "description": None,
        "marc": orjson.dumps(document).decode(),
    } | columns


def written(form, rows):
    """All of an export, as the command puts it together."""
    return form.head + b"".join(form.one(each) for each in rows) + form.tail


def read_jsonl(body, tmp_path):
    return [orjson.loads(line)["control_number"] for line in body.splitlines()]


def read_csv(body, tmp_path):
    return [each["control_number"] for each in csv_rows(body)]


def csv_rows(body):
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


def read_mrc(body, tmp_path):
    return [each.control_number for each in mrc_records(body, tmp_path)]


def mrc_records(body, tmp_path):
    path = tmp_path / "export.mrc"
    path.write_bytes(body)
    return only_records(iso2709.read_file(path))


def read_marcxml(body, tmp_path):
    path = tmp_path / "export.xml"
    path.write_bytes(body)
    from_file = [each.control_number for each in only_records(xml_file(path))]
    assert from_file == [each.control_number for each in xml_records(body)]
    return from_file


def xml_records(body):
    return only_records(read(raw) for raw in cut(body))


def only_records(told):
    """Whatever was written is a record that needed no mend."""
    told = list(told)
    assert [each for each in told if not isinstance(each, Record) or each.repairs] == []
    return told


READERS = {"jsonl": read_jsonl, "csv": read_csv, "mrc": read_mrc, "marcxml": read_marcxml}
