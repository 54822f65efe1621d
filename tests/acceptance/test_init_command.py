"""init: a configuration to begin with, asked for on a terminal, never over another."""

import re
import stat
from pathlib import Path

import pytest
from conversation import CTRL_C, CTRL_D, Conversation, conversation
from installation import ACCOUNT_KEY, PASSWORD, Installation
from watched import Watched, library, served

from bibsync.cli import init
from bibsync.errors import UsageWrong

ODD = 'Kids\' "A\\B" #1 = [x] {y} 書'
BESIDE = re.compile(r"^#(?=[\[a-z])", re.MULTILINE)
NAME = "Name of the collection, any text"
LIBRARY = "library_id, as the vendor gave it"
ACCOUNT = "account_id, as the vendor gave it"
KEY = "account_key (not shown while you type)"
BASE_URL = "https://partner.yourcloudlibrary.com/"
BASE = f"Address of the vendor's interface [{BASE_URL}]: "
ZONE = "Time zone, for schedules and times on screen [America/Chicago]: "
DATABASE = "A PostgreSQL of your own, postgresql://... (Enter: an embedded one)"
PAGE = Path(__file__).parents[2] / "docs" / "first-account.md"
CHICAGO = {"TZ": "America/Chicago"}
GIVEN = ("--name", ODD, "--library-id", "ab/cd", "--account-id", "partner")


@pytest.fixture
def fresh(bare: Installation) -> Installation:
    """Return an installation without a configuration."""
    bare.config.unlink()
    return bare


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns


async def shown(installation: Installation, *config: object) -> dict[str, str]:
    ended = await installation.run(*config, "config", "show", "--json")
    assert (ended.code, ended.err) == (0, "")
    return {each["key"]: each["value"] for each in ended.documents}


async def test_through_a_pipe_nothing_is_asked_and_the_file_holds_the_defaults(
    fresh: Installation,
):
    defaults = await shown(fresh)

    ended = await fresh.run("init", TZ="UTC")

    checked = await fresh.run("config", "check")
    assert (ended.code, ended.out) == (0, "Wrote bibsync.toml.\n")
    assert ["  bibsync config check", "  bibsync doctor", "  bibsync run-once --all"] == (
        ended.err.splitlines()[-3:]
    )
    assert ["bibsync.toml"] == fresh.files()
    assert mode(fresh.config) == 0o600
    assert (checked.code, checked.out, checked.err) == (
        0,
        "bibsync.toml: all is well, 0 collections.\n",
        "warning: bibsync.toml names no collection, so there is nothing to sync.\n",
    )
    assert defaults == await shown(fresh)


async def test_only_what_was_said_is_in_force_and_every_default_stands_behind_a_hash(
    fresh: Installation,
):
    fresh.write("a.key", ACCOUNT_KEY)
    given = ("--name", "A", "--library-id", "ab", "--account-id", "partner", "--key-file", "a.key")

    await fresh.run("init", *given, TZ="UTC")

    live = [line for line in fresh.read("bibsync.toml").splitlines() if line[:1] not in ("", "#")]
    assert live == [
        'timezone = "UTC"',
        *("[database]", "[redis]", "[sync]", "[log]", "[cleanup]", "[notify]"),
        *("[[collections]]", 'name = "A"', 'source = "bibliotheca"', 'library_id = "ab"'),
        *('account_id = "partner"', 'account_key = { file = "a.key" }'),
    ]
    assert f'#base_url = "{BASE_URL}"' in fresh.read("bibsync.toml")


async def test_what_stands_behind_a_hash_is_a_configuration_too(fresh: Installation):
    printed = await fresh.run("init", "--output", "-")
    fresh.config.touch(mode=0o600)
    fresh.config.write_text(BESIDE.sub("", printed.out))
    fresh.write("springfield.key", ACCOUNT_KEY)
    fresh.folder.joinpath("springfield.key").chmod(0o600)

    checked = await fresh.run("config", "check", BIBSYNC_SMTP_URL="smtp://localhost")

    assert (checked.code, checked.out, checked.err) == (
        0,
        "bibsync.toml: all is well, 1 collection.\n",
        "",
    )


