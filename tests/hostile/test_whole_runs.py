"""A whole run against a hostile vendor, as a process: what it says, how it ends, what it takes."""

import asyncio
import gzip

import pytest
from hostile import Caller, Hostile, answer, caller_of, chunked, head, most_memory, page, record

from tests.acceptance.installation import Installation

pytestmark = pytest.mark.usefixtures("program")

MIB = 2**20
MOST_MEMORY = 300 * MIB
"""Of the whole process: the program itself takes 100 MiB."""

SCREEN = "<Error><Message>&#27;[2J&#27;]0;owned&#7;\u202e\x9b31mred</Message></Error>"
HARM: dict[str, bytes] = {
    "a bomb": answer(gzip.compress(gzip.compress(bytes(300 * MIB))), {"Content-Encoding": "gzip"}),
    "16 MiB of tags": answer(page([b"<marc:record/>" * MIB])),
    "16 MiB in chunks": head({"Transfer-Encoding": "chunked"}) + chunked(*[bytes(MIB)] * 17),
    "an endless line": b"HTTP/1.1 200 " + b"K" * 100_000,
    "words for the screen": answer(SCREEN.encode()),
    "words for the screen in a header": answer(
        b"", {"Location": "http://\x1b[2J\x9b.example/"}, "302 Found"
    ),
}


class Weighed:
    """A script that harms, weighing the process that asks again afterwards."""

    def __init__(self, harm: bytes) -> None:
        self._harm = harm
        self.most = 0

    async def harm(self, caller: Caller) -> None:
        await caller.send(self._harm)

    async def weigh(self, caller: Caller) -> None:
        self.most = most_memory(await asyncio.to_thread(caller_of, caller.peer()[1]))
        await caller.send(answer(b"", status="503 Service Unavailable"))


def collection(vendor: Hostile, **settings: object) -> dict[str, object]:
    return {
        "name": "springfield",
        "library_id": "springfield",
        "base_url": vendor.url,
        "max_window": "31d",
    } | settings


def printable(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


@pytest.mark.parametrize("name", HARM)
async def test_a_run_ends_with_a_problem_in_plain_words(
    installation: Installation, vendor: Hostile, name: str
):
    weighed = Weighed(HARM[name])
    vendor.play(*[weighed.harm, weighed.weigh] * 40)
    installation.configure([collection(vendor)], sync="requests_per_second = 1000\nretries = 1\n")

    ended = await installation.run("run-once", "--all", "--stream", "purchases", "--json")

    assert ended.code == 6
    assert ended.document["outcome"] == "failed"
    assert ended.document["new"] == ended.document["rejected"] == 0
    assert ended.document["problem"]["code"] in {"source_busy", "source_misconfigured"}
    assert printable(ended.out + ended.err)
    assert vendor.played >= (1 if "header" in name else 10)
    assert weighed.most < MOST_MEMORY
    vendor.forget()
    vendor.records = [record("a")]
    again = await installation.run("run-once", "--all", "--stream", "purchases", "--json")
    assert again.document["outcome"] == "succeeded"
    assert set(await installation.stored()) == {"a"}


@pytest.mark.parametrize("style", ["console", "json"])
async def test_no_vendor_writes_on_a_terminal(
    installation: Installation, vendor: Hostile, style: str
):
    installation.configure(
        [collection(vendor)], more=f'[log]\nformat = "{style}"\nlevel = "debug"\n'
    )
    vendor.records = [record("a\x1b[2J", b"A &#155;2J&#x202e;title"), record("b", b"\x1b[2J")]
    await installation.run("run-once", "--all")
    vendor.play(*[answer(SCREEN.encode())] * 40)

    ended = await installation.run_on_a_terminal("run-once", "--all", "--force-reimport")
    shown = await installation.run_on_a_terminal("records", "list", "--collection", "springfield")

    assert vendor.played > 0
    assert "owned" in ended.out
    for harmful in ("\x1b[2J", "\x1b]0;", "\x9b", "\u202e"):
        assert harmful not in ended.out + shown.out


async def test_no_look_up_takes_harm_for_news(installation: Installation, vendor: Hostile):
    """A title is given up where a list leaves it out, and by nothing else."""
    vendor.records = [record("a"), record("b")]
    installation.configure([collection(vendor)])
    await installation.run("run-once", "--all", "--stream", "purchases")
    before = await installation.stored()
    bodies = [
        b"<Items>" + b"<Item>" * 200_000 + b"</Item>" * 200_000 + b"</Items>",
        b"<!DOCTYPE c [<!ENTITY a 'b'>]><Items>&a;</Items>",
        b"<Items>" + b" " * (3 * MIB) + b"</Items>",
        b"<html/>",
        b"",
    ]
    for body in bodies:
        vendor.play(*[answer(body)] * 9)

        ended = await installation.run("run-once", "--all", "--stream", "metadata", "--json")

        assert ended.lookups[0]["problem"]["code"] == "source_busy", body[:30]
        assert ended.lookups[0]["unanswered"] == 2
        vendor.forget()
    assert vendor.played >= 3 * len(bodies)
    assert await installation.stored() == before
