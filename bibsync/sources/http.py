"""Vendors over HTTP: one exchange at a time, bounded in time and size, and its errors.

What every vendor of this kind shares: connections, the budget and the clock of each host, the
time-out, the bound on bodies, what a status means. What an answer says is the vendor's module.

Here aiohttp's exceptions end. They hold the request's headers and query, that is the account
and the signature, so they are never chained: an error is made from them and raised after the
handler was left. Redirects are never followed: the signature would travel to another host.
A GET whose connection breaks before the answer begins is sent once more by aiohttp itself.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from bibsync import __version__, fault
from bibsync.errors import SourceBusy, SourceError, SourceMisled, SourceRefused, SourceTimedOut
from bibsync.fault import Fault
from bibsync.source import Permit, always
from bibsync.sources import body, clock
from bibsync.sources.budget import Budget, SharedTurns

AT_ONCE: Final = 16
"""Requests in flight to one host; more wait for a place before their time-out begins."""

CONNECT_S: Final = 20.0
"""Connecting takes no longer, nor more than half of the time-out."""

HEADERS: Final = {
    "Accept": "application/xml, text/xml;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
    "User-Agent": f"bibsync/{__version__}",
}
PAUSES_HOST: Final = frozenset({429, 503})
HOST: Final = re.compile(r"[\w.:%-]{1,253}")
"""A host that a message may name: no name is longer, and none steers a terminal."""
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

FAULTS: Final[tuple[tuple[type[Exception], Fault, str], ...]] = (
    (aiohttp.ConnectionTimeoutError, Fault.CONNECT, "{vendor} at {host} can't be reached in time."),
    (aiohttp.ClientConnectorDNSError, Fault.DNS, "The name {host} can't be found (DNS)."),
    (aiohttp.ClientConnectorCertificateError, Fault.TLS, "The certificate of {host} isn't valid."),
    (aiohttp.ClientSSLError, Fault.TLS, "No secure connection to {host} could be made."),
    (aiohttp.ClientConnectorError, Fault.CONNECT, "{vendor} at {host} can't be reached."),
    (aiohttp.ClientPayloadError, Fault.CUT_SHORT, "{vendor} sent an answer that was cut short."),
    (
        aiohttp.ClientResponseError,
        Fault.BAD_HTTP,
        "{vendor} sent an answer that isn't proper HTTP.",
    ),
    (TimeoutError, Fault.TIMEOUT, "{vendor} gave no whole answer within {limit:g} seconds."),
)
"""What can go wrong on the way: the first kind that fits, its outcome, its sentence."""

Sign = Callable[[datetime], Mapping[str, str]]
"""Makes the headers that authorise a request sent at this moment of the vendor's clock."""

Told = Callable[[float], object]
"""Is called with the vendor's clock minus ours, as soon as an answer's head has told it."""

Took = Callable[[str, float], object]
"""Is called with a host and the seconds that an exchange with it took, answered or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of any status.

    Attributes:
        vendor: how the vendor is called in messages.
        host: the host that answered.
        status: the HTTP status.
        body: decoded, whole.
        charset: what Content-Type names, if anything.
        retry_after: the pause that the vendor asks for, in seconds.
        redirect: the host that the answer points to.
        clock_error_s: by how much the moment that was signed differs from the vendor's Date.
    """

    vendor: str
    host: str
    status: int
    body: bytes
    charset: str | None = None
    retry_after: float | None = None
    redirect: str | None = None
    clock_error_s: float = 0.0

    @property
    def status_text(self) -> str:
        """The status with its name, `502 (Bad Gateway)`; the vendor's own phrase is not trusted."""
        try:
            return f"{self.status} ({HTTPStatus(self.status).phrase})"
        except ValueError:
            return str(self.status)


class _Request(aiohttp.ClientRequest):
    """A request that takes no connection on which the host has spoken unasked.

    aiohttp would take what waits there, an answer sent twice for one, for the answer to this one.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send it; raises what makes aiohttp take another connection, once."""
        if conn.protocol is None or conn.protocol.should_close:
            raise aiohttp.ServerDisconnectedError
        return await super().send(conn)


