"""Which accounts are synced: enrolled, disabled, put back, renamed, refused."""

import asyncio
import shlex
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from pydantic import SecretStr

from bibsync import fence, store
from bibsync.collection import Collection
from bibsync.errors import ConfigInvalid, LeaseLost, NotFound, UsageWrong
from bibsync.store import Connection, Pool, collections

MAIN = Collection(
    name="Main",
    source="bibliotheca",
    library_id="main",
    account_id="partner",
    account_key=SecretStr("key"),
    base_url="https://vendor.example/",
)
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
ROWS_OF_A_COLLECTION = (
    """insert into records values ($1, 'k', 1, '', '', '{}', '', '', '', '{}', '', '', '', '{}',
                                   '{}', now(), now(), null)""",
    "insert into record_states values ($1, 'k', '', '', 1, 1, now())",
    "insert into record_versions values ($1, 'k', 1, '', '{}', now(), now(), 1)",
    """insert into rejects (collection, stream, run, window_start, window_end, position, reason,
                            identity, message, raw, first_seen, last_seen)
       values ($1, 'purchases', 1, now(), now(), 1, 'x', '', '', '', now(), now())""",
    """insert into runs (collection, stream, trigger, replica, epoch, started)
       values ($1, 'purchases', 'person', 'host:7', 1, now())""",
    "insert into titles (collection, control_number, wanted_since) values ($1, 'k', now())",
    "insert into fences values ($1, 'purchases', 1, 'holder', 1)",
    """insert into leases values ($1, 'purchases', 'h', 'r', 'm', 1, 1, now(), now())""",
    """insert into lanes (collection, stream, lane, kind, from_at)
       values ($1, 'purchases', 0, 'live', now())""",
)
BRANCH = replace(MAIN, name="Branch", library_id="branch")


async def enrol(conn: Connection, *configured: Collection) -> dict[str, int]:
    async with conn.transaction():
        return await collections.enrol(conn, configured)


async def states(conn: Connection) -> dict[str, bool]:
    return {row.name: row.enabled for row in await collections.all_rows(conn)}


async def test_new_collections_are_added_and_keep_their_numbers(conn: Connection):
    numbers = await enrol(conn, MAIN, BRANCH)

    assert {"Main", "Branch"} == set(numbers)
    assert numbers == await enrol(conn, BRANCH, MAIN)
    assert await states(conn) == {"Main": True, "Branch": True}


async def test_a_collection_that_left_is_disabled_and_goes_on_when_put_back(conn: Connection):
    numbers = await enrol(conn, MAIN, BRANCH)

    assert {"Main": numbers["Main"]} == await enrol(conn, MAIN)
    assert await states(conn) == {"Main": True, "Branch": False}
    assert not await collections.is_enabled(conn, numbers["Branch"])

    assert numbers == await enrol(conn, MAIN, BRANCH)
    assert await collections.is_enabled(conn, numbers["Branch"])


async def test_the_moment_of_leaving_is_noted_once(conn: Connection):
    await enrol(conn, MAIN)
    left = "select left_file_at from collections"

    await enrol(conn)
    first = await conn.fetchval(left)
    await enrol(conn)

    assert first == await conn.fetchval(left)
    await enrol(conn, MAIN)
    assert await conn.fetchval(left) is None


async def test_a_new_name_with_the_account_that_left_is_a_renaming(conn: Connection):
    numbers = await enrol(conn, MAIN, BRANCH)

    with structlog.testing.capture_logs() as logged:
        renamed = await enrol(conn, replace(MAIN, name="Centre"), BRANCH)

    assert {"Centre": numbers["Main"], "Branch": numbers["Branch"]} == renamed
    assert await states(conn) == {"Centre": True, "Branch": True}
    assert [(e["event"], e["before"], e["collection"]) for e in logged] == [
        ("collection.renamed", "Main", "Centre")
    ]


async def test_a_collection_that_left_long_ago_is_renamed_too(conn: Connection):
    number = (await enrol(conn, MAIN))["Main"]
    await enrol(conn)

    assert {"Centre": number} == await enrol(conn, replace(MAIN, name="Centre"))


async def test_two_of_one_account_that_left_make_no_renaming(conn: Connection):
    """Which of them would it be?"""
    numbers = await enrol(conn, MAIN, replace(MAIN, name="Twin"))

    renamed = await enrol(conn, replace(MAIN, name="Centre"))

    assert renamed["Centre"] not in numbers.values()
    assert await states(conn) == {"Main": False, "Twin": False, "Centre": True}