async def test_the_options_give_the_account_whatever_signs_its_name_has(fresh: Installation):
    fresh.folder.joinpath("keys").mkdir()
    key = fresh.folder / "keys" / 'odd "one".key'
    key.touch(mode=0o600)
    key.write_text(f"{ACCOUNT_KEY}\n")

    ended = await fresh.run("init", *GIVEN, "--key-file", f"keys/{key.name}", "--json")

    values = await shown(fresh)
    moved = fresh.folder / "elsewhere"
    moved.mkdir()
    apart = await fresh.run("init", *GIVEN, "--key-file", key, "--output", moved / "b.toml")
    found = await fresh.run("config", "check", "--config", moved / "b.toml", "--json")
    assert (ended.code, ended.err, ended.document) == (
        0,
        "",
        {
            "schema": "bibsync.init/1",
            "path": "bibsync.toml",
            "key_file": None,
            "collections": [ODD],
            "next": ["bibsync config check", "bibsync doctor", "bibsync run-once --all"],
        },
    )
    assert [ODD, "ab/cd"] == [
        value for name, value in values.items() if name.endswith((".name", ".library_id"))
    ]
    assert ACCOUNT_KEY not in fresh.config.read_text()
    assert (apart.code, found.document["collections"], found.err) == (0, [ODD], "")
    assert f"bibsync --config {moved}/b.toml doctor" in apart.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--name", "Kids"), "An account needs --library-id, --account-id, --key-file too."),
        (("--name", " "), "--name is empty."),
        (("--library-id", "a\tb"), "--library-id has blanks around it or"),
        (("--library-id", "ab cd"), "--library-id has a blank inside."),
        ((*GIVEN, "--key-file", "none.key"), "--key-file is to come from the file"),
        ((*GIVEN, "--key-file", "empty.key"), "which is empty."),
        (("--output", "-", "--json"), "--output - and --json can't both"),
    ],
)
async def test_what_the_configuration_would_refuse_is_refused_and_nothing_written(
    fresh: Installation, words: tuple[str, ...], sentence: str
):
    fresh.write("empty.key", "\n")

    ended = await fresh.run("init", *words)

    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err
    assert ["empty.key"] == fresh.files()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
async def test_nothing_is_ever_overwritten(fresh: Installation, kind: str):
    match kind:
        case "file":
            fresh.config.write_text("mine")
        case "link":
            fresh.config.symlink_to("nowhere")
        case _:
            fresh.config.mkdir()
    before = identity(fresh.config)

    piped = await fresh.run("init")
    typed = await fresh.run_on_a_terminal("init")
    named = await fresh.run("init", "--config", fresh.config)

    assert [2, 2, 2] == [each.code for each in (piped, typed, named)]
    assert "bibsync.toml is there already, and init never overwrites. [usage]" in piped.err
    assert before == identity(fresh.config)
    assert ["bibsync.toml"] == fresh.files()


def test_a_file_that_came_meanwhile_isn_t_overwritten_either(tmp_path: Path):
    place = tmp_path / "bibsync.toml"
    place.write_text("came while the questions were asked")

    with pytest.raises(UsageWrong, match="never overwrites"):
        init._create(place, "ours")

    assert place.read_text() == "came while the questions were asked"
    assert ["bibsync.toml"] == [each.name for each in tmp_path.iterdir()]


async def test_the_file_goes_where_the_configuration_is_looked_for(fresh: Installation):
    fresh.folder.joinpath("etc").mkdir()

    ended = await fresh.run("init", BIBSYNC_CONFIG="etc/b.toml")
    found = await fresh.run("config", "check", BIBSYNC_CONFIG="etc/b.toml")

    assert ended.out == "Wrote etc/b.toml.\n"
    assert "  bibsync doctor\n" in ended.err
    assert found.out == "etc/b.toml: all is well, 0 collections.\n"


@pytest.mark.parametrize("place", ["missing/bibsync.toml", f"{'x' * 250}.toml", "/proc/b.toml"])
async def test_a_place_that_can_t_be_written_is_said_and_nothing_is_left(
    fresh: Installation, place: str
):
    async with conversation(fresh, "init", "--output", place, **CHICAGO) as talk:
        await all_answered(talk)
        ended = await talk.ended()

    assert ended.code == 1
    assert "can't be written" in ended.out
    assert "[not_written]" in ended.out
    assert [] == fresh.files()


async def all_answered(
    talk: Conversation, *, name: str = "Springfield", library_id: str = "ab/cd"
) -> None:
    for question, answer in (
        (NAME, name),
        (LIBRARY, library_id),
        (ACCOUNT, "partner"),
        (KEY, ACCOUNT_KEY),
        (BASE, ""),
        (ZONE, ""),
        (DATABASE, ""),
    ):
        await talk.answers(question, answer)


async def test_on_a_terminal_it_asks_and_the_key_is_neither_shown_nor_in_the_file(
    fresh: Installation,
):
    fresh.write("ab-cd.key", "of another account")

    async with conversation(fresh, "init", **CHICAGO) as talk:
        await all_answered(talk)
        ended = await talk.ended()

    checked = await fresh.run("config", "check")
    values = await shown(fresh)
    assert ended.code == 0
    assert "Wrote bibsync.toml and ab-cd-2.key.\n" in ended.out
    assert ended.out.endswith(
        "  bibsync config check\n  bibsync doctor\n  bibsync run-once --all\n"
    )
    assert ["ab-cd-2.key", "ab-cd.key", "bibsync.toml"] == fresh.files()
    assert f"{ACCOUNT_KEY}\n" == fresh.read("ab-cd-2.key")
    assert "of another account" == fresh.read("ab-cd.key")
    assert ACCOUNT_KEY not in fresh.config.read_text()
    assert [0o600, 0o600] == [mode(fresh.folder / each) for each in ("ab-cd-2.key", "bibsync.toml")]
    assert (checked.out, checked.err) == ("bibsync.toml: all is well, 1 collection.\n", "")
    assert ("America/Chicago", "not set") == (values["timezone"], values["database.url"])


