"""doctor: what it finds where all is well, and where each thing in turn is not."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import redis_server as redis_servers
from installation import ACCOUNT_KEY, NOWHERE, PASSWORD, Ended, Installation
from redis_server import RedisServer
from watched import Watched, library, served

from bibsync import examination
from bibsync.examination import State, place
from bibsync.simulator import Defect, Faults

FIELDS = {
    *("type", "check", "collection", "state", "message", "remedy", "code", "transient"),
    "duration_s",
}
SHARED = ["configuration", "state_folder", "database.connection"]
TABLES = [*SHARED, "database.rights", "database.schema"]
VENDOR = ["vendor.address", "vendor.clock", "vendor.login", "vendor.page"]
HOUR = 3600.0
EMPTY = "drop schema public cascade; create schema public"
STORED = "select relname from pg_class where relnamespace = 'public'::regnamespace order by 1"
NEWER = "insert into schema_migrations values (9999, '9999_x.sql', '')"
OLDER = "delete from schema_migrations where version > 1"


@pytest.fixture(params=redis_servers.kinds())
def guarded(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Return a Redis that wants a password."""
    with redis_servers.opened(request.param, "--requirepass", PASSWORD) as server:
        yield server


def checks(ended: Ended) -> list[tuple[str, str]]:
    """Return check and state of every line, in order."""
    return [(each["check"], each["state"]) for each in ended.documents[:-1]]


def of(ended: Ended, check: str, collection: str | None = "springfield") -> dict[str, Any]:
    """Return the only finding of a check, the collection's or everybody's."""
    [found] = [
        each
        for each in ended.documents[:-1]
        if each["check"] == check and each["collection"] in (collection, None)
    ]
    return found


async def test_where_all_is_well_each_check_passes_and_nothing_is_written(
    installation: Installation, vendor: Watched, database: str
):
    installation.configure(vendor.collections())
    conn = await asyncpg.connect(database)

    ended = await installation.run("doctor", "--json")

    rows = await conn.fetchval("select count(*) from collections")
    await conn.close()
    assert (ended.code, ended.err) == (0, "")
    assert [(check, "passed") for check in (*TABLES, *VENDOR)] == checks(ended)
    assert all(each.keys() == FIELDS for each in ended.documents[:-1])
    assert {"type": "summary", "passed": 9, "warnings": 0, "failed": 0} == ended.documents[-1]
    assert {None, "springfield"} == {each["collection"] for each in ended.documents[:-1]}
    assert all(0 <= each["duration_s"] < 60 for each in ended.documents[:-1])
    assert re.fullmatch(
        r"\d+ records of the last 31 days on the first page, all of them readable\.",
        of(ended, "vendor.page")["message"],
    )
    assert 1 == vendor.requests
    assert ["bibsync.toml"] == installation.files()
    assert 0 == rows


async def test_through_a_pipe_come_lines_with_tabs_and_on_a_terminal_words_and_remedies(
    installation: Installation, vendor: Watched
):
    installation.configure(
        [*vendor.collections(), {"name": "no\u202ebody", "library_id": "x", "base_url": NOWHERE}]
    )

    piped = await installation.run("doctor")
    typed = await installation.run_on_a_terminal("doctor")
    chosen = await installation.run("doctor", "--collection", "springfield")

    rows = [line.split("\t") for line in piped.out.splitlines()]
    assert [8, 8, 0] == [piped.code, typed.code, chosen.code]
    assert {5} == {len(row) for row in rows}
    assert ["failed", "vendor.address", "no\\u202ebody"] == rows[-1][:3]
    assert rows[-1][3].endswith(
        "can't be reached. Not checked therefore: vendor.clock, vendor.login, vendor.page. "
        "[source_busy]"
    )
    assert rows[-1][4].startswith("Check this machine's network, and base_url")
    assert "9 passed, 0 warnings, 1 failed.\n" == piped.err
    assert "passed    vendor.login         springfield: The vendor accepts the account" in typed.out
    assert "failed    vendor.address       no\\u202ebody: cloudLibrary at " in typed.out
    assert re.search(r"\n {31}Check this machine's network", typed.out)
    assert "9 passed, 0 warnings, 1 failed." in typed.out
    assert "9 passed, 0 warnings, 0 failed.\n" == chosen.err


