"""Canaries: secrets that can be known again, and a search for them in whatever spelling.

`Canaries.leaks` names each secret that stands in a text, and how it is spelled there. It knows a
secret raw, quoted for URLs, escaped as JSON, HTML, shells and Python have it, in hex and in base64
wherever in a longer text it begins.
"""

import base64
import html
import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

KEY = 'canary/of+the "account"=\u00e9&key'
PASSWORD = "canary+of/the database=42"
REDIS = "canary:of@redis/43"
TOKEN = "canary/of-the+operator=44"
SMTP = "canary of smtp/45"
WEBHOOK = "canary-of_the.webhook-46"
HEARTBEAT = "canary-of_the.heartbeat-47"


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret that was shown, where, and how it was spelled."""

    name: str
    spelling: str
    where: str


@dataclass(slots=True)
class Canaries:
    """The secrets that were given out, by name; more may come to be known."""

    secrets: dict[str, str] = field(
        default_factory=lambda: {
            "account_key": KEY,
            "database password": PASSWORD,
            "redis password": REDIS,
            "operator_token": TOKEN,
            "smtp password": SMTP,
            "webhook_url": WEBHOOK,
            "heartbeat_url": HEARTBEAT,
        }
    )

    def add_signatures(self, headers: Iterable[str]) -> None:
        """Take what requests were authorised with, `3MCLAUTH account:signature`, for secret."""
        for number, header in enumerate(headers):
            self.secrets[f"signature {number}"] = header.rpartition(":")[2]

    def leaks(self, where: str, text: str | bytes) -> list[Leak]:
        """Return every secret that stands in the text, in any spelling."""
        seen = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        lower = seen.lower()
        return [
            Leak(name, spelling, where)
            for name, secret in self.secrets.items()
            for spelling, spelled in spellings(secret)
            if spelled in (lower if spelling == "hex" else seen)
        ]


def spellings(secret: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each spelling with the secret spelled so; the base64 of any alignment."""
    data = secret.encode()
    yield "raw", secret
    for safe in ("", "/", "/:@=+&"):
        yield "quoted for a URL", quote(secret, safe=safe)
        yield "quoted for a form", quote_plus(secret, safe=safe)
    yield "JSON", json.dumps(secret)[1:-1]
    yield "JSON", json.dumps(secret, ensure_ascii=False)[1:-1]
    yield "HTML", html.escape(secret)
    yield "HTML", html.escape(secret, quote=False)
    yield "a shell's", shlex.quote(secret)[1:-1] if secret != shlex.quote(secret) else secret
    yield "Python's", repr(secret)[1:-1]
    yield "Python's", repr(data)[2:-1]
    yield "hex", data.hex()
    for before in range(3):
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", code(b"\0" * before + data).decode()[first:last]
