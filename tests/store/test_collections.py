"""Which accounts are synced: enrolled, disabled, put back, renamed, refused."""

import asyncio
from dataclasses import replace

import pytest
import structlog
from pydantic import SecretStr

from bibsync import store
from bibsync.collection import Collection
from bibsync.errors import ConfigInvalid, NotFound
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
