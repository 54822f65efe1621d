"""How addresses are written: of vendors, databases, mail, and the one to listen on.

Readers as in `values`. A password may stand in an address, so the value itself is never told.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from bibsync.replicas import address as of_redis
from bibsync.settings.values import Reader, Unfit, quote, text, told

_HOST = re.compile(r"[^\W_](?:[\w.-]*\w)?\.?")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(*schemes: str, host: bool = True) -> Reader:
    """Make a reader of secret addresses of one of `schemes`, with a host where `host` says so."""
    form = f"must be an address that begins with {' or '.join(f'{s}://' for s in schemes)}"

    def read(written: str) -> SecretStr:
        parts = _split(written)
        if parts is None or parts.scheme not in schemes:
            raise Unfit(form)
        if host and (not parts.hostname or _port(parts) is None):
            raise Unfit(f"{form} and goes on with a host")
        return SecretStr(written)

    return read


def redis(written: str) -> SecretStr:
    """Read the address of a Redis, or of the Sentinels that know it."""
    try:
        of_redis.read(written)
    except ValueError as unfit:
        raise Unfit(str(unfit)) from None
    return SecretStr(written)


def base_url(written: object) -> str:
    """Read the address of a vendor's interface; scheme and host in lower case, a slash at the end.

    The value is never told: a password may stand in it by mistake.
    """
    parts = _split(text(written))
    if parts is None or parts.scheme not in {"http", "https"}:
        raise Unfit("must be an address that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise Unfit("must not hold a user or a password")
    if "?" in parts.geturl() or "#" in parts.geturl():
        raise Unfit("must not hold a query or a fragment: no ? and no #")
    port, hostname = _port(parts), parts.hostname or ""
    if port is None or not _is_host(hostname):
        raise Unfit("must name a host, and a port from 1 to 65535 if any")
    netloc = f"[{hostname}]" if ":" in hostname else hostname
    if port and (parts.scheme, port) not in {("http", 80), ("https", 443)}:
        netloc += f":{port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}/"


def listen(written: object) -> Listen:
    """Read `host:port`."""
    match = _LISTEN.fullmatch(written) if isinstance(written, str) else None
    if match is None or int(match["port"]) > _LAST_PORT:
        raise Unfit(f'is {told(written)}; it must be a host and a port, like "127.0.0.1:8470"')
    host = match["host"].strip("[]")
    if not _is_host(host):
        raise Unfit(f"is {told(written)}; {quote(host)} is no host")
    return Listen(host, int(match["port"]))


def host(written: object) -> str:
    """Read the name or address of a host, without a port, in lower case."""
    named = text(written).strip("[]")
    if not _is_host(named):
        raise Unfit(f"is {told(written)}, which is no host; leave scheme, port and path out")
    return named.lower()


def email(written: object) -> str:
    """Read an e-mail address, roughly: the mail server decides."""
    mailbox = text(written)
    user, at, domain = mailbox.rpartition("@")
    if not user or not at or not _is_host(domain) or any(sign.isspace() for sign in mailbox):
        raise Unfit(f"is {quote(mailbox)}, which is no e-mail address")
    return mailbox


def is_loopback(host: str) -> bool:
    """Tell whether what is sent to `host` stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_clear(url: str) -> bool:
    """Tell whether what is sent to `url` crosses a network unencrypted."""
    parts = _split(url)
    return parts is not None and parts.scheme == "http" and not is_loopback(parts.hostname or "")


def redis_in_clear(url: str) -> bool:
    """Tell whether what is sent to a Redis that `redis` has read crosses a network unencrypted."""
    at = of_redis.read(url)
    return not at.tls and not all(is_loopback(host) for host, _ in at.servers)


def without_password(url: str) -> bool:
    """Tell whether a database's or Redis's address surely holds no password."""
    authority = url.partition("://")[2]
    return "?" not in url and ("@" not in url or ":" not in authority.rpartition("@")[0])


def _split(url: str) -> SplitResult | None:
    if any(sign.isspace() for sign in url) or not url.isprintable():
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _port(parts: SplitResult) -> int | None:
    """Return the port, 0 where none is written, None where it is no port."""
    try:
        port = parts.port
    except ValueError:
        return None
    return 0 if port is None else port or None


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ipaddress.ip_address(host).version == 6  # noqa: PLR2004 - IPv6
        except ValueError:
            return False
    return bool(_HOST.fullmatch(host)) and ".." not in host
