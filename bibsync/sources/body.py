"""Bodies of vendors' answers, read piece by piece and never further than a bound.

aiohttp's own decompression is switched off: it inflates a small bomb to hundreds of MiB in
`read()`, and takes a gzip stream that was cut for whole. Here the stream must have ended.
"""

import zlib
from collections.abc import AsyncIterator, Iterator

from bibsync.errors import SourceBusy
from bibsync.fault import Fault

MOST_BYTES = 16 * 1024 * 1024
"""No body is larger, decoded; a page of 50 records is about 0.4 MB."""

MOST_PACKED = MOST_BYTES + 1024 * 1024
"""Nor packed: what can't be pressed grows a little, and a stream may unpack to nothing for ever."""

MOST_RATIO = 200
"""No honest body inflates further, once it is larger than RATIO_FROM."""

RATIO_FROM = 1024 * 1024
_PART = 256 * 1024


async def read(pieces: AsyncIterator[bytes], *, encoding: str, vendor: str) -> bytes:
    """Return the whole body, decoded from `encoding` (the Content-Encoding, in lower case).

    A body of no bytes at all is empty, whatever its encoding says.

    Raises:
        SourceBusy: the body is too large, its gzip stream is broken or cut, or it is encoded
            in a way that was not asked for. The caller closes the connection.
    """
    if encoding in ("", "identity"):
        return await _plain(pieces, vendor)
    if encoding in ("gzip", "x-gzip"):
        return await _gunzipped(pieces, vendor)
    raise SourceBusy(
        f"{vendor} sent an answer in an encoding that was not asked for.",
        outcome=Fault.BAD_ENCODING,
    )


async def _plain(pieces: AsyncIterator[bytes], vendor: str) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > MOST_BYTES:
            raise _oversize(vendor)
    return bytes(body)


async def _gunzipped(pieces: AsyncIterator[bytes], vendor: str) -> bytes:
    stream, body, received = _Gunzip(), bytearray(), 0
    try:
        async for piece in pieces:
            received += len(piece)
            _check(len(body), received, vendor)
            for part in stream.inflate(piece):
                body += part
                _check(len(body), received, vendor)
    except zlib.error:
        raise SourceBusy(
            f"{vendor} sent an answer that can't be unpacked.", outcome=Fault.BAD_GZIP
        ) from None
    if received and not stream.ended:
        raise SourceBusy(f"{vendor} sent an answer that was cut short.", outcome=Fault.CUT_GZIP)
    return bytes(body)


def _check(decoded: int, received: int, vendor: str) -> None:
    if decoded > MOST_BYTES or received > MOST_PACKED:
        raise _oversize(vendor)
    if decoded > RATIO_FROM and decoded > received * MOST_RATIO:
        raise SourceBusy(
            f"{vendor} sent an answer that inflates beyond all measure.", outcome=Fault.OVERSIZE
        )


class _Gunzip:
    """A gzip stream of one or more members, inflated in bounded parts."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def inflate(self, piece: bytes) -> Iterator[bytes]:
        while piece:  # whatever a full part leaves behind, the stream's trailer is still to come
            if self._member.eof:  # another member follows, as the format allows
                self._member = zlib.decompressobj(wbits=31)
            yield self._member.decompress(piece, _PART)
            piece = self._member.unconsumed_tail or self._member.unused_data


def _oversize(vendor: str) -> SourceBusy:
    return SourceBusy(
        f"{vendor} sent an answer of more than {MOST_BYTES // 1024 // 1024} MiB.",
        outcome=Fault.OVERSIZE,
    )
