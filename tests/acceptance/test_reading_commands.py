"""What can be looked at: records, rejects, configuration, schema; reading creates nothing."""

import asyncio
import base64
import json
import os
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
from installation import NOWHERE, PASSWORD, Installation
from watched import Watched, library, served

from bibsync.simulator import Defect

ONE = {"name": "springfield", "library_id": "x", "base_url": NOWHERE}
RECORD = {
    "collection": str,
    "control_number": str,
    "title": str,
    "author": str,
    "isbns": list,
    "publisher": str,
    "published": str,
    "language": str,
    "subjects": list,
    "format": str,
    "cover_url": str,
    "version": int,
    "fingerprint": str,
    "first_seen": str,
    "last_seen": str,
    "last_changed": str,
    "withdrawn": bool,
    "marc": dict,
}
REJECT = {
    "id": int,
    "collection": str,
    "run": int,
    "window_start": str,
    "window_end": str,
    "position": int,
    "reason": str,
    "message": str,
    "first_seen": str,
    "last_seen": str,
    "attempts": int,
    "state": str,
}


END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


def is_file(path: str) -> bool:
    return Path(path).is_file()


READING = [
    "status",
    "rejects list",
    "rejects list --collection springfield",
    "records export --collection springfield",
    "records waiting --collection springfield",
    "run-once --all --dry-run --json",
    "db status --json",
]


@pytest.mark.parametrize("command", READING)
async def test_reading_where_nobody_set_up_anything_is_exit_0_and_creates_nothing(
    bare: Installation, command: str
):
    bare.configure([ONE])

    ended = await bare.run(*command.split())

    assert ended.code == 0, ended.err
    assert ["bibsync.toml"] == bare.files()


async def test_reading_an_empty_database_shows_nothing_and_writes_nothing(
    installation: Installation, database: str
):
    installation.configure([ONE])
    conn = await asyncpg.connect(database)
    await conn.execute("drop schema public cascade; create schema public")

    codes = [(await installation.run(*command.split())).code for command in READING]

    tables = await conn.fetchval("select count(*) from pg_tables where schemaname = 'public'")
    await conn.close()
    assert ([0] * len(READING), 0) == (codes, tables)


async def test_a_configured_collection_that_never_ran_has_no_records_and_an_unknown_one_is_exit_10(
    installation: Installation,
):
    installation.configure([ONE])

    known = await installation.run("records", "export", "--collection", "springfield")
    unknown = await installation.run("records", "export", "--collection", "springfeld")

    assert ((0, ""), (10, "")) == ((known.code, known.out), (unknown.code, unknown.out))
    assert 'There is no collection "springfeld".' in unknown.err


