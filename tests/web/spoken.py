"""A daemon as its interface sees it, and a client that holds answers against their description."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
from shape import faults
from structlog.testing import capture_logs

from bibsync import events, store, timetable, web
from bibsync.config import Config, load
from bibsync.dispatch import Dispatch
from bibsync.harvest import Means
from bibsync.jobs import Duty
from bibsync.lease import PostgresLeases
from bibsync.metrics import Metrics
from bibsync.rounds import Database, Reached
from bibsync.settings.addresses import Listen
from bibsync.store import Pool, collections
from bibsync.web import openapi
from bibsync.web.limits import USUAL, Limits
from bibsync.web.routes import ROUTES

TOKEN = "token-that-nobody-may-see"
MAIN, ODD = "main", "Bücherei / Süd #1?"
"""Names of collections: any text is one."""
SOON_S = 20.0
DESCRIBED = json.loads(json.dumps(openapi.document(ROUTES)))
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "bibsync",
}


@dataclass
class Outside:
    """What a daemon is given, as far as its interface asks for it."""

    metrics: Metrics = field(default_factory=Metrics)


@dataclass
class StandIn:
    """What a daemon has reached by now: nothing at first."""

    config: Config
    outside: Outside = field(default_factory=Outside)
    database: Database | None = None
    dispatch: Dispatch | None = None
    replica: str = "here:1"
    redis_lost: bool = False

    @property
    def ready(self) -> bool:
        return self.dispatch is not None and self.database is not None and not self.database.lost

    def set(self, **changes: object) -> None:
        """Change [web], as a reload does."""
        self.config = replace(self.config, web=replace(self.config.web, **changes))


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Return what the problem is called."""
        return self.document["code"]


@dataclass
class Api:
    """The way to a daemon's interface."""

    base: str
    session: aiohttp.ClientSession

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = TOKEN,
        **headers: str,
    ) -> Got:
        """Ask; names of headers have _ for -. What is no text is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None and method != "GET":
            sent.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        url = aiohttp.client.URL(self.base + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=sent) as answer:
            got = Got(answer.status, answer.headers, await answer.read())
        hold(method, path, got)
        return got

    async def get(self, path: str, **headers: str) -> dict[str, Any]:
        """Return a document that there is."""
        got = await self("GET", path, **headers)
        assert got.status == 200, got.body
        return got.document

    async def post(self, path: str, body: object = None, **headers: str) -> Got:
        return await self("POST", path, body, **headers)


def hold(method: str, path: str, got: Got) -> None:
    """Hold an answer against the description of its route."""
    assert dict(HEADERS) == {name: got.headers.get(name) for name in HEADERS}
    template = next((each for each in DESCRIBED["paths"] if _matches(each, path)), None)
    operation = DESCRIBED["paths"].get(template, {}).get(method.lower())
    if got.headers["Content-Type"].startswith("application/problem+json"):
        assert got.status == got.document["status"]
        schema = {"$ref": "#/components/schemas/Problem"}
        extended = {"holder", "since", "request"}
        plain = {name: v for name, v in got.document.items() if name not in extended}
        assert not (found := faults(plain, schema, DESCRIBED)), found
        return
    assert operation is not None, f"{method} {path} is not described"
    [(media_type, content)] = operation["responses"][str(got.status)]["content"].items()
    assert got.headers["Content-Type"].startswith(media_type)
    if "schema" in content:
        assert not (found := faults(got.document, content["schema"], DESCRIBED)), found


def _matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path.partition("?")[0]) is not None


def configured(folder: Path, *, names: tuple[str, ...] = (MAIN, ODD), web_: str = "") -> Config:
    """Return a configuration with these collections."""
    each = "".join(
        f"[[collections]]\nname = {json.dumps(name)}\nsource = 'bibliotheca'\n"
        f"library_id = 'library{number}'\naccount_id = 'partner'\naccount_key = 'secret'\n"
        for number, name in enumerate(names)
    )
    file = folder / "bibsync.toml"
    web_ = web_ or f"[web]\nlisten = '127.0.0.1:0'\noperator_token = '{TOKEN}'\n"
    file.write_text(f"state_dir = '{folder}'\n{web_}\n{each}")
    file.chmod(0o600)
    return load(file, {})


async def reached(daemon: StandIn, pool: Pool, source: Any = None) -> None:
    """Let the daemon have reached this database, as the real one does."""
    config = daemon.config
    async with store.acquire(pool) as conn, conn.transaction():
        numbers = await collections.enrol(conn, config.collections)
        await timetable.seed(conn, config)
    by_number = {numbers[each.name]: each for each in config.collections}
    means = Means(pool=pool, leases=PostgresLeases(pool), source=source)
    daemon.database = Database(Reached(pool))
    duty = Duty(config=config, numbers=by_number, means=means)
    daemon.dispatch = Dispatch(daemon.database, duty, heard=lambda _: None)


@asynccontextmanager
async def opened(daemon: StandIn, limits: Limits = USUAL) -> AsyncIterator[Api]:
    """Serve a daemon's interface and return the way to it."""
    with capture_logs() as log:
        serving = web.serve(daemon, limits)
        await serving.__aenter__()
    [addresses] = [each["addresses"] for each in log if each["event"] == events.WEB_OPENED]
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Api(f"http://127.0.0.1:{addresses[0].rpartition(':')[2]}", session)
    finally:
        await serving.__aexit__(None, None, None)


def listening_on(daemon: StandIn, host: str, *, port: int = 8470) -> None:
    """Let the configuration name another address than the one that is listened on."""
    daemon.set(listen=Listen(host, port))


class Wire:
    """A connection, byte by byte."""

    def __init__(self, api: Api) -> None:
        self._port = int(api.base.rpartition(":")[2])

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, text: str | bytes) -> None:
        self._writer.write(text.encode() if isinstance(text, str) else text)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """Return all that comes until the other side closes."""
        async with asyncio.timeout(SOON_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    async def flood(self, text: str) -> None:
        """Send the same again and again, until the other side is gone."""
        async with asyncio.timeout(SOON_S):
            while True:
                await self.send(text)

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()


def head(method: str, path: str, *more: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}"]
    return "\r\n".join([*lines, *more, "", ""])


def problem(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def until(pool: Pool, question: str, *arguments: object) -> None:
    """Wait until the database says yes."""
    async with asyncio.timeout(SOON_S), store.acquire(pool) as conn:
        while not await conn.fetchval(question, *arguments):  # noqa: ASYNC110 - tables have no events
            await asyncio.sleep(0.01)
