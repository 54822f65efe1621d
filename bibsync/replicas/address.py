"""How the address of a Redis is written, told without any Redis library.

    redis://[user:password@]host[:port][/number]
    unix://[user:password@]/path/of/its/socket[?db=number]
    redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/number]

rediss and rediss+sentinel are the same with TLS; the options of their query are redis-py's. User
and password are the server's own; those of the Sentinels are sentinel_user and sentinel_password
in the query.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?")
_NUMBER = re.compile(r"[0-9]{1,5}")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a Redis is and how it is asked.

    Attributes:
        servers: host and port of the server, or of its Sentinels; empty where there is a `path`.
        path: of its Unix socket.
        service: what the Sentinels call it; None: `servers` is the server itself.
        tls: whether all is encrypted, with `options` as redis-py names them.
        login: user and password, where there are any, as redis-py names them.
        sentinel_login: the same for the Sentinels.
    """

    servers: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    service: str | None = None
    tls: bool = False
    db: int = 0
    login: Mapping[str, str] = field(default_factory=dict)
    sentinel_login: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def read(written: str) -> Address:
    """Read an address.

    Raises:
        ValueError: it is none; the text is the rest of a sentence and repeats nothing of it.
    """
    parts = _split(written)
    login, _, hosts = parts.netloc.rpartition("@")
    query = _query(parts)
    db, service, path = _path(parts, query.pop("db", None))
    tls = parts.scheme.startswith("rediss")
    sentinel = {name: query.pop(f"sentinel_{name}", "") for name in ("user", "password")}
    if any(sentinel.values()) and service is None:
        raise ValueError("has an option that only an address of Sentinels takes")
    if query and not tls:
        raise ValueError("has options of TLS, which need rediss:// or rediss+sentinel://")
    user, _, password = login.partition(":")
    return Address(
        servers=() if path else _servers(hosts, several=service is not None),
        path=path,
        service=service,
        tls=tls,
        db=db,
        login=_login(unquote(user), unquote(password)),
        sentinel_login=_login(sentinel["user"], sentinel["password"]),
        options={name: OPTIONS[name](value) for name, value in query.items()},
    )


def _split(written: str) -> SplitResult:
    form = f"must be an address that begins with {' or '.join(f'{s}://' for s in SCHEMES)}"
    if not written.isprintable() or " " in written:
        raise ValueError(form)
    try:
        parts = urlsplit(written)
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in SCHEMES or not written.startswith(f"{parts.scheme}://"):
        raise ValueError(form)
    if parts.fragment or written.endswith("#"):
        raise ValueError("must not hold a #; in a password it is written %23")
    return parts


def _query(parts: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    known = {"db", "sentinel_user", "sentinel_password", *OPTIONS}
    if len(query) != len(pairs) or query.keys() - known:
        raise ValueError(f"has an option twice, or one that isn't {', '.join(sorted(known))}")
    return query


def _path(parts: SplitResult, db: str | None) -> tuple[int, str | None, str | None]:
    """Return the database's number, the Sentinels' service, the socket's path."""
    if "@" in parts.path:
        raise ValueError("must not hold a / in its password; there it is written %2F")
    path = unquote(parts.path)
    if parts.scheme == "unix":
        if len(path) < 2:  # noqa: PLR2004 - a slash alone is no path
            raise ValueError("must go on with the path of a socket, unix:///path/of/its/socket")
        return _number(db), None, path
    names = path.removeprefix("/").split("/")
    service = None
    if parts.scheme.endswith("+sentinel"):
        service = names.pop(0)
        if not service:
            raise ValueError("must name the service that the Sentinels watch: host:port/service")
    if len(names) > 1 or (any(names) and db is not None):
        raise ValueError("must end with one number of a database at most")
    return _number(names[0] if any(names) else db), service, None


def _number(written: str | None) -> int:
    if not written:
        return 0
    if not _NUMBER.fullmatch(written):
        raise ValueError("must end with the number of a database, if anything follows the host")
    return int(written)


def _servers(hosts: str, *, several: bool) -> tuple[tuple[str, int], ...]:
    port = SENTINEL_PORT if several else REDIS_PORT
    found = [_HOST.fullmatch(each) for each in hosts.split(",")]
    if not several and len(found) > 1:
        raise ValueError("must name one host; several are Sentinels, redis+sentinel://")
    servers = [(each["host"].strip("[]"), int(each["port"] or port)) for each in found if each]
    if len(servers) < len(found) or not all(0 < port <= _LAST_PORT for _, port in servers):
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    return tuple(servers)


def _login(user: str, password: str) -> dict[str, str]:
    given = {"username": user, "password": password}
    return {name: value for name, value in given.items() if value}


def _text(written: str) -> str:
    if not written:
        raise ValueError("has an option without a value")
    return written


def _whether(written: str) -> bool:
    if written.lower() not in {"true", "false"}:
        raise ValueError("has an option that must be true or false")
    return written.lower() == "true"


def _demand(written: str) -> str:
    if written not in {"none", "optional", "required"}:
        raise ValueError("has ssl_cert_reqs, which must be required, optional or none")
    return written


OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_ca_data": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
    "ssl_ciphers": _text,
    "ssl_cert_reqs": _demand,
    "ssl_check_hostname": _whether,
}
"""What the query may hold beside db: redis-py's names, and how each is read."""
