"""Real records, from real files through a vendor, a run and a database to an export, unchanged."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymarc
import pytest
from installation import ACCOUNT_KEY, Installation
from watched import LONG_AGO, TODAY, Library, Watched, served

FILES = (
    "loc/books-all-2016-first-3000.mrc",
    "palace/marc_records_one.xml",
    "palace/marc_records_two.xml",
)
"""Of the Library of Congress, and two answers of cloudLibrary itself."""


@pytest.mark.parametrize("where", ["embedded", "given"])
async def test_every_real_record_comes_back_field_by_field(
    embedded: Installation, installation: Installation, samples: Path, where: str
):
    paths = [samples / name for name in FILES]
    expected, repeated = _by_control_number(paths)
    bought = Library.of_marc(
        "real", "partner", ACCOUNT_KEY, files=paths, since=LONG_AGO, until=TODAY
    )
    installation = embedded if where == "embedded" else installation

    async with served(Watched([bought])) as vendor:
        installation.configure(vendor.collections())
        run = await installation.run("run-once", "--all", "--json")
    export = await installation.run("records", "export", "--collection", "real")

    exported = {each["control_number"]: _lasting(each["marc"]) for each in export.documents}
    assert (run.code, run.document["new"], run.document["rejected"]) == (0, len(expected), 0)
    assert bought.left_out.get("control_number_repeated", 0) == repeated
    assert len(export.documents) == len(exported)
    assert expected.keys() == exported.keys()
    different = [key for key, marc in expected.items() if marc != exported[key]]
    assert different == []


def _by_control_number(paths: list[Path]) -> tuple[dict[str, dict[str, Any]], int]:
    """Read the files with pymarc alone: the first record of each 001, and how many follow it."""
    first: dict[str, dict[str, Any]] = {}
    repeated = 0
    for record in (record for path in paths for record in _read(path)):
        number = record["001"].data.strip()
        repeated += number in first
        first.setdefault(number, _lasting(record.as_dict()))
    return first, repeated


def _lasting(marc: dict[str, Any]) -> dict[str, Any]:
    """Blank 005 and 008/00-05: a vendor makes them anew for each answer, and so does this one."""
    fields = []
    for field in marc["fields"]:
        ((tag, value),) = field.items()
        if tag == "005":
            value = len(value) * "-"
        elif tag == "008":
            value = "------" + value[6:]
        fields.append({tag: value})
    return {"leader": marc["leader"], "fields": fields}


def _read(path: Path) -> Iterator[pymarc.Record]:
    data = path.read_bytes()
    if path.suffix == ".mrc":
        yield from (record for record in pymarc.MARCReader(data) if record)
        return
    whole = re.sub(rb"(</[\w:]*collection>).*", rb"\1", data, flags=re.DOTALL)
    yield from pymarc.parse_xml_to_array(io.BytesIO(whole))


async def test_the_simulate_command_serves_a_file_s_records(
    installation: Installation, samples: Path
):
    marc = samples / FILES[1]
    expected, _ = _by_control_number([marc])
    simulator = await installation.start(
        "simulate", "--port", 0, "--marc", marc, "--since", "10d", "--library", "real"
    )
    assert simulator.process.stdout is not None
    told = json.loads(await simulator.process.stdout.readline())
    settings = {"name": "real", "start_date": TODAY, "account_key": "secret", **told}
    installation.configure([settings | {"start_date": LONG_AGO}])

    run = await installation.run("run-once", "--all", "--json")
    exported = await installation.stored("real")
    simulator.process.terminate()
    ended = await simulator.ended()

    assert (run.code, run.document["new"]) == (0, len(expected))
    assert expected.keys() == exported.keys()
    assert (ended.code, ended.err.splitlines()[-1]) == (143, "Stopped.")
