"""config check: what is wrong and what is unwise, for programs too; and where a file is missing."""

import pytest
from installation import NOWHERE, Installation

ONE = {"name": "springfield", "library_id": "x", "base_url": NOWHERE}
FIELDS = {"schema", "path", "collections", "warnings", "problems"}


async def test_problems_are_told_to_programs_and_to_people(bare: Installation):
    bare.configure([ONE], sync="retries = 99\ntimeout = 7")

    ended = await bare.run("config", "check", "--json")
    plain = await bare.run("config", "check")

    assert (5, 5, "") == (ended.code, plain.code, plain.out)
    assert FIELDS == ended.document.keys()
    assert ("bibsync.config/1", "bibsync.toml") == (
        ended.document["schema"],
        ended.document["path"],
    )
    assert ([], []) == (ended.document["collections"], ended.document["warnings"])
    assert ended.document["problems"] == plain.err.splitlines()[:2]
    assert ended.err == plain.err


async def test_a_sound_configuration_has_no_problems_and_one_without_collections_a_warning(
    bare: Installation,
):
    bare.configure([ONE])
    sound = await bare.run("config", "check", "--json")
    bare.configure()

    empty = await bare.run("config", "check", "--json")

    assert ((0, []), (0, [])) == (
        (sound.code, sound.document["problems"]),
        (empty.code, empty.document["problems"]),
    )
    assert (["springfield"], []) == (sound.document["collections"], sound.document["warnings"])
    assert ["bibsync.toml names no collection, so there is nothing to sync."] == (
        empty.document["warnings"]
    )


@pytest.mark.parametrize("way", ["option", "variable"])
async def test_a_file_that_is_not_there_is_named_and_init_is_the_remedy(
    bare: Installation, way: str
):
    words = ["--config", "none.toml"] if way == "option" else []
    environ = {} if way == "option" else {"BIBSYNC_CONFIG": "none.toml"}

    ended = await bare.run(*words, "config", "check", "--json", **environ)

    assert (5, "none.toml", 1) == (
        ended.code,
        ended.document["path"],
        len(ended.document["problems"]),
    )
    assert 'there is no file "none.toml"' in ended.document["problems"][0]
    assert "Write one with `bibsync init`" in ended.err