async def test_collections_are_told_in_the_file_s_order_whoever_answers_first(
    bare: Installation,
):
    names = ["slow", "quick", "nobody"]
    vendor = Watched([library(name) for name in names[:2]])
    vendor.next_answers("slow", ["http_502"])  # a second later it is asked again
    async with served(vendor):
        nobody = {"name": "nobody", "library_id": "x", "base_url": NOWHERE}
        bare.configure([*vendor.collections(), nobody])

        ended = await bare.run("doctor", "--json")

    told = [each["collection"] for each in ended.documents[3:-1]]
    assert ["slow"] * 4 + ["quick"] * 4 + ["nobody"] == told
    assert "passed" == of(ended, "vendor.page", "slow")["state"]
    assert (8, 1) == (ended.code, ended.documents[-1]["failed"])


@pytest.mark.parametrize(
    ("faults", "found", "code", "words"),
    [
        ("html", ["passed", "passed", None, "failed"], "source_busy", "sent no page of records"),
        ("http_502", ["passed", "passed", None, "failed"], "source_busy", "502 (Bad Gateway)"),
        ("error_document", ["passed", "passed", None, "failed"], "source_busy", "with an error"),
        ("redirect", ["failed", "passed", None, None], "source_misconfigured", "elsewhere.invalid"),
        ("not_found", ["passed", "passed", "failed", None], "source_misconfigured", "404"),
        ("timeout", ["failed", None, None, None], "source_timed_out", "no whole answer within 1"),
        ("blank", ["passed", "passed", "passed", "warning"], None, "was blank"),
    ],
)
async def test_each_foreign_answer_is_told_under_the_check_it_speaks_of(
    bare: Installation, faults: str, found: list[str | None], code: str | None, words: str
):
    async with served(Watched([library()], faults=Faults.parse(f"{faults}=1"))) as vendor:
        bare.configure(vendor.collections(timeout="1s"))

        ended = await bare.run("doctor", "--json")

    expected = [(check, state) for check, state in zip(VENDOR, found, strict=True) if state]
    told = [each for each in ended.documents[3:-1] if each["state"] != "passed"]
    assert expected == checks(ended)[3:]
    assert [(code, True)] == [(each["code"], words in each["message"]) for each in told]
    assert told[0]["remedy"]
    silent = [check for check, state in zip(VENDOR, found, strict=True) if not state]
    named = f" Not checked therefore: {', '.join(silent)}." if silent else ""
    assert told[0]["message"].partition(" Not checked")[1:] == named.partition(" Not checked")[1:]
    assert (0 if code is None else 8) == ended.code
    assert (2 if faults not in {"redirect", "blank"} else 1) == vendor.requests


async def test_a_wrong_key_and_an_unknown_library_fail_the_login(bare: Installation):
    other = "another-" + ACCOUNT_KEY[::-1]
    async with served(Watched([library(), library("shelbyville")])) as vendor:
        [one, two] = vendor.collections()
        bare.configure([one | {"account_key": other}, two | {"library_id": "shelbivylle"}])

        ended = await bare.run("doctor", "--json")

    assert 8 == ended.code
    refused = of(ended, "vendor.login")
    unknown = of(ended, "vendor.login", "shelbyville")
    assert ("failed", "credentials_refused") == (refused["state"], refused["code"])
    assert "refuses the credentials" in refused["message"]
    assert "account_key" in refused["remedy"]
    assert ("failed", "source_misconfigured") == (unknown["state"], unknown["code"])
    assert "library_id" in unknown["remedy"]
    assert other not in ended.out + ended.err


