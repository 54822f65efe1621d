"""bibsync records: one record, its versions, and all of them in every format."""

import asyncio
import codecs
import csv
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pymarc
import pytest
from installation import NOWHERE, Installation
from pydantic import SecretStr

from bibsync import store
from bibsync.collection import Collection
from bibsync.marc import cut, iso2709, read
from bibsync.record import Record
from bibsync.store import collections, records
from bibsync.store.records import Asked

ONE = {"name": "springfield", "library_id": "x", "base_url": NOWHERE}
AT = datetime(2024, 5, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RUN = 17
OF = ("--collection", "springfield")
RED, GREEN = "\x1b[31m-", "\x1b[32m+"


def made(number: str, title: str, *more: str, date: str = "240510") -> Record:
    """Return a record as the vendor sends it."""
    fields = (
        f'<controlfield tag="001">{number}</controlfield>',
        f'<controlfield tag="005">20{date}000000.0</controlfield>',
        f'<controlfield tag="008">{date}s2013    nyu     o     000 1 eng d</controlfield>',
        f'<datafield tag="245" ind1="1" ind2="0"><subfield code="a">{title}</subfield></datafield>',
        *(
            f'<datafield tag="650" ind1=" " ind2="4"><subfield code="a">{each}</subfield>'
            "</datafield>"
            for each in more
        ),
    )
    body = "".join(("<leader>01034nam a22002413a 4500</leader>", *fields))
    (raw,) = cut(f"<collection><record>{body}</record></collection>".encode())
    told = read(raw)
    assert isinstance(told, Record)
    return told


async def keep(database: str, *pages: Sequence[Record]) -> None:
    """Store pages, a day apart, for the collection springfield; run 17 stores the first."""
    springfield = Collection(
        name="springfield",
        source="bibliotheca",
        library_id="x",
        account_id="partner",
        account_key=SecretStr("key"),
        base_url=NOWHERE,
    )
    async with store.open_pool(database, size=1) as pool, store.acquire(pool) as conn:
        async with conn.transaction():
            number = (await collections.enrol(conn, [springfield]))["springfield"]
        for at, page in enumerate(pages):
            await records.store(
                conn, number, page, asked=Asked(1, at), run=RUN + at, now=AT + at * DAY
            )


async def change(database: str, sql: str, *values: object) -> None:
    conn = await asyncpg.connect(database)
    await conn.execute(sql, *values)
    await conn.close()


@pytest.fixture
async def changed(installation: Installation, database: str) -> Installation:
    """Return an installation in which record `a` has three versions, and `b` one."""
    installation.configure([ONE])
    await keep(
        database,
        [made("a", "Old", "Cats"), made("b", "Other")],
        [made("a", "New", "Cats", "Dogs", date="240511")],
        [made("a", "Newest", "Cats", "Dogs", date="240512")],
    )
    return installation


async def piped(installation: Installation, line: str) -> tuple[int | None, bytes, bytes]:
    """Run a line of shell in which `bibsync` is the command."""
    process = await asyncio.create_subprocess_exec(
        *installation.shell(line),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=installation.folder,
        env=installation.environment(),
    )
    out, err = await process.communicate()
    return process.returncode, out, err


async def test_history_lists_each_version_with_when_it_held_and_what_replaced_it(
    changed: Installation,
):
    text = await changed.run("records", "history", "a", *OF)
    lines = await changed.run("records", "history", " a ", *OF, "--json")
    ruled = await changed.run_on_a_terminal("records", "history", "a", *OF)

    assert [line.split("\t") for line in text.out.splitlines()] == [
        ["3", "2024-05-12T12:00:00Z", "-", "-", "1"],
        ["2", "2024-05-11T12:00:00Z", "2024-05-12T12:00:00Z", "19", "2"],
        ["1", "2024-05-10T12:00:00Z", "2024-05-11T12:00:00Z", "18", "-"],
    ]
    assert (text.code, text.err) == (lines.code, lines.err) == (ruled.code, ruled.err) == (0, "")
    assert [each.pop("fingerprint") != "" for each in lines.documents] == [True] * 3
    assert lines.documents[0] | {"fingerprint": None} == {
        "collection": "springfield",
        "control_number": "a",
        "version": 3,
        "fingerprint": None,
        "valid_from": "2024-05-12T12:00:00Z",
        "replaced_at": None,
        "replaced_by": None,
    }
    assert [(2, "2024-05-12T12:00:00Z", 19), (1, "2024-05-11T12:00:00Z", 18)] == [
        (each["version"], each["replaced_at"], each["replaced_by"]) for each in lines.documents[1:]
    ]
    assert "REPLACED BY RUN" in ruled.out
    assert "───" in ruled.out


async def test_diff_shows_the_fields_that_changed_and_not_the_dates_the_vendor_makes(
    changed: Installation,
):
    last = await changed.run("records", "diff", "a", *OF)
    all_ = await changed.run("records", "diff", "a", *OF, "--from", 1)
    first = await changed.run("records", "diff", "a", *OF, "--to", 2)
    back = await changed.run("records", "diff", "a", *OF, "--from", 2, "--to", 1, "--json")

    assert last.out == "-=245  10$aNew\n+=245  10$aNewest\n"
    assert all_.out == "-=245  10$aOld\n+=245  10$aNewest\n+=650  \\4$aDogs\n"
    assert first.out == "-=245  10$aOld\n+=245  10$aNew\n+=650  \\4$aDogs\n"
    assert [0] * 4 == [each.code for each in (last, all_, first, back)]
    assert last.err == all_.err == first.err == ""
    document = back.document
    subject = {"ind1": " ", "ind2": "4", "subfields": [{"a": "Dogs"}]}
    assert {"tag": "650", "removed": [subject], "added": []} == document.pop("changes")[1]
    assert document == {
        "collection": "springfield",
        "control_number": "a",
        "from": 2,
        "to": 1,
        "removed": ["=245  10$aNew", "=650  \\4$aDogs"],
        "added": ["=245  10$aOld"],
    }


async def test_diff_of_one_version_says_so_and_of_an_unknown_one_is_exit_10(changed: Installation):
    only = await changed.run("records", "diff", "b", *OF)
    document = await changed.run("records", "diff", "b", *OF, "--json")
    same = await changed.run("records", "diff", "a", *OF, "--from", 3)
    none = [
        await changed.run("records", *words, *OF)
        for words in (
            ("diff", "a", "--from", 7),
            ("diff", "a", "--to", 10**30),
            ("show", "a", "--version", 4),
            ("diff", "nothing"),
            ("history", "\udcff"),
        )
    ]

    assert (only.code, only.out, only.err) == (0, "", '"b" has no version before 1.\n')
    assert document.document["from"] is None
    assert (document.document["to"], document.document["removed"]) == (1, [])
    assert (same.code, same.out) == (0, "")
    assert '"a": versions 3 and 3 don\'t differ' in same.err
    assert [(10, "")] * len(none) == [(each.code, each.out) for each in none]
    assert 'There is no version 7 of "a"; the newest is 3.' in none[0].err
    assert 'There is no record "nothing" in "springfield".' in none[3].err


async def test_diff_is_coloured_on_a_terminal_only_and_not_with_no_color(changed: Installation):
    diff = ("records", "diff", "a", *OF)

    coloured = await changed.run_on_a_terminal(*diff)
    plain = await changed.run_on_a_terminal(*diff, NO_COLOR="1")
    dumb = await changed.run_on_a_terminal(*diff, TERM="dumb")
    through_a_pipe = await changed.run(*diff, FORCE_COLOR="1")

    assert (RED in coloured.out, GREEN in coloured.out) == (True, True)
    assert plain.out == dumb.out == through_a_pipe.out.replace("\n", "\r\n")
    assert "\x1b" not in through_a_pipe.out


async def test_show_gives_any_version_and_the_marc_record_alone_in_every_form(
    changed: Installation,
):
    show = ("records", "show", "a", *OF)
    old = await changed.run(*show, "--version", 1)
    document = await changed.run(*show, "--version", 1, "--json")
    current = await changed.run(*show, "--version", 3, "--json")
    mnemonic = await changed.run(*show, "--format", "mnemonic")
    marc = await changed.run(*show, "--format", "json", "--version", 2)
    code, xml, _ = await piped(
        changed, "bibsync records show a --collection springfield --format marcxml | cat"
    )
    _, mrc, _ = await piped(
        changed, "bibsync records show a --collection springfield --format mrc --version 1 | cat"
    )

    assert old.out.startswith("springfield, a, version 1\nvalid from 2024-05-10T12:00:00Z\n")
    assert "=245  10$aOld\n" in old.out
    assert (document.document["version"], document.document["replaced_by"]) == (1, 18)
    assert {"001": "a"} in document.document["marc"]["fields"]
    assert (current.document["title"], current.document["description"]) == ("Newest", None)
    assert mnemonic.out.startswith("=LDR  01034nam a22002413a 4500\n=001  a\n")
    assert {"leader", "fields"} == marc.document.keys()
    assert '"New"' in marc.out
    assert [each["245"]["a"] for each in pymarc.parse_xml_to_array(io.BytesIO(xml))] == ["Newest"]
    assert [each["245"]["a"] for each in pymarc.MARCReader(mrc)] == ["Old"]
    assert code == 0


async def test_a_description_is_shown_and_is_the_last_word_of_the_json(
    changed: Installation, database: str
):
    described = (
        '{"title": "Siege", "subtitle": "", "authors": [{"name": "Okafor, Grace",'
        ' "role": "Author"}, {"name": "Ó Sé, Áine", "role": ""}],\n "genres": ["Fantasy", "War"],'
        ' "holds": 0, "published": null, "cover_url": "http://x/y.jpg", "other": {"Size": "1"}}'
    )
    await change(
        database,
        "insert into titles (collection, control_number, wanted_since, looked_up_at, description)"
        " values (1, 'a', $1, $1, $2)",
        AT,
        described,
    )

    text = await changed.run("records", "show", "a", *OF)
    document = await changed.run("records", "show", "a", *OF, "--json")
    export = await changed.run("records", "export", *OF)

    assert text.out.endswith(
        "\n\ndescription, looked up 2024-05-10T12:00:00Z\n"
        "title           Siege\n"
        "authors         Okafor, Grace (Author)\n"
        "                Ó Sé, Áine\n"
        "genres          Fantasy\n"
        "                War\n"
        "holds           0\n"
        "cover url       http://x/y.jpg\n"
        "other           Size 1\n"
    )
    assert "description" == list(document.document)[-1]
    assert json.loads(described) == document.document["description"]
    assert [json.loads(described), None] == [each["description"] for each in export.documents]


FORMATS = ("jsonl", "mrc", "marcxml", "csv")


def read_back(form: str, body: bytes, folder: Path) -> list[str]:
    """Return the titles that an export holds."""
    match form:
        case "jsonl":
            return [json.loads(line)["title"] for line in body.splitlines()]
        case "csv":
            assert body.startswith(codecs.BOM_UTF8)
            rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""))
            return [each["title"] for each in rows]
        case "mrc":
            path = folder / "again.mrc"
            path.write_bytes(body)
            told = list(iso2709.read_file(path))
            path.unlink()
        case _:
            assert b'<?xml version="1.0" encoding="UTF-8"?>\n<collection xmlns=' in body[:80]
            told = [read(raw) for raw in cut(body)]
    assert all(isinstance(each, Record) for each in told)
    return [each.title for each in told if isinstance(each, Record)]


