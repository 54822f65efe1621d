"""How an answer goes over the wire: whole, or in one of the broken ways of `Carriage`.

aiohttp sends well-formed HTTP only, so what is broken is written onto the connection byte by
byte, which is closed afterwards.
"""

import asyncio
import struct
from email.utils import format_datetime
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from aiohttp import web

from bibsync.simulator.answers import Answer, Carriage
from bibsync.simulator.vendor import Vendor

_DRIP_S: Final = 0.2
_RESET: Final = struct.pack("ii", 1, 0)  # lingering for no time at all: a close is a reset


async def send(request: web.Request, answer: Answer, vendor: Vendor) -> web.StreamResponse:
    """Send the answer and return what aiohttp is to go on with."""
    headers = _headers(answer, vendor)
    if answer.carriage is Carriage.WHOLE:
        return web.Response(status=answer.status, headers=headers, body=answer.body)
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    if answer.carriage is Carriage.NEVER:
        await asyncio.sleep(vendor.hang_s)
        return web.Response(status=504, headers={"Date": headers["Date"]})
    if answer.carriage is Carriage.DRIP:
        await _drip(request.transport, answer, headers, vendor.hang_s)
    else:
        _break(request.transport, answer, headers)
    return web.Response()  # into the closed connection: aiohttp lets it go


def _headers(answer: Answer, vendor: Vendor) -> dict[str, str]:
    date = format_datetime(vendor.clock, usegmt=True)
    return {"Content-Type": answer.content_type, "Date": date, **answer.headers}


def _head(answer: Answer, headers: dict[str, str], length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    lines += ["Connection: close"] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def _break(transport: asyncio.Transport, answer: Answer, headers: dict[str, str]) -> None:
    body = answer.body
    if answer.carriage is Carriage.CUT:
        transport.write(_head(answer, headers, None) + body)
        transport.close()
    elif answer.carriage is Carriage.SHORT:
        transport.write(_head(answer, headers, len(body) + 100) + body)
        transport.close()
    else:
        transport.write(_head(answer, headers, len(body) + 1) + body[: len(body) // 2])
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        transport.abort()


async def _drip(
    transport: asyncio.Transport, answer: Answer, headers: dict[str, str], hang_s: float
) -> None:
    transport.write(_head(answer, headers, len(answer.body) + 1))
    for place in range(int(hang_s / _DRIP_S)):
        if transport.is_closing():
            return
        transport.write(answer.body[place : place + 1] or b" ")
        await asyncio.sleep(_DRIP_S)
    transport.abort()