async def test_of_two_new_names_one_is_the_renamed_and_one_is_new(conn: Connection):
    number = (await enrol(conn, MAIN))["Main"]

    numbers = await enrol(conn, replace(MAIN, name="A"), replace(MAIN, name="B"))

    assert number == numbers["A"]
    assert number != numbers["B"]


async def test_a_name_that_is_still_in_the_file_is_never_renamed(conn: Connection):
    number = (await enrol(conn, MAIN))["Main"]

    numbers = await enrol(conn, MAIN, replace(MAIN, name="Twin"))

    assert number == numbers["Main"]
    assert number != numbers["Twin"]


@pytest.mark.parametrize("word", ["source", "base_url", "library_id"])
@pytest.mark.parametrize("left", [False, True], ids=["in the file", "left the file"])
async def test_an_old_name_for_another_library_is_refused(conn: Connection, word: str, left: bool):  # noqa: FBT001 - parametrised
    await enrol(conn, MAIN)
    if left:
        await enrol(conn)
    before = await collections.all_rows(conn)

    with pytest.raises(ConfigInvalid) as refused:
        await enrol(conn, replace(MAIN, **{word: "another"}), BRANCH)

    assert len(refused.value.problems) == 1
    assert f'collections "Main": {word} was "{getattr(MAIN, word)}"' in refused.value.message
    assert before == await collections.all_rows(conn)


async def test_every_moved_collection_is_named_at_once(conn: Connection):
    await enrol(conn, MAIN, BRANCH)

    with pytest.raises(ConfigInvalid) as refused:
        await enrol(conn, *(replace(each, library_id="x", source="y") for each in (MAIN, BRANCH)))

    assert len(refused.value.problems) == 4


async def test_another_account_of_the_same_library_is_taken_over(conn: Connection):
    number = (await enrol(conn, MAIN))["Main"]

    assert {"Main": number} == await enrol(conn, replace(MAIN, account_id="other"))

    assert [row.account_id for row in await collections.all_rows(conn)] == ["other"]


async def test_two_at_once_enrol_each_collection_once(pool: Pool):
    async def one() -> dict[str, int]:
        async with store.acquire(pool) as conn:
            return await enrol(conn, MAIN, BRANCH)

    async with asyncio.TaskGroup() as group, store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, [MAIN, BRANCH])
        second = group.create_task(one(), name="second")
        async with asyncio.timeout(10):
            while not await pool.fetchval(WAITING):
                pass

    assert numbers == second.result()


async def test_a_collection_is_found_by_name_or_the_known_names_are_told(conn: Connection):
    numbers = await enrol(conn, MAIN)

    assert numbers["Main"] == (await collections.named(conn, "Main")).number
    with pytest.raises(NotFound) as unknown:
        await collections.named(conn, "Mian")
    assert '"Main"' in unknown.value.remedy


async def rename(conn: Connection, before: str, name: str, *configured: Collection) -> str | None:
    async with conn.transaction():
        return await collections.rename(conn, before, name, configured)


async def test_a_refused_collection_s_remedy_can_be_typed_as_it_stands(conn: Connection):
    quoted = replace(MAIN, name="Ma'in $x")
    await enrol(conn, quoted, BRANCH)

    with pytest.raises(ConfigInvalid) as refused:
        await enrol(conn, *(replace(each, library_id="x", source="y") for each in (quoted, BRANCH)))

    commands = refused.value.remedy.partition("delete them: ")[2].split(" && ")
    assert [
        ["bibsync", "collections", "forget", name, "--confirm", name]
        for name in ("Ma'in $x", "Branch")
    ] == [shlex.split(command) for command in commands]


async def test_a_renamed_collection_goes_on_under_the_name_that_the_file_says(conn: Connection):
    number = (await enrol(conn, MAIN))["Main"]

    said = await rename(conn, "Main", "Centre", replace(MAIN, name="Centre"))

    assert said == "Centre"
    assert {"Centre": number} == await enrol(conn, replace(MAIN, name="Centre"))


async def test_a_renamed_collection_of_another_account_goes_on_too(conn: Connection):
    """The automatic renaming would take it for a new one; a person knows better."""
    number = (await enrol(conn, MAIN))["Main"]
    centre = replace(MAIN, name="Centre", account_id="other")

    await rename(conn, "Main", "Centre", centre)

    assert {"Centre": number} == await enrol(conn, centre)


