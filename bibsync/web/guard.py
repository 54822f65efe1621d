"""Who may ask, from where, and what every answer forbids.

Host allow-list: a web page whose own name was made to mean this machine (DNS rebinding) still
sends that name; it is none of ours. Ours are the loopback names, the configured address, this
machine's name, the address that the connection came in on, and what `[web] hosts` adds. Behind
a proxy everybody comes from the proxy: whom it lets in, it must know itself.
"""

import hmac
import socket
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from bibsync.errors import UsageWrong
from bibsync.settings.addresses import is_loopback
from bibsync.settings.shapes import Web
from bibsync.web.problems import CROSS_SITE, HOST_REFUSED, NO_TOKEN, TOKEN_WANTED, Refused

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says, unless it says otherwise."""
REQUESTED_BY: Final = "X-Requested-By"
LONGEST_NAME: Final = 100
OWN_PAGES: Final = {"same-origin", "none"}
"""What a browser says of a request that no foreign page made."""


def secure(response: web.StreamResponse) -> None:
    """Give an answer the headers that all have; the server says no version of itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "bibsync"


def demand_host(request: web.BaseRequest, settings: Web) -> None:
    """Go on only where the request names a host that is ours.

    Raises:
        Refused: it names another, or none.
    """
    host = _hostname(f"//{request.headers.get(hdrs.HOST, '')}")
    if host is None or not _is_ours(host, request, settings):
        raise Refused(HOST_REFUSED, "The request's Host isn't a name of this bibsync.")


def demand_reader(request: web.BaseRequest, settings: Web) -> None:
    """Go on only for whoever may read.

    Raises:
        Refused: a token is needed, and not there.
    """
    if not (settings.open_reading or is_loopback(settings.listen.host)):
        _demand_token(request, settings, "Reading from another machine")


def demand_operator(request: web.BaseRequest, settings: Web) -> None:
    """Go on only for whoever may change something, and not for another origin's web page.

    Raises:
        Refused: the token isn't there, or a foreign page has a part in it.
    """
    _demand_own_page(request, settings)
    _demand_token(request, settings, "A change")


def who(request: web.BaseRequest) -> str:
    """Name who asks, for others to see: `api`, the client's address, and the name it gives.

    Raises:
        UsageWrong: that name is no short line of text.
    """
    came_from = f"api {request.remote or 'unknown'}"
    name = request.headers.get(REQUESTED_BY, "").strip()
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise UsageWrong(f"{REQUESTED_BY} is a line of text, at most {LONGEST_NAME} letters.")
    return f"{name} ({came_from})" if name else came_from


def _demand_token(request: web.BaseRequest, settings: Web, what: str) -> None:
    token = settings.operator_token
    if token is None:
        raise Refused(NO_TOKEN, f"{what} needs the operator's token, and none is configured.")
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    sent = given.strip().encode("utf-8", "surrogateescape")
    if is_bearer and hmac.compare_digest(sent, token.get_secret_value().encode()):
        return
    challenge = 'Bearer realm="bibsync"' + (', error="invalid_token"' if is_bearer else "")
    detail = "the one given is wrong" if is_bearer else "none was given"
    raise Refused(
        TOKEN_WANTED,
        f"{what} needs the operator's token; {detail}.",
        headers={hdrs.WWW_AUTHENTICATE: challenge},
    )


def _demand_own_page(request: web.BaseRequest, settings: Web) -> None:
    """Refuse what a browser sends for a page of another origin."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get(hdrs.ORIGIN)
    if site is not None:
        foreign = site.lower() not in OWN_PAGES
    else:
        foreign = origin is not None and not _is_own(origin, request, settings)
    if foreign:
        raise Refused(CROSS_SITE, "The request was made by a web page of another origin.")


def _is_own(origin: str, request: web.BaseRequest, settings: Web) -> bool:
    """Tell whether a page of that origin is ours: by the name that was asked, or a configured."""
    same = origin.partition("://")[2].lower() == request.headers.get(hdrs.HOST, "").lower()
    return same or _hostname(origin) in settings.hosts


def _is_ours(host: str, request: web.BaseRequest, settings: Web) -> bool:
    machine = socket.gethostname().lower()
    known = {settings.listen.host.lower(), machine, machine.partition(".")[0], *settings.hosts}
    return is_loopback(host) or host in known or host == _came_in_on(request)


def _came_in_on(request: web.BaseRequest) -> str | None:
    """Return the address of this machine that the connection was made to."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]).removeprefix("::ffff:") if isinstance(name, tuple) else None


def _hostname(url: str) -> str | None:
    """Return the host of an address in lower case, None where it can't be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    is_bare = parts.username is None and not (parts.path or parts.query or parts.fragment)
    return parts.hostname if is_bare else None