async def test_export_hands_on_every_record_with_the_contract_s_fields(
    installation: Installation, vendor: Watched, folder: Path
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    export = ("records", "export", "--collection", "springfield")

    ended = await installation.run(*export, "--format", "jsonl")
    later = await installation.run(*export, "--since", "2999-01-01")
    named = await installation.run(*export, "--output", folder / "all.jsonl")

    each = ended.documents[0]
    assert {name: type(each[name]) for name in RECORD} == RECORD
    assert len(ended.documents) == len({each["control_number"] for each in ended.documents}) == 120
    assert {"springfield"} == {each["collection"] for each in ended.documents}
    assert (each["version"], each["withdrawn"]) == (1, False)
    assert len(bytes.fromhex(each["fingerprint"])) == 32
    assert all(each[seen].endswith("Z") for seen in ("first_seen", "last_seen", "last_changed"))
    assert each["marc"].keys() == {"leader", "fields"}
    assert {"001": each["control_number"]} in each["marc"]["fields"]
    assert (later.code, later.out) == (0, "")
    assert (named.code, named.out) == (0, "")
    assert ended.out == installation.read("all.jsonl")
    assert {"all.jsonl", "bibsync.toml"} == set(installation.files())


@pytest.mark.parametrize(
    ("where", "remedy"),
    [
        ("missing/all.jsonl", "Make that folder first"),
        ("", "That is a folder: name a file in it."),
        ("/dev/full", "Free some space there"),
        ("/", "That is a folder: name a file in it."),
    ],
)
async def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(
    installation: Installation, vendor: Watched, where: str, remedy: str
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all", "--since", "20d")

    ended = await installation.run(
        "records", "export", "--collection", "springfield", "--output", where
    )

    assert (ended.code, ended.out) == (1, "")
    assert "can't be written" in ended.err.splitlines()[0]
    assert "[not_written]" in ended.err.splitlines()[0]
    assert remedy in ended.err.splitlines()[1]
    assert ["bibsync.toml"] == installation.files()
    assert not is_file("/dev/full")


async def test_a_database_that_goes_away_in_mid_export_is_exit_7_in_one_sentence(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all")
    ours, theirs = os.pipe()
    export = ("records", "export", "--collection", "springfield")
    running = await installation.start(*export, stdout=theirs)
    os.close(theirs)
    await asyncio.to_thread(os.read, ours, 1)  # a full pipe holds it until somebody reads on

    conn = await asyncpg.connect(database)
    await conn.execute(END_SESSIONS)
    await conn.close()
    drained = asyncio.create_task(asyncio.to_thread(_drain, ours), name="reader")
    ended = await running.ended()
    await drained

    assert ended.code == 7
    assert "The database can't be reached" in ended.err
    assert len(ended.err.splitlines()) == 2


def _drain(descriptor: int) -> None:
    while os.read(descriptor, 1 << 16):
        pass
    os.close(descriptor)


async def test_an_export_keeps_the_old_file_where_the_new_one_fails(
    installation: Installation, folder: Path
):
    installation.configure([ONE])
    installation.write("all.jsonl", "of yesterday\n")

    ended = await installation.run(
        "records", "export", "--collection", "nobody", "--output", folder / "all.jsonl"
    )

    assert ended.code == 10
    assert installation.read("all.jsonl") == "of yesterday\n"


async def test_a_record_is_shown_field_by_field_or_as_the_export_has_it(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all", "--since", "20d")
    exported = await installation.run("records", "export", "--collection", "springfield")
    number = exported.documents[0]["control_number"]
    show = ("records", "show", "--collection", "springfield")

    text = await installation.run(*show, f" {number} ")
    document = await installation.run(*show, number, "--json")
    none = [await installation.run(*show, wrong) for wrong in ("nothing", "\udcff")]

    assert (text.code, document.code) == (0, 0)
    assert text.out.startswith(f"springfield, {number}, version 1\n")
    assert f"=001  {number}\n" in text.out
    assert exported.documents[0] == document.document
    assert [10, 10] == [each.code for each in none]


async def test_rejects_are_listed_and_shown_with_their_bytes(installation: Installation):
    bad = library(bad=0.2, defects=[Defect.NO_001, Defect.BROKEN_XML])
    async with served(Watched([bad])) as vendor:
        installation.configure(vendor.collections())
        await installation.run("run-once", "--all")
        _, reasons = vendor.must_have("springfield")

    listed = await installation.run("rejects", "list", "--json")
    chosen = await installation.run(
        "rejects", "list", "--reason", "missing_control_number", "--collection", "springfield"
    )
    first = next(each for each in listed.documents if each["reason"] == "unreadable_record")
    shown = await installation.run("rejects", "show", first["id"], "--json")
    text = await installation.run("rejects", "show", first["id"])
    none = [await installation.run("rejects", "show", number) for number in (10**6, 10**30)]

    assert {name: type(first[name]) for name in REJECT} == REJECT
    assert (first["state"], first["attempts"]) == ("open", 1)
    assert first["window_start"] < first["window_end"]
    assert len(listed.documents) == reasons.total()
    assert len(chosen.out.splitlines()) == reasons["missing_control_number"] > 0
    assert first == {name: shown.document[name] for name in first}
    raw = base64.b64decode(shown.document["raw_base64"])
    assert raw.startswith(b"<")
    assert raw[:40].decode() in text.out  # no form of MARC, which is what a readable one has
    assert [10, 10] == [each.code for each in none]


async def test_config_check_tells_every_problem_with_its_line(bare: Installation):
    bare.configure([{"libary_id": "x", "name": "main", "base_url": "nowhere"}], sync="retries = 99")
    lines = bare.config.read_text().splitlines()
    where = {line.split(" =")[0]: number for number, line in enumerate(lines, start=1)}

    ended = await bare.run("config", "check")

    assert (ended.code, ended.out) == (5, "")
    assert ended.err.splitlines()[1].startswith(
        f'bibsync.toml:{where["libary_id"]}: collections "main": unknown key "libary_id"; '
        'did you mean "library_id"?'
    )
    assert f"bibsync.toml:{where['retries']}: sync: retries" in ended.err
    assert f'bibsync.toml:{where["base_url"]}: collections "main": base_url' in ended.err
    assert "3 problems. Nothing was started or changed." in ended.err


async def test_config_show_tells_each_value_and_its_origin_and_masks_secrets(
    installation: Installation,
):
    installation.configure([ONE])

    ended = await installation.run("config", "show", "--json", BIBSYNC_SYNC__RETRIES="7")

    shown = {each["key"]: (each["value"], each["origin"]) for each in ended.documents}
    assert shown["sync.retries"] == ("7", "BIBSYNC_SYNC__RETRIES")
    assert shown["daemon.concurrency"] == ("8", "default")
    assert shown["database.url"][1] == "bibsync.toml:3"
    assert shown["collections.springfield.account_key"][0] != ""
    assert PASSWORD not in json.dumps(shown)


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "FILE", "config", "check"],
        ["config", "--config", "FILE", "check"],
        ["config", "check", "--debug", "--config", "FILE"],
        ["config", "check", "--config=FILE"],
    ],
    ids=" ".join,
)
async def test_the_configuration_may_be_named_anywhere_on_the_line(
    bare: Installation, words: list[str]
):
    bare.configure([ONE])
    bare.config.rename(bare.folder / "elsewhere.toml")
    wrong = str(bare.folder / "nothing.toml")

    ended = await bare.run(
        *(word.replace("FILE", "elsewhere.toml") for word in words), BIBSYNC_CONFIG=wrong
    )

    assert (ended.code, ended.out) == (0, "elsewhere.toml: all is well, 1 collection.\n")


async def test_a_configuration_that_is_named_and_not_there_is_exit_5(bare: Installation):
    ended = await bare.run("status", "--config", "nothing.toml")

    assert ended.code == 5
    assert '--config: there is no file "nothing.toml"' in ended.err


async def test_an_outdated_schema_is_exit_7_until_it_is_upgraded(
    installation: Installation, vendor: Watched, database: str
):
    conn = await asyncpg.connect(database)
    await conn.execute("drop schema public cascade; create schema public")
    await conn.close()
    installation.configure(vendor.collections())
    never = {"BIBSYNC_DATABASE__UPGRADE": "never"}

    refused = await installation.run("run-once", "--all", **never)
    upgraded = await installation.run("db", "upgrade", "--json")
    again = await installation.run("db", "upgrade", "--json")
    state = await installation.run("db", "status")
    accepted = await installation.run("run-once", "--all", "--since", "1d", **never)

    assert [7, 0, 0, 0, 0] == [e.code for e in (refused, upgraded, again, state, accepted)]
    assert "`bibsync db upgrade`" in refused.err
    assert upgraded.document["applied"][0] == "0001_initial.sql"
    assert again.document["applied"] == []
    assert state.out.startswith("0001_initial.sql\tapplied\n")


async def test_a_schema_of_a_newer_program_is_exit_7_for_all(
    installation: Installation, database: str
):
    conn = await asyncpg.connect(database)
    await conn.execute("insert into schema_migrations values (9999, '9999_later.sql', '')")
    await conn.close()
    installation.configure([ONE])

    ended = [
        await installation.run(*command.split())
        for command in ("run-once --all", "status", "db status", "db upgrade")
    ]

    assert [7] * 4 == [each.code for each in ended]
    assert all("made by a newer one" in each.err for each in ended)


async def test_times_are_shown_in_the_configured_zone_and_told_in_utc(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    await installation.run("run-once", "--all", "--since", "1d")

    table = await installation.run_on_a_terminal("status", BIBSYNC_TIMEZONE="Asia/Tokyo")
    piped = await installation.run("status", BIBSYNC_TIMEZONE="Asia/Tokyo")
    stream = await installation.stream(BIBSYNC_TIMEZONE="Asia/Tokyo")

    success = datetime.fromisoformat(stream["last_success"])
    hour = (success.hour + 9) % 24
    assert "LAST SUCCESS (JST)" in table.out
    assert f" {hour:02d}:{success:%M} " in table.out
    assert stream["last_success"] in piped.out
    assert stream["last_success"].endswith("Z")
