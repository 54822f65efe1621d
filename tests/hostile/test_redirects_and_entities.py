"""What would make this machine speak to another, or read what it should not: nothing does.

A second server counts who comes; an audit hook, which Python calls for every file that it opens and
every connection that it makes, sees what no server could.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hostile import Hostile, answer, page, record

from bibsync.errors import SourceBusy
from bibsync.marc import NotAPage, xml_file
from bibsync.sources import bibliotheca_items as items
from tests.harvest.world import World

STATUSES = {
    301: "301 Moved Permanently",
    302: "302 Found",
    303: "303 See Other",
    307: "307 Temporary Redirect",
    308: "308 Permanent Redirect",
}
TARGETS = {
    "another host": "http://localhost:{other}/x",
    "another port": "http://127.0.0.1:{other}/x",
    "another scheme": "https://127.0.0.1:{other}/x",
    "no scheme": "//127.0.0.1:{other}/x",
    "another name of the same host": "http://localhost:{same}/x",
    "the same host": "http://127.0.0.1:{same}/x",
    "a path": "/x",
    "a user": "http://me:canary@127.0.0.1:{other}/x",
    "a file": "file:///etc/passwd",
    "no address": "http://[",
    "a host of 8,000 letters": "http://{other}" + "a" * 8_000,
}

heard: list[tuple[str, str]] = []
"""Files opened and connections made, while somebody listens."""
listening = False


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if listening and event in {"open", "socket.connect", "socket.getaddrinfo"}:
        heard.append((event, str(arguments)))


sys.addaudithook(_hear)


@contextmanager
def overheard() -> Iterator[list[tuple[str, str]]]:
    """Return what is opened and who is spoken to in the block."""
    global listening  # noqa: PLW0603 - an audit hook is for the whole process and stays
    heard.clear()
    listening = True
    try:
        yield heard
    finally:
        listening = False


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("status", STATUSES)
async def test_no_redirect_is_followed_wherever_it_points(
    world: World, vendor: Hostile, status: int, target: str
):
    async with Hostile() as other:
        location = TARGETS[target].format(other=other.port, same=vendor.port)
        vendor.play(answer(b"", {"Location": location}, STATUSES[status]))

        summary = await world.harvest()

        assert (summary.outcome, summary.problem.code) == ("failed", "source_misconfigured")
        assert "canary" not in summary.problem.message
        assert len(summary.problem.message) < 500
        assert (other.connections, other.heads) == (0, [])
        assert (vendor.played, len(vendor.heads)) == (1, 1)
        assert "3mcl-Authorization" in vendor.heads[0]
    assert await world.covered() == ()
    assert (await world.harvest()).outcome == "succeeded"


async def test_no_other_header_sends_the_client_elsewhere(world: World, vendor: Hostile):
    async with Hostile() as other:
        headers = {
            "Location": f"http://127.0.0.1:{other.port}/a",
            "Content-Location": f"http://127.0.0.1:{other.port}/b",
            "Refresh": f"0; url=http://127.0.0.1:{other.port}/c",
            "Alt-Svc": f'h2="127.0.0.1:{other.port}"',
            "Link": f"<http://127.0.0.1:{other.port}/d>; rel=preload",
        }
        vendor.play(*[answer(page(vendor.records), headers)] * 2)

        summary = await world.harvest()

        assert summary.outcome == "succeeded"
        assert vendor.played == 2
        assert other.connections == 0


def documents(secret: Path, port: int) -> dict[str, bytes]:
    """Return documents that name a file, and a server, in each way that XML has."""
    file, web = secret.as_uri(), f"http://127.0.0.1:{port}/canary"
    declared = {
        "a file": f'<!DOCTYPE c [<!ENTITY x SYSTEM "{file}">]>',
        "a bare path": f'<!DOCTYPE c [<!ENTITY x SYSTEM "{secret}">]>',
        "a server": f'<!DOCTYPE c [<!ENTITY x SYSTEM "{web}">]>',
        "a public id": f'<!DOCTYPE c [<!ENTITY x PUBLIC "a" "{web}">]>',
        "a parameter entity": f'<!DOCTYPE c [<!ENTITY % p SYSTEM "{file}"> %p;]>',
        "a parameter entity of a server": f'<!DOCTYPE c [<!ENTITY % p SYSTEM "{web}"> %p;]>',
        "an external subset": f'<!DOCTYPE c SYSTEM "{web}">',
        "a file as subset": f'<!DOCTYPE c SYSTEM "{file}">',
    }
    referring = {
        "a schema": f'<c xsi:schemaLocation="http://www.loc.gov/MARC21/slim {web}">',
        "a stylesheet": f'<?xml-stylesheet href="{web}"?>',
        "an inclusion": f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{file}"/>',
    }
    return {name: text.encode() for name, text in (declared | referring).items()}


NAMES = list(documents(Path("/x"), 1))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("canary")
    return file


@pytest.mark.parametrize("name", NAMES)
async def test_no_entity_opens_a_file_or_a_connection(
    world: World, vendor: Hostile, secret: Path, name: str
):
    """Before the root, where a document type may stand, and inside a record, where it may not."""
    async with Hostile() as other:
        prefix = documents(secret, other.port)[name]
        within = page([record("a"), record("b", prefix + b"&x;"), record("c")])
        vendor.play(answer(prefix + b"<collection>&x;</collection>"), answer(within))
        await world.enrol()

        with overheard() as told:
            await world.harvest()
            await world.harvest()

        assert vendor.played == 2
        assert any(event == "socket.connect" for event, _ in told), "the hook hears nothing"
        assert [each for each in told if secret.name in each[1] or "canary" in each[1]] == []
        assert other.connections == 0
    stored = await world.stored()
    assert {"a", "c"} <= set(stored)
    assert "canary" not in str(stored)


@pytest.mark.parametrize("name", NAMES)
async def test_no_entity_in_a_look_up_or_a_file_opens_anything(
    secret: Path, tmp_path: Path, name: str
):
    file = tmp_path / "records.xml"
    async with Hostile() as other:
        prefix = documents(secret, other.port)[name]
        file.write_bytes(prefix + b"<c>" + record("a", b"&x;") + b"</c>")

        with overheard() as told:
            with suppress(SourceBusy):
                items.read(prefix + b"<Items><Item>&x;</Item></Items>", ["a"], vendor="V")
            with suppress(NotAPage):
                assert "canary" not in str(list(xml_file(file)))

        assert [event for event, what in told if file.name not in what] == []
        assert any(file.name in what for _, what in told), "the hook hears nothing"
        assert other.connections == 0