@pytest.mark.parametrize(
    ("skew_s", "state", "words"),
    [
        (30.0, "passed", "apart."),
        (120.0, "warning", "2 minutes behind the vendor's"),
        (HOUR, "failed", "60 minutes behind the vendor's"),
        (-3 * HOUR, "failed", "3.0 hours ahead of the vendor's"),
    ],
)
async def test_a_wrong_clock_is_told_with_what_it_means_and_the_login_passes_all_the_same(
    bare: Installation, skew_s: float, state: str, words: str
):
    async with served(Watched([library()], clock_skew_s=skew_s)) as vendor:
        bare.configure(vendor.collections())

        ended = await bare.run("doctor", "--json")

    clock = of(ended, "vendor.clock")
    assert (state, True) == (clock["state"], words in clock["message"])
    assert "passed" == of(ended, "vendor.login")["state"]
    assert ("new titles are found" in clock["message"]) == (skew_s > 60)
    assert (8 if state == "failed" else 0) == ended.code


@pytest.mark.parametrize(
    ("settings", "state", "words"),
    [
        ({"titles": 0}, "warning", "there are no records of the last 31 days"),
        (
            {"bad": 0.5, "defects": [Defect.NO_001]},
            "warning",
            r"\d+ would be set aside: \d+ without a control number \(001\)\.",
        ),
        (
            {"bad": 1.0, "defects": [Defect.NO_001]},
            "failed",
            "every one would be set aside: [0-9]+ without a control number",
        ),
        ({"titles": 3000}, "passed", "^50 records of the last 31 days on the first page, all"),
    ],
)
async def test_the_page_is_read_and_what_would_be_set_aside_is_counted(
    bare: Installation, settings: dict[str, Any], state: str, words: str
):
    async with served(Watched([library(**settings)])) as vendor:
        bare.configure(vendor.collections())

        ended = await bare.run("doctor", "--json")

    page = of(ended, "vendor.page")
    assert state == page["state"]
    assert re.search(words, page["message"])
    assert (page["remedy"] is None) == (state == "passed")
    assert (8 if state == "failed" else 0) == ended.code


async def test_a_database_that_is_down_stops_no_other_check(bare: Installation, vendor: Watched):
    bare.database = f"postgresql://bibsync:{PASSWORD}@127.0.0.1:9/bibsync"
    bare.configure(vendor.collections())

    ended = await bare.run("doctor", "--json")

    found = of(ended, "database.connection")
    assert ("failed", "database_unavailable") == (found["state"], found["code"])
    assert "nothing listens at its address" in found["message"]
    assert found["message"].endswith("Not checked therefore: database.rights, database.schema.")
    assert VENDOR == [check for check, _ in checks(ended)[3:]]
    assert (8, 1) == (ended.code, ended.documents[-1]["failed"])


@pytest.mark.parametrize("empty", [False, True])
async def test_a_database_that_may_not_be_written_fails(
    installation: Installation, database: str, *, empty: bool
):
    conn = await asyncpg.connect(database)
    name = await conn.fetchval("select current_database()")
    if empty:
        await conn.execute("drop schema public cascade; create schema public")
    await conn.execute(f"alter database {name} set default_transaction_read_only = on")
    await conn.close()
    installation.configure()

    ended = await installation.run("doctor", "--json")

    found = of(ended, "database.rights")
    assert ("failed", "database_unavailable") == (found["state"], found["code"])
    assert "The database is read-only." == found["message"]
    assert "passed" == of(ended, "database.connection")["state"]
    assert 8 == ended.code


@pytest.mark.parametrize(
    ("sql", "upgrade", "told"),
    [
        (EMPTY, "auto", ("passed", "no tables yet")),
        (EMPTY, "never", ("failed", 'is "never"')),
        (OLDER, "auto", ("warning", "of an older bibsync")),
        (OLDER, "never", ("failed", "schema lacks 0002_")),
        (NEWER, "auto", ("failed", "newer")),
    ],
)
async def test_the_schema_is_judged_by_what_the_next_run_would_do(
    installation: Installation, database: str, sql: str, upgrade: str, told: tuple[str, str]
):
    conn = await asyncpg.connect(database)
    await conn.execute(sql)
    before = await conn.fetch(STORED)
    installation.configure()

    ended = await installation.run("doctor", "--json", BIBSYNC_DATABASE__UPGRADE=upgrade)

    after = await conn.fetch(STORED)
    await conn.close()
    assert before == after
    (state, words), found = told, of(ended, "database.schema")
    assert (state, True) == (found["state"], words in found["message"])
    assert (8 if state == "failed" else 0) == ended.code


