"""The webhook and the heartbeat: one HTTP request each, whose answer counts by its status alone.

An address is a secret: a token stands in its path. So it is in no message, aiohttp's exceptions,
which hold it, are never chained, and no redirect is followed: it would carry the message, or the
token, to another host.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from pydantic import SecretStr

from bibsync import __version__
from bibsync.notify.channel import Undelivered
from bibsync.notify.wording import Message

HEADERS: Final = {"User-Agent": f"bibsync/{__version__}", "Accept": "*/*"}
JSON: Final = {"Content-Type": "application/json"}
REDIRECTS: Final = range(300, 400)
GOOD: Final = range(200, 300)
FAULTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "The name of its host can't be found (DNS)."),
    (aiohttp.ClientConnectorCertificateError, "The certificate of its host isn't valid."),
    (aiohttp.ClientSSLError, "No secure connection to its host could be made."),
    (aiohttp.InvalidURL, "It is not an address of a web server."),
    (aiohttp.ClientConnectorError, "Nothing answers at its address."),
    (aiohttp.ClientResponseError, "What answers at its address doesn't speak HTTP."),
)
"""What can go wrong on the way: the first kind that fits, its sentence."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts each message as JSON."""

    url: SecretStr
    http: aiohttp.ClientSession
    name: str = "webhook"
    most: int = 1

    async def send(self, messages: Sequence[Message]) -> None:
        """Post the message."""
        for each in messages:
            body = orjson.dumps(each.document)
            await _ask(self.http, "POST", self.url, data=body, headers=JSON)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Asks for an address, to say that a run was good."""

    url: SecretStr
    http: aiohttp.ClientSession
    name: str = "heartbeat"
    most: int = 1

    async def send(self, messages: Sequence[Message] = ()) -> None:
        """Ask for it; there is nothing to be said."""
        del messages
        await _ask(self.http, "GET", self.url)


def session() -> aiohttp.ClientSession:
    """Open what the channels share; nothing of one request is left for the next."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        trust_env=False,
    )


async def _ask(http: aiohttp.ClientSession, method: str, url: SecretStr, **more: Any) -> None:
    """Send a request; raises Undelivered unless its status is one of success."""
    try:
        async with http.request(
            method, url.get_secret_value(), allow_redirects=False, **more
        ) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        sentence = next((text for kind, text in FAULTS if isinstance(error, kind)), None)
        failed = Undelivered(sentence or "The connection was broken off.")
    else:
        if status in GOOD:
            return
        failed = Undelivered(_refused(status))
    raise failed


def _refused(status: int) -> str:
    try:
        words = f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        words = str(status)
    if status in REDIRECTS:
        return f"It answered {words}: it has moved, and bibsync never follows to another address."
    return f"It answered {words}."