async def test_a_wrong_answer_is_told_and_asked_for_again(fresh: Installation):
    async with conversation(fresh, "init", "--account-id", "partner", **CHICAGO) as talk:
        await talk.answers(NAME, "")
        await talk.sees("That is empty.")
        await talk.answers(NAME, ODD)
        await talk.answers(LIBRARY, "abcde")
        await talk.answers(KEY, "a\x16\x01b")  # ^V lets the terminal pass the next sign on
        await talk.sees("That has line breaks or characters that can't be printed.")
        await talk.answers(KEY, f"  {ACCOUNT_KEY} ")
        await talk.answers(BASE, "partner.example")
        await talk.sees("That must be an address that begins with https:// or http://.")
        await talk.answers(BASE, "https://partner.example")
        await talk.answers(ZONE, "Americas/Chicago")
        await talk.sees('which is no time zone; did you mean "America/Chicago"?\r\n')
        await talk.answers(ZONE, "Asia/Tokyo")
        await talk.answers(DATABASE, "mysql://x")
        await talk.sees("That must be an address that begins with postgresql://")
        await talk.answers(DATABASE, "postgresql://bibsync@localhost/bibsync")
        ended = await talk.ended()

    checked = await fresh.run("config", "check", "--json")
    values = await shown(fresh)
    assert ended.code == 0
    assert ACCOUNT not in ended.out
    assert ([ODD], []) == (checked.document["collections"], checked.document["warnings"])
    assert f"{ACCOUNT_KEY}\n" == fresh.read("abcde.key")
    assert "Asia/Tokyo" == values["timezone"]
    assert "not set" != values["database.url"]
    assert PASSWORD not in ended.out


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("answered", [0, 3, 6])
async def test_whoever_breaks_off_leaves_nothing_behind(
    fresh: Installation, key: str, answered: int
):
    questions = (NAME, LIBRARY, ACCOUNT, KEY, BASE, ZONE, DATABASE)

    async with conversation(fresh, "init", **CHICAGO) as talk:
        for question in questions[:answered]:
            await talk.answers(question, "" if question in {BASE, ZONE} else "abcde")
        await talk.sees(questions[answered])
        talk.presses(key)
        await talk.sees("Nothing was written.")
        echoes = talk.echoes()
        ended = await talk.ended()

    assert (130, True) == (ended.code, echoes)
    assert "Traceback" not in ended.out
    assert [] == fresh.files()


async def test_to_standard_output_it_prints_and_asks_nothing_even_on_a_terminal(
    fresh: Installation,
):
    piped = await fresh.run("init", "--output", "-", TZ="Asia/Tokyo")
    typed = await fresh.run_on_a_terminal("init", "--output", "-", TZ="Asia/Tokyo")
    written = await fresh.run("init", TZ="Asia/Tokyo")

    assert (0, 0, 0) == (piped.code, typed.code, written.code)
    assert piped.err == ""
    assert piped.out == fresh.read("bibsync.toml") == typed.out.replace("\r\n", "\n")
    assert 'timezone = "Asia/Tokyo"' in piped.out


def alike(text: str) -> list[str]:
    """Return lines without what differs from run to run: numbers, and blanks at the end."""
    return [re.sub(r"\d+(\.\d+)?", "0", line).rstrip() for line in text.splitlines()]


async def test_the_page_on_the_first_account_shows_what_the_commands_say(fresh: Installation):
    blocks = re.findall(r"^```\n\$ bibsync (.+)\n((?:.*\n)*?)```$", PAGE.read_text(), re.MULTILINE)
    state = {"BIBSYNC_STATE_DIR": str(fresh.folder / ".local/state/bibsync")}
    async with served(Watched([library("abcde", titles=3000)])) as vendor:
        async with conversation(fresh, "init", **CHICAGO) as talk:
            await all_answered(talk, name="Springfield cloudLibrary", library_id="abcde")
            said = {"init": (await talk.ended()).out}
        text = fresh.config.read_text()
        fresh.config.write_text(text.replace(BASE_URL, vendor.base_url))
        for command in ("config check", "doctor"):
            ended = await fresh.run_on_a_terminal(*command.split(), **state)
            said[command] = (
                ended.out.replace(vendor.base_url[7:-1], BASE_URL[8:-1])
                .replace(str(fresh.folder), "/home/anna")
                .replace("\r\n", "\n")
            )

    assert {command: alike(block) for command, block in blocks} == {
        command: alike(text) for command, text in said.items()
    }