async def test_a_run_under_way_is_told_and_no_fault(installation: Installation, vendor: Watched):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "timeout"])
    running = await installation.start("run-once", "--all")
    await vendor.asked(2)

    ended = await installation.run("doctor", "--json")
    running.kill()
    await running.ended()

    lease = of(ended, "collection.lease")
    assert ("passed", 0) == (lease["state"], ended.code)
    assert "A run of purchases is under way: " in lease["message"]


async def test_an_embedded_database_is_not_made_and_one_that_is_there_is_examined(
    embedded: Installation, vendor: Watched
):
    embedded.configure(vendor.collections())
    before = await embedded.run("doctor", "--json")
    left = embedded.files()
    await embedded.run("run-once", "--all", "--since", "1d")

    after = await embedded.run("doctor", "--json")

    assert (0, ["bibsync.toml"]) == (before.code, left)
    assert "will be made by the first run" in of(before, "database.connection")["message"]
    assert "the first run makes it" in of(before, "state_folder")["message"]
    assert (0, TABLES) == (after.code, [check for check, _ in checks(after)[:5]])
    assert of(after, "database.connection")["message"].startswith("The embedded PostgreSQL 1")


async def test_a_state_folder_that_can_t_be_fails_and_where_it_isn_t_needed_warns(
    installation: Installation, embedded: Installation
):
    embedded.write("file", "")
    nowhere = str(embedded.folder / "file" / "state")
    embedded.configure()
    failing = await embedded.run("doctor", "--json", BIBSYNC_STATE_DIR=nowhere)
    refused = await embedded.run("db", "upgrade", BIBSYNC_STATE_DIR=nowhere)
    installation.configure()

    warned = await installation.run("doctor", "--json", BIBSYNC_STATE_DIR=nowhere)

    assert (8, "failed") == (failing.code, of(failing, "state_folder")["state"])
    assert (0, "warning") == (warned.code, of(warned, "state_folder")["state"])
    assert "/file doesn't allow it." in of(failing, "state_folder")["message"]
    unmade = of(failing, "database.connection")
    assert ("failed", "database_unavailable") == (unmade["state"], unmade["code"])
    assert "can't be made in " in unmade["message"]
    assert (7, True) == (refused.code, "can't be used: Not a directory. [" in refused.err)


@pytest.mark.parametrize(
    ("free", "state", "words"),
    [
        (1 << 30, State.PASSED, "1.0 GiB are free"),
        ((1 << 30) - 1, State.WARNING, "only 1023 MiB left"),
        (100 << 20, State.WARNING, "only 100 MiB left"),
        ((100 << 20) - 1, State.FAILED, "only 99 MiB left"),
    ],
)
def test_little_space_warns_and_hardly_any_fails(free: int, state: State, words: str):
    finding = place.room("The state folder /x", free)

    assert (state, True) == (finding.state, words in finding.message)


async def test_a_check_that_does_not_come_to_an_end_is_given_up():
    [finding] = await examination._within("redis", 0.01, asyncio.Event().wait())

    assert ("redis", State.FAILED) == (finding.check, finding.state)
    assert "didn't come to an end" in finding.message


async def test_redis_is_examined_where_one_is_configured(bare: Installation, guarded: RedisServer):
    found = {}
    for word, login in (("right", f":{PASSWORD}@"), ("wrong", f":{ACCOUNT_KEY}@"), ("none", "")):
        url = guarded.url.replace("://", f"://{login}")

        found[word] = await bare.run("doctor", "--json", BIBSYNC_REDIS_URL=url)
    away = await bare.run("doctor", "--json", BIBSYNC_REDIS_URL="redis://127.0.0.1:9")

    told = {word: of(each, "redis") for word, each in found.items()}
    assert ["passed", "failed", "failed"] == [each["state"] for each in told.values()]
    assert [None, "redis_unavailable", "redis_unavailable"] == [e["code"] for e in told.values()]
    assert "refuses the user or the password" in told["wrong"]["message"]
    assert "nothing listens at its address" in of(away, "redis")["message"]
    assert [0, 8, 8, 8] == [each.code for each in (*found.values(), away)]


