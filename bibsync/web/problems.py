"""Problem documents (RFC 9457): what was refused, why, and what to do about it.

Errors of the program keep their code; what only HTTP can refuse has a `Kind` here. Both stand in
docs/problems.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson
from aiohttp import web

from bibsync.errors import (
    BibsyncError,
    CollectionPaused,
    LeaseHeld,
    LeaseLost,
    NotFound,
    RedisUnavailable,
    RefusedForSafety,
    SchemaUnfit,
    StoreUnavailable,
    UsageWrong,
)

MEDIA_TYPE: Final = "application/problem+json"
AGAIN_S: Final = 5
"""When a client may ask again what couldn't be answered now."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A refusal that only HTTP knows."""

    code: str
    status: int
    cause: str
    remedy: str
    transient: bool = False


HOST_REFUSED: Final = Kind(
    "host_refused",
    403,
    "The request names a host that bibsync doesn't answer to, as a web page of somebody else's "
    "would that was made to look as if it were on this machine.",
    "Ask by the address that [web] listen names, or add the name to [web] hosts.",
)
CROSS_SITE: Final = Kind(
    "cross_site",
    403,
    "The request comes from a web page of another origin.",
    "Make changes with a program, or from the page of bibsync itself.",
)
TOKEN_WANTED: Final = Kind(
    "token_wanted",
    401,
    "What was asked for needs the operator's token, and none was given, or a wrong one.",
    "Send the header `Authorization: Bearer TOKEN` with the operator_token of [web].",
)
NO_TOKEN: Final = Kind(
    "no_token_configured",
    403,
    "What was asked for needs the operator's token, and the configuration has none.",
    'Give [web] an operator_token, `{ file = "operator-token" }`, and reload (SIGHUP).',
)
METHOD_UNKNOWN: Final = Kind(
    "method_unknown",
    405,
    "There is such a path, but this isn't done with it.",
    "The header Allow says what is; /v1/openapi.json describes it.",
)
TOO_SLOW: Final = Kind(
    "too_slow",
    408,
    "The request didn't come to its end in time.",
    "Send it again, all at once.",
    transient=True,
)
ENDED: Final = Kind(
    "ended",
    409,
    "What was to be cancelled has ended already.",
    "Nothing is left to do.",
)
TOO_LARGE: Final = Kind(
    "too_large",
    413,
    "The body is larger than any request needs.",
    "Send less: 64 KiB at most.",
)
NOT_JSON: Final = Kind(
    "not_json",
    415,
    "The body is of a kind that isn't read here.",
    "Send `Content-Type: application/json`, uncompressed, or no body at all.",
)
UNREADABLE: Final = Kind(
    "unreadable",
    400,
    "The request can't be read: it isn't HTTP, or its body isn't a JSON object.",
    "Correct it; /v1/openapi.json describes what is read.",
)
KEY_UNFIT: Final = Kind(
    "key_unfit",
    400,
    "The Idempotency-Key can't be kept.",
    "Send 1 to 255 printable ASCII characters: a UUID for example.",
)
KEY_REUSED: Final = Kind(
    "key_reused",
    422,
    "The Idempotency-Key was sent before, with another request.",
    "Make a new key for each new request; send the same one only to repeat a request.",
)
TIMED_OUT: Final = Kind(
    "timed_out",
    503,
    "The answer took longer than an answer may; what was asked for was broken off, and nothing "
    "of it was changed that would not be found again.",
    "Ask again, or for less at once.",
    transient=True,
)
FULL: Final = Kind(
    "full",
    503,
    "There are as many connections as bibsync bears.",
    "Ask again later, and close connections that aren't needed.",
    transient=True,
)
KINDS: Final = (
    UNREADABLE,
    KEY_UNFIT,
    TOKEN_WANTED,
    NO_TOKEN,
    HOST_REFUSED,
    CROSS_SITE,
    METHOD_UNKNOWN,
    TOO_SLOW,
    ENDED,
    TOO_LARGE,
    NOT_JSON,
    KEY_REUSED,
    TIMED_OUT,
    FULL,
)
"""In the order of their statuses."""

STATUSES: Final[Mapping[str, int]] = MappingProxyType(
    {
        UsageWrong.code: 422,
        NotFound.code: 404,
        LeaseHeld.code: 409,
        LeaseLost.code: 409,
        CollectionPaused.code: 409,
        RefusedForSafety.code: 409,
        StoreUnavailable.code: 503,
        SchemaUnfit.code: 503,
        RedisUnavailable.code: 503,
    }
)
"""The HTTP status of the errors that a request can meet; any other is a defect, 500."""
DEFECT: Final = 500


class Refused(Exception):
    """A request that isn't carried out, as it is told to whoever sent it.

    `more` are members of the document beside those that every one has.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        remedy: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.remedy = remedy or kind.remedy
        self.headers = dict(headers or {})
        self.more = more or {}
        if kind.status == web.HTTPServiceUnavailable.status_code:
            self.headers.setdefault("Retry-After", str(AGAIN_S))

    @classmethod
    def by(cls, error: BibsyncError, **more: Any) -> "Refused":
        """Return the refusal that an error comes to."""
        status = STATUSES.get(error.code, DEFECT)
        kind = Kind(error.code, status, error.cause, error.remedy, error.transient)
        return cls(kind, error.message, more=more)

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        kind = self.kind
        return {
            "type": f"urn:bibsync:problem:{kind.code}",
            "title": kind.cause.partition(". ")[0].rstrip(".") + ".",
            "status": kind.status,
            "detail": self.detail,
            "code": kind.code,
            "transient": kind.transient,
            "remedy": self.remedy,
            **self.more,
        }

    def response(self) -> web.Response:
        """Return the answer."""
        return web.Response(
            status=self.kind.status,
            body=written(self.document()),
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )


def written(document: object) -> bytes:
    """Write a document as JSON; what a path or a header held that is no text is replaced."""
    try:
        return orjson.dumps(document)
    except TypeError:  # a lone surrogate
        return orjson.dumps(_mended(document))


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
        case list() | tuple():
            return [_mended(each) for each in value]
    return value
