"""Bodies, bounded and whole."""

import gzip
import os
import random
import tracemalloc

import pytest

from bibsync.errors import SourceBusy
from bibsync.sources import body


async def pieces(data, size=65_536):
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def read(data, *, size=65_536, encoding="gzip"):
    return await body.read(pieces(data, size), encoding=encoding, vendor="The vendor")


@pytest.mark.parametrize("size", [1, 7, 1000, 65_536])
async def test_a_gzipped_body_is_the_same_in_pieces_of_any_size(size):
    text = b"<record>" * 500 + os.urandom(500)

    assert await read(gzip.compress(text), size=size) == text


@pytest.mark.parametrize("seed", [random.randrange(2**32)])
async def test_output_that_the_decoder_still_holds_is_not_lost(seed):
    dice = random.Random(seed)
    for _ in range(20):
        text = dice.randbytes(50) * dice.randrange(5_000, 20_000)

        assert await read(gzip.compress(text), size=dice.randrange(50, 5_000)) == text


async def test_several_gzip_members_are_one_body():
    assert (
        await read(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), size=5) == b"ab"
    )


async def test_no_bytes_are_an_empty_body_in_any_encoding():
    assert await read(b"") == b""
    assert await read(b"", encoding="") == b""


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100])
async def test_a_gzip_stream_must_have_ended(missing):
    packed = gzip.compress(os.urandom(1000))

    with pytest.raises(SourceBusy) as raised:
        await read(packed[:-missing])

    assert raised.value.outcome == "cut_gzip"


async def test_a_gzip_stream_with_a_wrong_checksum_is_broken():
    packed = bytearray(gzip.compress(b"<collection/>"))
    packed[-6] ^= 1

    with pytest.raises(SourceBusy) as raised:
        await read(bytes(packed))

    assert raised.value.outcome == "bad_gzip"


@pytest.mark.parametrize("encoding", ["", "identity", "gzip"])
async def test_no_body_is_larger_than_the_bound(encoding):
    text = os.urandom(body.MOST_BYTES // 64) * 64
    packed = gzip.compress(text, 1) if encoding == "gzip" else text
    more = gzip.compress(text + b"!", 1) if encoding == "gzip" else text + b"!"

    assert len(await read(packed, encoding=encoding)) == body.MOST_BYTES
    with pytest.raises(SourceBusy) as raised:
        await read(more, encoding=encoding)

    assert raised.value.outcome == "oversize"


async def test_a_bomb_is_given_up_before_it_takes_memory():
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()

    try:
        with pytest.raises(SourceBusy) as raised:
            await read(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert raised.value.outcome == "oversize"
    assert peak < 16_000_000


ENDLESS = {
    "empty members": (b"", gzip.compress(b"")),
    "empty blocks": (gzip.compress(b"")[:10], b"\0\0\0\xff\xff"),
    "a name that never ends": (b"\x1f\x8b\x08\x08\0\0\0\0\0\xff", b"name"),
}


@pytest.mark.parametrize(("beginning", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_a_stream_that_unpacks_to_nothing_is_not_read_for_ever(beginning, piece):
    sent = 0

    async def pieces():
        nonlocal sent
        yield beginning
        while True:
            sent += 65_536
            yield piece * (65_536 // len(piece))

    with pytest.raises(SourceBusy) as raised:
        await body.read(pieces(), encoding="gzip", vendor="The vendor")

    assert raised.value.outcome == "oversize"
    assert sent <= body.MOST_PACKED + 65_536


async def test_a_small_body_may_inflate_as_it_likes():
    text = b" " * 1_000_000

    assert await read(gzip.compress(text)) == text