async def test_an_unknown_collection_and_a_broken_configuration_have_their_own_codes(
    bare: Installation,
):
    bare.configure([{"name": "springfield", "library_id": "x", "base_url": NOWHERE}])
    unknown = await bare.run("doctor", "--collection", "springfeld", "--json")
    bare.configure(sync="retries = 99\ntimeout = 7")

    broken = await bare.run("doctor", "--json")
    plain = await bare.run("doctor")

    assert ((10, ""), 5, (5, "")) == (
        (unknown.code, unknown.out),
        broken.code,
        (plain.code, plain.out),
    )
    assert 'The configuration has: "springfield".' in unknown.err
    assert broken.err == plain.err
    assert [("configuration", "failed")] * 2 == checks(broken)
    assert all(each.keys() == FIELDS for each in broken.documents[:-1])
    assert [each["message"] for each in broken.documents[:-1]] == plain.err.splitlines()[:2]
    assert "sync: retries is 99" in plain.err
    assert {"type": "summary", "passed": 0, "warnings": 0, "failed": 2} == broken.documents[-1]


async def test_what_the_configuration_warns_of_is_told_as_a_warning_once(bare: Installation):
    one = {"name": "one", "library_id": "x", "base_url": "http://vendor.invalid/"}
    bare.configure([one])
    bare.config.chmod(0o644)

    ended = await bare.run("doctor", "--json")

    told = Counter(
        each["state"] for each in ended.documents if each.get("check") == "configuration"
    )
    assert Counter(warning=2) == told
    assert "" == ended.err
    assert "can't be found (DNS)" in of(ended, "vendor.address", "one")["message"]


async def test_without_a_configuration_or_a_collection_a_warning_says_what_to_do(
    bare: Installation,
):
    empty = await bare.run("doctor", "--json")
    bare.config.unlink()

    nothing = await bare.run("doctor", "--json", BIBSYNC_STATE_DIR="state")

    assert (0, 0) == (empty.code, nothing.code)
    assert "names no collection" in of(empty, "configuration")["message"]
    assert "bibsync init" in of(nothing, "configuration")["remedy"]
    assert [] == bare.files()


async def test_whoever_reads_only_the_first_line_ends_it_quietly(bare: Installation):
    process = await asyncio.create_subprocess_exec(
        *bare.shell("bibsync doctor --json | head -1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=bare.folder,
        env=bare.environment(),
    )
    out, err = await process.communicate()

    assert (0, b"", 1) == (process.returncode, err, out.count(b"\n"))


async def test_a_collection_that_became_another_library_fails_as_the_next_run_would(
    installation: Installation, vendor: Watched
):
    [one] = vendor.collections()
    installation.configure([one])
    await installation.run("run-once", "--all", "--stream", "purchases")
    installation.configure([one | {"library_id": "shelbyville", "base_url": NOWHERE}])
    stays = await installation.run("status", "--json")

    ended = await installation.run("doctor", "--json")
    planned = await installation.run("run-once", "--all", "--dry-run", "--json")
    run = await installation.run("run-once", "--all", "--json")

    moved = [each for each in ended.documents if each.get("check") == "collection.library"]
    assert (8, 5, 5) == (ended.code, planned.code, run.code)
    assert ("", planned.err) == (planned.out, run.err)
    assert [("failed", "springfield", "config_invalid")] * 2 == [
        (each["state"], each["collection"], each["code"]) for each in moved
    ]
    assert [each["message"] for each in moved] == run.err.splitlines()[:2]
    assert "Give the collection a new name" in moved[0]["remedy"]
    assert stays.document == (await installation.run("status", "--json")).document | {
        "collections": stays.document["collections"]
    }


async def test_a_run_that_was_killed_is_no_run_under_way(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections(windows_at_once=1))
    vendor.next_answers("springfield", ["ok", "timeout"])
    running = await installation.start("run-once", "--all")
    await vendor.asked(2)
    running.kill()
    await running.ended()

    ended = await installation.run("doctor", "--json")

    assert "collection.lease" not in dict(checks(ended))