class Hosts:
    """The vendors' hosts, once per process: `async with Hosts() as hosts`.

    `now` is our clock; it returns an aware datetime. `shared`: where replicas share their turns.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] | None = None,
        shared: SharedTurns | None = None,
        took: Took = lambda *_: None,
    ) -> None:
        self._now = now or _now
        self._shared = shared
        self._took = took
        self._hosts: dict[str, Host] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=AT_ONCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            request_class=_Request,
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    def at(self, base: URL) -> "Host":
        """Return the host of `base`, the same one for all that share it."""
        name = base.host_port_subcomponent or ""
        if name not in self._hosts:
            budget = Budget(name, shared=self._shared)
            self._hosts[name] = Host(name, self._session, self._now, budget, took=self._took)
        return self._hosts[name]


class Host:
    """One vendor's host: its budget, its clock, the requests in flight.

    `skew` is the host's clock minus ours in seconds, None before it told.
    """

    def __init__(
        self,
        name: str,
        session: aiohttp.ClientSession,
        now: Callable[[], datetime],
        budget: Budget,
        *,
        took: Took = lambda *_: None,
    ) -> None:
        self.name = name
        self.skew: float | None = None
        self.budget = budget
        self._session = session
        self._now = now
        self._took = took
        self._places = asyncio.Semaphore(AT_ONCE)

    def time(self) -> datetime:
        """Return the present moment of the host's clock, as far as it is known."""
        return self._now() + timedelta(seconds=self.skew or 0.0)

    async def get(
        self,
        url: URL,
        *,
        sign: Sign,
        within: timedelta,
        vendor: str,
        permit: Permit = always,
        told: Told = lambda _: None,
    ) -> Answer:
        """Ask once, in turn and permitted; `within` is for the exchange, those waits left out.

        Raises:
            SourceBusy: there was no complete answer, or the host's pause isn't over.
        """
        limit = within.total_seconds()
        async with self._places:
            await self.budget.turn(vendor)
            while not await permit():
                await self.budget.turn(vendor)
            began = time.monotonic()
            try:
                async with asyncio.timeout(limit):
                    return await self._exchange(url, sign, limit, vendor, told=told)
            except (aiohttp.ClientError, OSError) as error:
                failure = _without_request(error, vendor, self.name, limit)
            finally:
                self._took(self.name, time.monotonic() - began)
        raise failure

    async def _exchange(
        self, url: URL, sign: Sign, limit: float, vendor: str, *, told: Told
    ) -> Answer:
        signed_at = self.time()
        async with self._session.get(
            url,
            headers=sign(signed_at),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=min(CONNECT_S, limit / 2)),
        ) as response:
            clock_error_s = self._learn(response.headers.get("Date"), signed_at, told)
            pause = clock.pause(response.headers.get("Retry-After"), now=self.time())
            if pause is not None and response.status in PAUSES_HOST:
                await self.budget.postpone(pause)
            _demand_known_transfer(response.headers.getall("Transfer-Encoding", ()), vendor)
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            pieces = response.content.iter_any()
            return Answer(
                vendor=vendor,
                host=self.name,
                status=response.status,
                body=await body.read(pieces, encoding=encoding, vendor=vendor),
                charset=response.charset,
                retry_after=pause,
                redirect=_host_of(response.headers.get("Location"), self.name),
                clock_error_s=clock_error_s,
            )

    def _learn(self, date: str | None, signed_at: datetime, told: Told) -> float:
        moment = clock.moment(date)
        if moment is None:
            return 0.0
        self.skew = clock.skew(moment, self._now())
        told(self.skew)
        return (moment - signed_at).total_seconds()


def address(text: str) -> URL:
    """Read a `base_url`.

    Raises:
        SourceMisled: it is no address of a web server.
    """
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise SourceMisled("base_url is not the address of a web server.")
    return url


def demand_ok(answer: Answer) -> None:
    """Let only a status of 200 pass.

    Raises:
        SourceRefused: 401 and 403.
        SourceMisled: the answer is a redirect.
        SourceBusy: every other status.
    """
    if answer.status == HTTPStatus.OK:
        return
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise SourceRefused(
            f"{answer.vendor} refuses the credentials: it answered {answer.status_text}."
        )
    if answer.status in REDIRECTS:
        raise SourceMisled(
            f"{answer.vendor} at {answer.host} answered {answer.status_text}, pointing to "
            f"{answer.redirect or 'no address'}; bibsync never follows, as the signature "
            "would travel along."
        )
    pause = f" and asks for {answer.retry_after:.0f} s of rest" if answer.retry_after else ""
    raise SourceBusy(
        f"{answer.vendor} answered {answer.status_text}{pause}.",
        outcome=fault.of_status(answer.status),
        retry_after=answer.retry_after,
    )


def _demand_known_transfer(encodings: Iterable[str], vendor: str) -> None:
    """Let only those transfers pass that aiohttp undoes: of others it would leave chunks' sizes in.

    Raises:
        SourceBusy: the body's transfer was encoded in another way.
    """
    if ",".join(encodings).strip().lower() not in ("", "identity", "chunked"):
        raise SourceBusy(
            f"{vendor} sent an answer in a way of transfer that was not asked for.",
            outcome=Fault.BAD_ENCODING,
        )


def _without_request(
    error: aiohttp.ClientError | OSError, vendor: str, host: str, limit: float
) -> SourceError:
    """Say what went wrong; nothing of the request that `error` may hold is taken over."""
    outcome, sentence = next(
        (each[1:] for each in FAULTS if isinstance(error, each[0])),
        (Fault.RESET, "{vendor} broke the connection off."),
    )
    message = sentence.format(vendor=vendor, host=host, limit=limit)
    if outcome is Fault.TIMEOUT:
        return SourceTimedOut(message)
    return SourceBusy(message, outcome=outcome)


def _host_of(location: str | None, host: str) -> str | None:
    if location is None:
        return None
    try:
        named = URL(location).host
    except ValueError:
        return "an unreadable address"
    if named and not HOST.fullmatch(named):
        return "an unreadable address"
    return named or f"another path of {host}"


def _now() -> datetime:
    return datetime.now(UTC)
