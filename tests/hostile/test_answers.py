"""Answers made to do harm: each is known by a word, bounded in memory and time, and covers nothing.

Each goes the whole way, from the socket to the tables, with one window to read and no retries; then
the vendor is its old self again, and the next run takes what it says. What an honest vendor's bad
day looks like stands in tests/sources and tests/harvest.
"""

import gzip
import tracemalloc
import zlib
from datetime import timedelta

import pytest
from hostile import Caller, Hostile, Script, answer, chunked, head, page, record, said

from bibsync.window import Window
from tests.harvest.world import MIDNIGHT, NOW, World

TODAY = Window(MIDNIGHT, NOW)
MIB = 2**20
MOST_MEMORY = 64 * MIB
"""A body of 16 MiB, what receiving and unpacking it takes, and the store."""

GZIP = {"Content-Encoding": "gzip"}
CHUNKED = {"Transfer-Encoding": "chunked"}
TRUE = {"a": "A title", "b": "A title", "c": "A title"}
GOOD = page([record("false")])


def bomb(size: int = 300 * MIB) -> bytes:
    """Return what unpacks to this much."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB))
    return packed + packer.flush()


def endless(first: bytes, piece: bytes) -> Script:
    """Send `first`, then a piece for ever."""

    async def script(caller: Caller) -> None:
        await caller.send(first)
        await caller.for_ever(piece * max(65_536 // len(piece), 1))

    return script


def slow(first: bytes, piece: bytes) -> Script:
    """Send `first`, then a piece for ever, byte by byte."""

    async def script(caller: Caller) -> None:
        await caller.send(first)
        while True:
            await caller.slowly(piece)

    return script


def silent(first: bytes = b"") -> Script:
    """Send `first`, and then nothing more."""

    async def script(caller: Caller) -> None:
        await caller.send(first)
        await caller.silent()

    return script


BOMB = bomb()
LAUGHS = b"<!DOCTYPE c [<!ENTITY a0 'ha'>%b]>" % b"".join(
    b"<!ENTITY a%d '&a%d;&a%d;'>" % (n, n - 1, n - 1) for n in range(1, 60)
)
BLOW_UP = b"<!DOCTYPE c [<!ENTITY a '%b'>]>" % (b"a" * 100_000)
ONE_AT_A_TIME = bytes(range(0x20, 0x7F))

BODIES: dict[str, tuple[str, bytes]] = {
    "a gzip bomb": ("oversize", answer(BOMB, GZIP)),
    "a gzip bomb of many members": ("oversize", answer(gzip.compress(bytes(MIB)) * 2_000, GZIP)),
    "a gzip bomb said to be small": (
        "oversize cut_gzip bad_http",
        answer(BOMB, {**GZIP, "Content-Length": "99999"}),
    ),
    "a gzip bomb said to be large": ("oversize", answer(BOMB, {**GZIP, "Content-Length": "9" * 9})),
    "a gzip bomb in chunks": ("oversize", head(GZIP | CHUNKED) + chunked(BOMB)),
    "a bomb in a bomb": ("not_xml", answer(gzip.compress(BOMB), GZIP)),
    "a bomb packed twice": ("bad_encoding", answer(BOMB, {"Content-Encoding": "gzip, gzip"})),
    "a deflate bomb": (
        "bad_encoding",
        answer(zlib.compress(bytes(20 * MIB)), {"Content-Encoding": "deflate"}),
    ),
    "billion laughs": ("doctype", answer(LAUGHS + b"<collection>&a59;</collection>")),
    "billion laughs behind a comment": (
        "doctype",
        answer(b"<!-- -->" + LAUGHS + b"<collection>&a59;</collection>"),
    ),
    "billion laughs in UTF-16": (
        "doctype",
        answer((LAUGHS + b"<collection>&a59;</collection>").decode().encode("utf-16")),
    ),
    "a quadratic blow-up": ("doctype", answer(BLOW_UP + b"<c>%b</c>" % (b"&a;" * 100_000))),
    "a document type within": ("foreign_xml", answer(b"<collection>%b</collection>" % LAUGHS)),
    "200,000 elements around": ("foreign_xml", answer(b"<a>" * 200_000 + b"</a>" * 200_000)),
    "200,000 elements within": (
        "foreign_xml",
        answer(b"<collection>%b%b</collection>" % (b"<a>" * 200_000, b"</a>" * 200_000)),
    ),
    "200,000 attributes": (
        "cut_short not_xml",
        answer(b"<collection%b></collection>" % b"".join(b' a%d=""' % n for n in range(200_000))),
    ),
    "100,000 records": ("oversize", answer(page([b"<marc:record/>"] * 100_000))),
    "nothing but NUL within": ("foreign_xml", answer(b"<collection>%b</collection>" % bytes(99))),
    "controls within": ("foreign_xml", answer(b"<collection>\x01\x1b[2J\x7f</collection>")),
    "a text for a page": ("foreign_xml", answer(b"<collection>No purchases</collection>")),
    "a page in a page's text": ("foreign_xml", answer(b"<c><![CDATA[%b]]></c>" % GOOD)),
    "a charset that is none": (
        "not_xml",
        answer(b"caf\xe9", {"Content-Type": 'text/xml; charset="\\x00../../etc/passwd"'}),
    ),
    "a charset that hides the tags": (
        "not_xml",
        answer(b"+ADw-collection/+AD4-", {"Content-Type": "text/xml; charset=utf-7"}),
    ),
    "an error that clears the screen": (
        "error_document",
        answer("<Error><Message>&#27;[2J\u202e\x9b2J</Message></Error>".encode()),
    ),
}
"""Whole answers; the word, or the words, that each is known by."""

WIRE: dict[str, tuple[str, tuple[Script | bytes, ...]]] = {
    "an endless body": ("oversize", (endless(head({}), b"<collection>"),)),
    "an endless body in chunks": (
        "oversize",
        (endless(head(CHUNKED), chunked(bytes(65_536), last=b"")),),
    ),
    "an endless line": ("bad_http", (endless(b"HTTP/1.1 200 O", b"K"),)),
    "an endless header": ("bad_http", (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x"),)),
    "endless headers": ("bad_http", (endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),)),
    "10,000 headers": (
        "bad_http",
        (answer(GOOD, {f"X-{number}": "x" for number in range(10_000)}),),
    ),
    "endless trailers": (
        "bad_http cut_short",
        (endless(head(CHUNKED) + b"5\r\n<a/> \r\n0\r\n", b"X: x\r\n"),),
    ),
    "a size of a chunk beyond all measure": (
        "bad_http cut_short",
        (said(head(CHUNKED) + b"f" * 17 + b"\r\n<a/>", close=True),),
    ),
    "a length below zero": ("bad_http", (answer(GOOD, {"Content-Length": "-1"}),)),
    "a length beyond all measure": ("bad_http", (answer(GOOD, {"Content-Length": "9" * 30}),)),
    "a length that is none": ("bad_http", (answer(GOOD, {"Content-Length": "+5"}),)),
    "two lengths": (
        "bad_http",
        (head({"Content-Length": "9", "content-length": "99"}) + GOOD,),
    ),
    "a length and chunks": (
        "bad_http",
        (head({"Content-Length": "5", **CHUNKED}) + chunked(GOOD),),
    ),
    "a length that is too short": (
        "cut_short",
        (said(answer(GOOD, {"Content-Length": str(len(GOOD) - 9)})[:-9], close=True),),
    ),
    "a length that is too short, and the rest": (
        "bad_http cut_short",
        (answer(GOOD, {"Content-Length": str(len(GOOD) - 9)}),),
    ),
    "a length that is too long": (
        "cut_short",
        (said(answer(GOOD, {"Content-Length": str(len(GOOD) + 9)}), close=True),),
    ),
    "a transfer whose chunks don't count": (
        "bad_encoding",
        (said(head({"Transfer-Encoding": "chunked, identity"}) + chunked(GOOD), close=True),),
    ),
    "a transfer that is packed": (
        "bad_encoding",
        (head({"Transfer-Encoding": "gzip, chunked"}) + chunked(gzip.compress(GOOD)),),
    ),
    "chunks that end in the middle": (
        "cut_short",
        (said(head(CHUNKED) + chunked(GOOD, last=b"0\r\n"), close=True),),
    ),
    "a header that breaks its line": ("bad_http", (head({"X": "a\r\n b\r\nc"}) + GOOD,)),
    "a NUL in a header": ("bad_http", (answer(GOOD, {"X": "a\0b"}),)),
    "another protocol": ("http_101", (head({"Upgrade": "x", "Connection": "upgrade"}, "101 X"),)),
    "HTTP of no version": ("bad_http", (head({}, version="9.9") + GOOD,)),
    "no HTTP at all": ("bad_http", (GOOD,)),
    "a status beyond all": ("bad_http http_999", (answer(GOOD, status="999 Z"),)),
    "hanging up on a new connection twice": (
        "reset",
        (said(b"", close=True), said(b"", close=True)),
    ),
}
"""What is wrong with the way it is sent; the scripts are met one after the other."""

LATE: dict[str, Script] = {
    "silence": silent(),
    "a head, byte by byte": slow(b"", head({"X": "x" * 4_000})),
    "a body, byte by byte": slow(head({}), ONE_AT_A_TIME),
    "a packed body, byte by byte": slow(head(GZIP), gzip.compress(b"")),
    "chunks, byte by byte": slow(head(CHUNKED), b"1\r\n<\r\n"),
    "endless words of going on": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless hints": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"),
    "a body of single bytes": endless(head(CHUNKED), b"1\r\n<\r\n"),
    "an endless size of a chunk": endless(head(CHUNKED), b"0"),
    "endless extensions of a chunk": endless(head(CHUNKED) + b"1", b";a=b"),
    "chunks without their last": silent(head(CHUNKED) + chunked(GOOD, last=b"")),
    "a body without its end": silent(answer(GOOD)[:-1]),
}
"""What has no end, or none in time."""


async def harvested(world: World) -> tuple[str | None, str | None, int]:
    """Harvest; return code and detail of the problem, and the peak of memory."""
    await world.enrol()
    tracemalloc.start()
    try:
        summary = await world.harvest()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    problem = summary.problem
    return problem and problem.code, problem and problem.detail, peak


async def covers_nothing_and_goes_on(world: World) -> None:
    """Check that nothing was stored, and that the next good answer is."""
    assert await world.covered() == ()
    assert await world.stored() == {}
    assert await world.rejects() == []
    assert await world.blanks() == []

    assert (await world.harvest()).outcome == "succeeded"
    assert await world.covered() == (TODAY,)
    assert await world.stored() == TRUE


@pytest.mark.parametrize("case", BODIES)
async def test_a_hostile_body_is_no_page(world: World, vendor: Hostile, case: str):
    words, sent = BODIES[case]
    vendor.play(sent)

    code, detail, peak = await harvested(world)

    assert code == "source_busy"
    assert detail in words.split()
    assert vendor.played == 1
    assert peak < MOST_MEMORY
    await covers_nothing_and_goes_on(world)


@pytest.mark.parametrize("case", WIRE)
async def test_a_hostile_way_of_sending_is_no_answer(world: World, vendor: Hostile, case: str):
    words, scripts = WIRE[case]
    vendor.play(*scripts)

    code, detail, peak = await harvested(world)

    assert code == "source_busy"
    assert detail in words.split()
    assert vendor.played == len(scripts)
    assert peak < MOST_MEMORY
    await covers_nothing_and_goes_on(world)


@pytest.mark.parametrize("case", LATE)
async def test_what_has_no_end_is_ended_by_the_time_out(world: World, vendor: Hostile, case: str):
    patient = world.collection.sync.timeout
    world.configure(timeout=timedelta(seconds=0.25))
    vendor.play(*[LATE[case]] * 20)

    code, detail, peak = await harvested(world)

    assert (code, detail) == ("source_timed_out", "timeout")
    assert vendor.played >= 1
    assert peak < MOST_MEMORY
    vendor.forget()
    world.configure(timeout=patient)
    await covers_nothing_and_goes_on(world)