async def test_a_name_that_the_file_takes_back_is_told_and_makes_no_second_one(conn: Connection):
    number = (await enrol(conn, MAIN, BRANCH))["Main"]

    said = await rename(conn, "Main", "Centre", MAIN, BRANCH)

    assert said == "Main"
    assert number == (await enrol(conn, MAIN, BRANCH))["Main"]
    assert await states(conn) == {"Main": True, "Branch": True}


async def test_a_collection_that_the_file_does_not_have_is_renamed_and_stays_away(
    conn: Connection,
):
    await enrol(conn, MAIN, BRANCH)
    await enrol(conn, BRANCH)

    said = await rename(conn, "Main", "Centre", BRANCH)

    assert said is None
    assert await states(conn) == {"Centre": False, "Branch": True}


@pytest.mark.parametrize(
    "configured",
    [
        (MAIN, replace(MAIN, name="Centre")),
        (replace(MAIN, account_id="other"),),
        (MAIN, replace(MAIN, name="Another new name")),
    ],
    ids=["both names", "another account", "a name that takes it"],
)
async def test_a_renaming_that_would_make_two_of_one_is_refused(
    conn: Connection, configured: tuple[Collection, ...]
):
    await enrol(conn, MAIN)
    if len(configured) == 2 and configured[1].name != "Centre":
        configured = configured[::-1]

    with pytest.raises(UsageWrong, match="begin it anew"):
        await rename(conn, "Main", "Centre", *configured)

    assert await states(conn) == {"Main": True}


async def test_two_that_left_with_one_account_are_no_reason_to_begin_a_third(conn: Connection):
    await enrol(conn, MAIN, replace(MAIN, name="Twin"))
    await enrol(conn, MAIN)

    with pytest.raises(UsageWrong, match="begin it anew"):
        await rename(conn, "Main", "Centre", MAIN)


async def test_a_name_that_is_taken_unknown_or_another_library_is_refused(conn: Connection):
    await enrol(conn, MAIN, BRANCH)

    with pytest.raises(UsageWrong, match="already"):
        await rename(conn, "Main", "Branch")
    with pytest.raises(NotFound):
        await rename(conn, "Mian", "Centre")
    with pytest.raises(UsageWrong, match="another library"):
        await rename(conn, "Main", "Centre", replace(BRANCH, name="Centre"))

    assert await states(conn) == {"Main": True, "Branch": True}


async def test_a_forgotten_collection_leaves_nothing_behind_and_another_everything(
    conn: Connection,
):
    numbers = await enrol(conn, MAIN, BRANCH)
    for number in numbers.values():
        for sql in ROWS_OF_A_COLLECTION:
            await conn.execute(sql, number)

    counts = await collections.contents(conn, numbers["Main"])
    async with conn.transaction():
        await collections.forget(conn, numbers["Main"])

    assert counts == {"records": 1, "versions": 1, "rejects": 1, "runs": 1}
    assert await states(conn) == {"Branch": True}
    tables = await conn.fetch(
        "select table_name from information_schema.columns "
        "where table_schema = 'public' and column_name = 'collection'"
    )
    for table in {row["table_name"] for row in tables}:
        left = await conn.fetch(f"select distinct collection from {table}")  # noqa: S608 - named by PostgreSQL
        assert {numbers["Branch"]} >= {row["collection"] for row in left}, table
    assert counts == await collections.contents(conn, numbers["Branch"])


async def test_a_run_of_a_forgotten_collection_writes_no_more(conn: Connection, pool: Pool):
    """Its lease may have got lost: what counts is the fence, which is gone."""
    number = (await enrol(conn, MAIN))["Main"]

    async def nothing(_conn: Connection, _epoch: int) -> None:
        return None

    async def write(under: Connection) -> None:
        await under.execute("create table written ()")

    ttl = timedelta(seconds=60)
    mine, _ = await fence.take(pool, (number, "purchases"), "run", ttl=ttl, begin=nothing)
    await collections.forget(conn, number)
    await enrol(conn, MAIN)

    with pytest.raises(LeaseLost):
        await mine.commit(write)
    assert await conn.fetchval("select to_regclass('written')") is None


async def test_the_streams_of_a_collection_are_those_that_had_a_run(conn: Connection, pool: Pool):
    number = (await enrol(conn, MAIN))["Main"]

    async def nothing(_conn: Connection, _epoch: int) -> None:
        return None

    ttl = timedelta(seconds=60)
    await fence.take(pool, (number, "events"), "run", ttl=ttl, begin=nothing)

    assert {"events"} == await collections.streams(conn, number)