@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_holds_every_record_through_a_pipe_and_as_a_file(
    changed: Installation, folder: Path, form: str
):
    suffix = {"marcxml": "xml"}.get(form, form)
    command = f"bibsync records export --collection springfield --format {form}"

    code, out, err = await piped(changed, f"{command} --output - | cat")
    named = await changed.run("records", "export", *OF, "--output", folder / f"all.{suffix}")
    later = await changed.run(
        "records", "export", *OF, "--output", folder / f"late.{suffix}", "--since", "2024-05-12"
    )

    assert (code, err) == (0, b"")
    assert ["Newest", "Other"] == read_back(form, out, folder)
    assert (named.code, named.out) == (later.code, later.out) == (0, "")
    assert out == (folder / f"all.{suffix}").read_bytes()
    assert ["Newest"] == read_back(form, (folder / f"late.{suffix}").read_bytes(), folder)
    assert {"bibsync.toml", f"all.{suffix}", f"late.{suffix}"} == set(changed.files())
    assert "2 records written to " in named.err


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("s.jsonl", "jsonl"), ("s.ndjson", "jsonl"), ("s", "jsonl"), ("s.MRC", "mrc")),
        *(("s.marc", "mrc"), ("s.xml", "marcxml"), ("s.marcxml", "marcxml"), ("s.csv", "csv")),
    ],
)
async def test_the_name_of_the_file_tells_the_format_and_the_last_sentence_names_it(
    changed: Installation, folder: Path, name: str, form: str
):
    ended = await changed.run("records", "export", *OF, "--output", name)

    assert (0, f"2 records written to {name} ({form}).\n") == (ended.code, ended.err)
    assert ["Newest", "Other"] == read_back(form, (folder / name).read_bytes(), folder)


