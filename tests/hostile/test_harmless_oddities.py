"""Answers that look hostile and aren't: what HTTP allows, and headers that make no sense."""

import gzip

import pytest
from hostile import Hostile, answer, chunked, head, page, record, said

from bibsync.errors import SourceBusy
from bibsync.window import Window
from tests.harvest.world import MIDNIGHT, NOW, World

TODAY = Window(MIDNIGHT, NOW)
TRUE = {"a": "A title", "b": "A title", "c": "A title"}
BODY = page([record("a"), record("b"), record("c")])
CHUNKED = {"Transfer-Encoding": "chunked"}

GOOD = {
    "HTTP/1.0": said(head({}, version="1.0") + BODY, close=True),
    "HTTP/1.0, with a length": said(
        head({"Content-Length": str(len(BODY))}, version="1.0") + BODY, close=True
    ),
    "a word of going on before it": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(BODY),
    "hints before it": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 9 + answer(BODY),
    "trailers": head(CHUNKED) + chunked(BODY, last=b"0\r\nX-Sum: 7\r\nX: y\r\n\r\n"),
    "extensions of a chunk": head(CHUNKED) + b'%x;a="b"\r\n%b\r\n0\r\n\r\n' % (len(BODY), BODY),
    "chunks of single bytes": head(CHUNKED) + chunked(*(bytes([each]) for each in BODY)),
    "a transfer of no kind": said(head({"Transfer-Encoding": "identity"}) + BODY, close=True),
    "several members": answer(
        gzip.compress(BODY[:99]) + gzip.compress(BODY[99:]), {"Content-Encoding": "GZip "}
    ),
    "no encoding, by name": answer(BODY, {"Content-Encoding": "identity"}),
    "a charset that isn't the body's": answer(BODY, {"Content-Type": "text/xml; charset=utf-16"}),
    "a charset nobody knows": answer(BODY, {"Content-Type": "text/xml; charset=x-\xe9\xff"}),
    "a charset of escapes": answer(BODY, {"Content-Type": "a/b; charset=unicode_escape"}),
    "a type that isn't the body's": answer(BODY, {"Content-Type": "text/html"}),
    "no type": answer(BODY, {"Content-Type": ""}),
    "a type without sense": answer(BODY, {"Content-Type": ";;=;\x80"}),
    "a redirect without its status": answer(BODY, {"Location": "http://["}),
    "100 headers": answer(BODY, {f"X-{number}": "x" for number in range(100)}),
}


@pytest.mark.parametrize("case", GOOD)
async def test_an_answer_that_is_only_odd_is_taken(world: World, vendor: Hostile, case: str):
    vendor.play(GOOD[case])

    summary = await world.harvest()

    assert summary.outcome == "succeeded"
    assert vendor.played == 1
    assert await world.stored() == TRUE
    assert await world.covered() == (TODAY,)


PAUSES = {
    "120": 120,
    "1e9": None,
    "-5": None,
    "": None,
    "soon": None,
    "9" * 10: 3600,
    "9" * 400: None,
    "\u00b2".encode().decode("latin-1"): None,
    "1.5": None,
    "1\x1d": None,
    "0": 1,
    "Thu, 01 Jan 1970 00:00:00 GMT": 1,
    "Fri, 31 Dec 9999 23:59:59 GMT": None,
    "Sun, 10 Mar 2024 12:00:30 GMT": 30,
    "Mon, 11 Mar 2024 12:00:00 GMT": 3600,
    "Sun, 10 Mar 2024 12:00:30 +99999999": None,
    "Sun, 99999999999999999999 Mar 2024 12:00:30 GMT": None,
}
"""What Retry-After may say, and the seconds that it is taken for at the vendor's noon."""


@pytest.mark.parametrize("said_of_it", PAUSES)
async def test_a_pause_is_between_a_second_and_an_hour_or_none(
    world: World, vendor: Hostile, said_of_it: str
):
    noon = {"Date": "Sun, 10 Mar 2024 12:00:00 GMT"}
    vendor.play(answer(b"", {"Retry-After": said_of_it} | noon, "503 Service Unavailable"))
    await world.enrol()
    source = world.source(world.collection, _granted)

    with pytest.raises(SourceBusy) as raised:
        await source.page(TODAY, offset=1)

    assert raised.value.outcome == "http_503"
    assert raised.value.retry_after == PAUSES[said_of_it]


