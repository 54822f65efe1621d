"""From a request to its answer: everything that holds for each route alike.

Order: the host, the token, the query, the body, then the database. What is refused on the way has
changed nothing. An answer is bounded in time, and so is sending it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from typing import Any, Final

import orjson
import structlog
from aiohttp import hdrs, web

from bibsync import events, store
from bibsync.errors import BibsyncError, NotFound, StoreUnavailable, UsageWrong
from bibsync.store import Pool
from bibsync.web import fields, guard, idempotency, problems
from bibsync.web.limits import Limits
from bibsync.web.problems import Refused
from bibsync.web.route import Answer, Asked, Route, Text
from bibsync.web.served import Served

LARGEST_BODY: Final = 64 * 1024
AT_ONCE: Final = 3
"""Connections of the pool that answers use together: the rest is for the work."""
CRASHED: Final = "The request met a defect of bibsync; its log has the traceback."

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Exchange:
    """What answers the requests to a daemon."""

    def __init__(self, daemon: Served, limits: Limits) -> None:
        self._daemon = daemon
        self._limits = limits
        self._turns = asyncio.Semaphore(AT_ONCE)

    def handler(self, route: Route) -> Handler:
        """Return what answers the requests to a route."""

        async def answer(request: web.Request) -> web.StreamResponse:
            return _response(*await self._answered(route, request))

        return answer

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request with what its route answers, or with a problem, and send it in time."""
        try:
            async with asyncio.timeout(self._limits.answer_s):
                response = await self._attempt(request, handler)
        except TimeoutError:
            detail = f"It took longer than {self._limits.answer_s:g} s."
            response = Refused(problems.TIMED_OUT, detail).response()
        try:
            async with asyncio.timeout(self._limits.send_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _attempt(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            try:
                return await handler(request)
            except BibsyncError as error:
                raise Refused.by(error) from None
            except web.HTTPException as error:
                guard.demand_host(request, self._daemon.config.web)
                raise _refused(error, request) from None
        except Refused as refused:
            response = refused.response()
            if refused.kind.status == problems.TOO_SLOW.status:
                response.force_close()
            return response
        except Exception:
            log.exception(events.ANSWER_CRASHED, method=request.method)
            return Refused.by(BibsyncError(CRASHED)).response()

    async def _answered(self, route: Route, request: web.Request) -> tuple[Answer | Text, bool]:
        """Return the answer, and whether it was given before."""
        settings = self._daemon.config.web
        if not route.any_host:
            guard.demand_host(request, settings)
        if route.changes:
            guard.demand_operator(request, settings)
        elif not route.is_open:
            guard.demand_reader(request, settings)
        if route.show is not None:
            return await route.show(self._daemon), False
        return await self._acted(route, request)

    async def _acted(self, route: Route, request: web.Request) -> tuple[Answer, bool]:
        query = _query(route, request)
        raw = await self._body(request) if route.changes else b""
        body = _read_body(route, raw)
        key = idempotency.key_of(request) if route.method == "POST" else None
        by = guard.who(request)

        async def act(conn: store.Connection) -> Answer:
            asked = Asked(
                daemon=self._daemon,
                conn=conn,
                path=request.match_info,
                query=query,
                body=body,
                by=by,
                now=(await store.clock(conn)).astimezone(UTC),
            )
            assert route.act is not None, route  # noqa: S101 - a route has one of both
            return await route.act(asked)

        try:
            async with self._turns, store.acquire(self._pool()) as conn:
                if not route.changes:
                    return await act(conn), False
                async with conn.transaction():
                    if key is None:
                        answer, before = await act(conn), False
                    else:
                        digest = idempotency.digest_of(request, raw)
                        answer, before = await idempotency.once(
                            conn, key, digest, lambda: act(conn)
                        )
        except store.DISCONNECTED as error:
            raise store.unavailable(error) from None
        except store.UNSTORABLE:
            raise UsageWrong(
                "Something in the request can't be stored: it holds characters that no text has.",
                remedy="Leave them out.",
            ) from None
        if not before:
            self._note(route, dict(request.match_info) | body, by, answer)
        return answer, before

    async def _body(self, request: web.Request) -> bytes:
        """Receive a body, unless it is of another kind, too large, or too slow."""
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise Refused(problems.NOT_JSON, "The body is compressed.")
        body_s = self._limits.body_s
        try:
            async with asyncio.timeout(body_s):
                raw = await request.read()
        except TimeoutError:
            raise Refused(problems.TOO_SLOW, f"The body took longer than {body_s:g} s.") from None
        if raw.strip() and request.content_type != "application/json":
            raise Refused(problems.NOT_JSON, f"The body is {request.content_type}.")
        return raw

    def _pool(self) -> Pool:
        """Return the pool of a database that is known to answer.

        Raises:
            StoreUnavailable: it doesn't, or wasn't reached yet.
        """
        database = self._daemon.database
        if database is None or self._daemon.dispatch is None:
            raise StoreUnavailable("The daemon hasn't reached its database yet.")
        if database.silent:
            raise StoreUnavailable("The database doesn't answer now.")
        return database.pool

    def _note(self, route: Route, what: Mapping[str, Any], by: str, answer: Answer) -> None:
        """Tell of a change, and have what it asks for begun at once."""
        log.info(
            events.CHANGE_MADE,
            does=f"{route.method} {route.path}",
            what=what,
            by=by,
            status=answer.status,
        )
        if self._daemon.dispatch is not None:
            self._daemon.dispatch.woken.set()


def _query(route: Route, request: web.Request) -> dict[str, Any]:
    return fields.read(route.query, request.query.items(), what="query")


def _read_body(route: Route, raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(problems.UNREADABLE, f"The body isn't JSON: {error}.") from None
    if not isinstance(given, dict):
        raise Refused(problems.UNREADABLE, "The body is JSON, but no object.")
    return fields.read(route.body, given.items(), what="body")


def _response(answer: Answer | Text, given_before: bool) -> web.Response:  # noqa: FBT001 - a pair
    if isinstance(answer, Text):
        return web.Response(body=answer.body, headers={hdrs.CONTENT_TYPE: answer.media_type})
    headers: dict[str, str] = {}
    if answer.location:
        headers[hdrs.LOCATION] = answer.location
    if given_before:
        headers[idempotency.REPLAYED] = "true"
    return web.Response(
        status=answer.status,
        body=problems.written(answer.document),
        content_type="application/json",
        headers=headers,
    )


def _refused(error: web.HTTPException, request: web.Request) -> Refused:
    """Say what aiohttp refuses by itself."""
    match error:
        case web.HTTPNotFound():
            return Refused.by(
                NotFound("There is no such path.", remedy="/v1/openapi.json lists those there are.")
            )
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{request.method} isn't done here; there is: {allowed}."
            return Refused(problems.METHOD_UNKNOWN, detail, headers={hdrs.ALLOW: allowed})
        case web.HTTPRequestEntityTooLarge():
            most = LARGEST_BODY // 1024
            return Refused(problems.TOO_LARGE, f"The body is larger than {most} KiB.")
    return Refused(problems.UNREADABLE, f"{error.reason}.")