async def test_an_ending_that_nobody_knows_is_refused_unless_the_format_is_given(
    changed: Installation,
):
    export = ("records", "export", *OF, "--output", "s.weird")

    refused = await changed.run(*export)
    given = await changed.run(*export, "--format", "csv")

    assert (2, "", 0) == (refused.code, refused.out, given.code)
    assert "--output: the ending .weird tells no format." in refused.err
    assert "Give --format too: jsonl, mrc, marcxml, csv." in refused.err
    assert "2 records written to s.weird (csv).\n" == given.err


async def test_on_a_terminal_text_is_printable_and_mrc_is_refused(
    installation: Installation, database: str
):
    installation.configure([ONE])
    await keep(database, [made("a", "Bad \x9b2J title")])

    shown = {
        form: await installation.run_on_a_terminal("records", "export", *OF, "--format", form)
        for form in FORMATS
    }
    refused = await installation.run_on_a_terminal("records", "show", "a", *OF, "--format", "mrc")

    assert {"jsonl": 0, "mrc": 2, "marcxml": 0, "csv": 0} == {
        form: ended.code for form, ended in shown.items()
    }
    assert not any("\x9b" in ended.out or "\ufeff" in ended.out for ended in shown.values())
    assert all("Bad " in shown[form].out for form in ("jsonl", "marcxml", "csv"))
    assert refused.code == 2
    assert "mrc is binary, and no terminal can show it." in refused.out
    assert "Give --output FILE" in shown["mrc"].out


