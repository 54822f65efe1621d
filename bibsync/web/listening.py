"""The port: opened for the length of a block, and bounded.

Of connections there are so many at most; one more is told so and let go. One that has not sent a
whole head in time, at the start or after an answer, is closed, however busily it drips. What isn't
HTTP gets a problem document too.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import structlog
from aiohttp import web

from bibsync import events
from bibsync.errors import NotListening
from bibsync.web import guard, problems
from bibsync.web.exchange import LARGEST_BODY, Exchange
from bibsync.web.limits import USUAL, Limits
from bibsync.web.problems import Refused
from bibsync.web.routes import ROUTES
from bibsync.web.served import Served

LINGERING_S: Final = 1.0
"""How long the rest of a refused body is read and thrown away."""
STOP_S: Final = 2.0
"""How long answers under way may take when the daemon stops."""

log = structlog.get_logger()


@asynccontextmanager
async def serve(daemon: Served, limits: Limits = USUAL) -> AsyncIterator[None]:
    """Answer on the configured address while the block lasts.

    Raises:
        NotListening: the address can't be had.
    """
    runner = web.AppRunner(
        application(daemon, limits),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=STOP_S,
    )
    await runner.setup()
    try:
        server = await _opened(runner, daemon, limits)
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()


def application(daemon: Served, limits: Limits = USUAL) -> web.Application:
    """Return what answers for a daemon, route by route."""
    exchange = Exchange(daemon, limits)
    served = web.Application(middlewares=[exchange.guarded], client_max_size=LARGEST_BODY)
    served.on_response_prepare.append(_secured)
    for route in ROUTES:
        handler = exchange.handler(route)
        if route.method == "GET":
            served.router.add_get(route.path, handler)
        else:
            served.router.add_route(route.method, route.path, handler)
    return served


class _Connection(web.RequestHandler):
    """A connection, whose broken requests are answered as all others are."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what can't be read as HTTP; nothing of it is repeated."""
        del request, status, exc, message
        response = Refused(problems.UNREADABLE, "The request isn't readable as HTTP.").response()
        guard.secure(response)
        response.force_close()
        return response


class _Full(asyncio.Protocol):
    """A connection too many: told so, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything was asked."""
        refused = Refused(problems.FULL, "There are too many connections already.")
        body = problems.written(refused.document())
        head = (
            "HTTP/1.1 503 Service Unavailable\r\n"
            f"Content-Type: {problems.MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Retry-After: {problems.AGAIN_S}\r\n"
            "Connection: close\r\n\r\n"
        )
        connection = cast("asyncio.Transport", transport)
        connection.write(head.encode() + body)
        connection.close()


async def _opened(runner: web.AppRunner, daemon: Served, limits: Limits) -> asyncio.Server:
    loop, listen = asyncio.get_running_loop(), daemon.config.web.listen
    answering = runner.server
    assert answering is not None  # noqa: S101 - it was set up

    def connected() -> asyncio.Protocol:
        if len(answering.connections) >= limits.connections:
            return _Full()
        return _Connection(
            answering,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            lingering_time=LINGERING_S,
            access_log=None,  # type: ignore[arg-type]  # none is kept; the runner says it so too
            auto_decompress=False,
        )

    try:
        server = await loop.create_server(connected, listen.host, listen.port)
    except OSError as error:
        why = _reason(error).lower()
        raise NotListening(f"[web] listen = {listen} can't be listened on: {why}.") from None
    log.info(events.WEB_OPENED, addresses=[_told(each.getsockname()) for each in server.sockets])
    return server


def _reason(error: OSError) -> str:
    """Say why in words of the operating system, without the address, which is told already."""
    if error.errno is not None and error.errno > 0:  # a name that isn't found has one below 0
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def _told(name: Any) -> str:
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _secured(_: web.BaseRequest, response: web.StreamResponse) -> None:
    guard.secure(response)