DATES = [
    "nonsense",
    "",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sun, 10 Mar 1924 12:00:00 GMT",
    "Sun, 10 Mar 2124 12:00:00 GMT",
    "Sun, 10 Mar 2024 12:00:00 +2400",
    "Sun, 10 Mar " + "2" * 5_000,
    "Sun, 10 Mar 2024 99:99:99 GMT",
]


@pytest.mark.parametrize("date", DATES, ids=lambda date: date[:40])
async def test_a_date_without_sense_or_years_ahead_changes_nothing(
    world: World, vendor: Hostile, date: str
):
    vendor.play(answer(BODY, {"Date": date}))

    summary = await world.harvest()

    assert summary.outcome == "succeeded"
    assert vendor.played == 1
    assert await world.stored() == TRUE
    assert await world.covered() == (TODAY,)


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"])
async def test_a_date_years_back_covers_nothing_and_the_next_run_reads_it(
    world: World, vendor: Hostile, date: str
):
    """What a vendor with such a clock holds of today can't be told."""
    vendor.play(answer(BODY, {"Date": date}))
    await world.harvest()
    before = await world.covered()
    vendor.play(answer(BODY, {"Date": "Sun, 10 Mar 2024 12:00:00 GMT"}))

    await world.harvest()

    assert before == ()
    assert vendor.played == 2
    assert await world.stored() == TRUE
    assert await world.covered() == (TODAY,)


async def test_no_cookie_ever_comes_back(world: World, vendor: Hostile):
    cookies = {"Set-Cookie": "session=canary; Path=/", "Set-Cookie2": "a=canary"}
    vendor.play(answer(BODY, cookies), answer(page([record("c")]), cookies))

    await world.harvest()
    await world.harvest()

    assert vendor.played == 2
    assert len(vendor.heads) > 2
    assert not any("cookie" in head.lower() or "canary" in head for head in vendor.heads)


@pytest.mark.parametrize("place", [0, 24, 49])
async def test_a_field_of_ten_megabytes_costs_its_record_alone(
    world: World, vendor: Hostile, place: int
):
    vendor.records = [record(f"r{number:02}") for number in range(50)]
    vendor.records[place] = record("large", b"x" * 10_000_000)

    summary = await world.harvest()

    assert summary.outcome == "succeeded"
    assert set(await world.stored()) == {f"r{n:02}" for n in range(50) if n != place}
    assert await world.rejects() == ["oversize_record"]
    assert await world.covered() == (TODAY,)


DAMAGE = {
    "NUL": (b"A\0B", "AB"),
    "controls": (b"A\x01\x1b[2J\x0bB", "A[2JB"),
    "controls by reference": (b"A&#0;&#27;&#xFFFF;B", "AB"),
    "a surrogate": (b"A\xed\xa0\x80B", "AB"),
    "no UTF-8": (b"A\xe9B", "A\xe9B"),
    "marks that turn the text around": ("A\u202eB".encode(), "A\u202eB"),
}


@pytest.mark.parametrize(("sent", "kept"), DAMAGE.values(), ids=DAMAGE)
async def test_characters_that_no_table_holds_cost_themselves_alone(
    world: World, vendor: Hostile, sent: bytes, kept: str
):
    vendor.records = [record("a"), record("odd", sent), record("c")]

    await world.harvest()

    assert await world.stored() == {"a": "A title", "odd": kept, "c": "A title"}
    assert await world.rejects() == []


async def test_a_control_number_with_a_nul_is_stored_without_it(world: World, vendor: Hostile):
    vendor.records = [record("a"), record("b\0b"), record("c")]

    await world.harvest()

    assert set(await world.stored()) == {"a", "bb", "c"}


async def _granted() -> bool:
    return True