@pytest.fixture
async def oversize(installation: Installation, database: str) -> Installation:
    """Return an installation with three records, of which `b` is too large for ISO 2709."""
    installation.configure([ONE])
    await keep(database, [made("a", "First"), made("b", "x" * 20_000), made("c", "Third")])
    return installation


async def test_a_record_that_mrc_cannot_hold_is_told_and_kept_beside_it_and_spoils_nothing(
    oversize: Installation, folder: Path, database: str
):
    export = ("records", "export", *OF, "--format", "mrc")

    ended = await oversize.run(*export, "--output", folder / "all.mrc")
    aside = (folder / "all.oversize.xml").read_bytes()
    body = (folder / "all.mrc").read_bytes()
    code, out, err = await piped(
        oversize, "bibsync records export --collection springfield --format mrc | cat"
    )
    shown = await oversize.run("records", "show", "b", *OF, "--format", "mrc")
    device = await oversize.run(*export, "--output", os.devnull)
    await change(database, "delete from records where control_number = 'b'")
    again = await oversize.run(*export, "--output", folder / "all.mrc")

    assert (ended.code, ended.out) == (3, "")
    assert "left out: b: field 245 has 20,005 bytes, of at most 9,999\n" in ended.err
    assert "2 records written to " in ended.err
    assert "1 record doesn't fit into mrc and is left out; see " in ended.err
    assert ["First", "Third"] == read_back("mrc", body, folder)
    assert ["x" * 20_000] == read_back("marcxml", aside, folder)
    assert (code, body, b"left out: b: field 245" in err) == (3, out, True)
    assert (shown.code, shown.out, "[does_not_fit]" in shown.err) == (3, "", True)
    assert device.code == 3
    assert again.code == 0
    assert ["all.mrc", "bibsync.toml"] == oversize.files()


async def test_of_many_that_do_not_fit_twenty_are_named_and_the_others_counted(
    installation: Installation, database: str, folder: Path
):
    installation.configure([ONE])
    await keep(database, [made(f"n{each:02}", "x" * 10_000) for each in range(23)])

    ended = await installation.run("records", "export", *OF, "--output", folder / "all.MRC.mrc")

    lines = ended.err.splitlines()
    assert ended.code == 3
    assert [f"left out: n{each:02}: " for each in range(20)] == [line[:15] for line in lines[:20]]
    assert lines[20] == "left out: 3 more"
    assert 23 == len(read_back("marcxml", (folder / "all.MRC.oversize.xml").read_bytes(), folder))


async def test_an_export_that_fails_leaves_both_files_as_they_were(
    oversize: Installation, folder: Path
):
    (folder / "all.oversize.xml").mkdir()
    oversize.write("all.mrc", "of yesterday")

    ended = await oversize.run("records", "export", *OF, "--output", folder / "all.mrc")

    assert (ended.code, ended.out) == (1, "")
    assert "all.oversize.xml can't be written" in ended.err
    assert oversize.read("all.mrc") == "of yesterday"
    assert ["all.mrc", "all.oversize.xml", "bibsync.toml"] == oversize.files()


@pytest.mark.parametrize("name", ["all.jsonl", "all.mrc"])
async def test_a_disk_that_fills_up_leaves_no_part_of_any_file(oversize: Installation, name: str):
    """Of a record too large for ISO 2709 it is the file beside the export that doesn't fit."""
    small = "export PYTHONDONTWRITEBYTECODE=1; ulimit -f 8; "
    line = f"{small} bibsync records export --collection springfield --output "

    code, out, err = await piped(oversize, line + name)

    assert (code, out) == (1, b"")
    assert b"[not_written]" in err
    assert ["bibsync.toml"] == oversize.files()


@pytest.mark.parametrize(
    "words",
    ["show a", "show a --format mrc", "history a --json", "diff a", "export --format marcxml"],
)
async def test_where_nobody_reads_the_output_nothing_is_wrong(changed: Installation, words: str):
    ours, theirs = os.pipe()
    os.close(ours)
    running = await changed.start("records", *words.split(), *OF, stdout=theirs)
    os.close(theirs)

    ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")


async def test_an_empty_collection_is_an_empty_document(installation: Installation):
    installation.configure([ONE])

    xml = await installation.run("records", "export", *OF, "--format", "marcxml")
    table = await installation.run("records", "export", *OF, "--format", "csv")
    unknown = await installation.run("records", "export", "--collection", "x", "--format", "csv")

    assert pymarc.parse_xml_to_array(io.BytesIO(xml.out.encode())) == []
    assert len(table.out.splitlines()) == 1
    assert [(0, ""), (0, ""), (10, "")] == [
        (xml.code, xml.err),
        (table.code, table.err),
        (unknown.code, unknown.out),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "export --collection springfield --format pdf",
        "show a --collection springfield --format csv",
        "show a --collection springfield --format json --json",
        "show a --collection springfield --version first",
        "diff a",
    ],
)
async def test_a_wrong_call_is_exit_2_before_anything_is_read(bare: Installation, words: str):
    ended = await bare.run("records", *words.split())

    assert (ended.code, ended.out) == (2, "")
