"""Bibliotheca's cloudLibrary: signed requests, pages of purchases, look-ups of items.

A page is only what proved to be one. Whatever else the vendor answers becomes an error that
says whether to ask again; an error document counts before its status. No error shows the
account, its key or a signature, not even where the vendor echoes them.

Nobody outside knows the zone of the vendor's dates or whether `enddate` is inclusive: a window
is asked for a second early, and what lies outside is stored all the same.
"""

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from yarl import URL

from bibsync import fault, marc
from bibsync.collection import Collection
from bibsync.errors import SourceBusy, SourceMisled
from bibsync.fault import Fault
from bibsync.item import Items
from bibsync.source import Page, Permit, always
from bibsync.sources import bibliotheca_items as items, http
from bibsync.sources.clock import http_date
from bibsync.window import Window

VENDOR: Final = "cloudLibrary"
PAGE_SIZE: Final = 50
LOOKUP_SIZE: Final = 25

CLOCK_TOLERANCE_S: Final = 240.0
"""The vendor refuses a signature that is five minutes off; past this, the clock is to blame."""

NOT_FOUND_AT_MOST: Final = 5
"""So many 404 on pages of a library that never answered otherwise: it isn't there."""

SIGNATURE: Final = r"[\w+/%-]{43,}(?:=|%3D)"
"""How a signature looks, also where it was quoted for a URL."""

_LOOSELY: Final = re.DOTALL | re.IGNORECASE
_BLANKS: Final = b" \t\r\n\0\xef\xbb\xbf"
_PROLOG: Final = rb"(?:\xef\xbb\xbf|\s|<\?[^>]*>|<!--.*?-->)*+"
_ERROR: Final = re.compile(_PROLOG + rb"<(?:[\w.-]+:)?Error[\s/>]", _LOOSELY)


def signature(key: str, method: str, path_with_query: str, at: datetime) -> str:
    """Return the signature of a request as it goes over the wire at `at`."""
    signed = f"{http_date(at)}\n{method}\n{path_with_query}"
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


class Bibliotheca:
    """One library's account at cloudLibrary."""

    page_size = PAGE_SIZE
    lookup_size = LOOKUP_SIZE

    def __init__(self, collection: Collection, hosts: http.Hosts, permit: Permit = always) -> None:
        base = http.address(collection.base_url)
        self._host = hosts.at(base)
        self.host = self._host.name
        self._host.budget.join(self, collection.sync.requests_per_second)
        self._collection = collection
        self._permit = permit
        self._origin = str(base.origin())
        self._library = (
            f"{base.raw_path.rstrip('/')}/cirrus/library/{quote(collection.library_id, safe='')}"
        )
        self._skew: float | None = None
        self._known = False
        self._not_found = 0

    def skew(self) -> float | None:
        """Vendor's clock minus ours in seconds; None before it told this source.

        What it told another, or in an earlier run, may have been wrong: nobody would ask again.
        """
        return self._skew

    async def close(self) -> None:
        """Leave the host's budget to the others."""
        self._host.budget.leave(self)

    async def page(self, window: Window, *, offset: int) -> Page:
        """Ask once for the purchases of `window` from `offset` on, which counts from 1.

        Raises:
            SourceBusy: no usable answer this time; ask again.
            SourceRefused: the credentials are wrong; don't ask again.
            SourceMisled: the address or the library is wrong; don't ask again.
        """
        start, end = _date(window.start - timedelta(seconds=1)), _date(window.end)
        answer = await self._ask(
            f"data/marc?startdate={start}&enddate={end}&offset={offset}&limit={PAGE_SIZE}"
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            self._missed(answer)
        http.demand_ok(answer)
        self._known = True
        if not answer.body.strip(_BLANKS):
            return Page((), blank=True)
        try:
            return Page(marc.cut(answer.body, charset=answer.charset))
        except marc.NotAPage as reason:
            failure = SourceBusy(
                f"{VENDOR} sent no page of records: {self._public(reason.message)}.",
                outcome=reason.outcome,
            )
        raise failure

    async def items(self, control_numbers: Sequence[str]) -> Items:
        """Look up at most LOOKUP_SIZE titles; the answer accounts for each of them.

        Raises:
            SourceBusy: no usable answer, which an empty one is not; ask again.
            SourceRefused: the credentials are wrong; don't ask again.
            SourceMisled: the address is wrong; don't ask again.
        """
        if not 0 < len(control_numbers) <= LOOKUP_SIZE:
            raise ValueError(f"a look-up takes 1 to {LOOKUP_SIZE} titles: {len(control_numbers)}")
        ids = ",".join(quote(number, safe="") for number in control_numbers)
        answer = await self._ask(f"items/{ids}")
        http.demand_ok(answer)
        self._known = True
        if not answer.body.strip(_BLANKS):
            raise SourceBusy(f"{VENDOR} sent an empty answer to a look-up.", outcome=Fault.BLANK)
        return items.read(answer.body, control_numbers, vendor=VENDOR)

    async def _ask(self, path: str) -> http.Answer:
        target = f"{self._library}/{path}"
        answer = await self._host.get(
            URL(f"{self._origin}{target}", encoded=True),  # what is signed goes over the wire
            sign=lambda at: self._signed(target, at),
            within=self._collection.sync.timeout,
            vendor=VENDOR,
            permit=self._permit,
            told=self._told,
        )
        if _ERROR.match(answer.body):
            raise SourceBusy(
                f"{VENDOR} answered with an error: {self._public(_told(answer.body))}",
                outcome=Fault.ERROR_DOCUMENT,
                retry_after=answer.retry_after,
            )
        if answer.status == HTTPStatus.UNAUTHORIZED:
            _demand_bare_refusal(answer)
        return answer

    def _told(self, skew: float) -> None:
        self._skew = skew

    def _signed(self, target: str, at: datetime) -> Mapping[str, str]:
        key = self._collection.account_key.get_secret_value()
        version = self._collection.api_version
        authorised = f"{self._collection.account_id}:{signature(key, 'GET', target, at)}"
        return {
            "3mcl-Datetime": http_date(at),
            "3mcl-Authorization": f"3MCLAUTH {authorised}",
            "3mcl-APIVersion" if version.startswith("3") else "3mcl-Version": version,
        }

    def _missed(self, answer: http.Answer) -> None:
        """Count a 404: on a window it passes, on the library it is the configuration's fault.

        Raises:
            SourceMisled: nothing but 404 was ever answered.
        """
        self._not_found += 1
        if not self._known and self._not_found >= NOT_FOUND_AT_MOST:
            raise SourceMisled(
                f"{VENDOR} at {answer.host} knows no library {self._collection.library_id!r}: "
                f"it answered 404 (Not Found) {self._not_found} times and nothing else."
            )

    def _public(self, text: str) -> str:
        """Return `text` of the vendor without the account, its key, signatures and queries."""
        key, account = self._collection.account_key.get_secret_value(), self._collection.account_id
        secrets = [r"3MCLAUTH\s.*", SIGNATURE, r"\?\S*"]
        secrets += [re.escape(key)] if key else []
        secrets += [rf"(?<!\w){re.escape(account)}(?!\w)"] if account else []
        return re.sub("|".join(secrets), "***", text, flags=re.IGNORECASE)


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _told(error: bytes) -> str:
    """Return message and code of an error document, as far as it has them."""
    text = error[:10_000].decode(errors="replace")
    message, code = _text_of(text, "Message"), _text_of(text, "Code")
    return f"{message or 'no reason given'}{code and f' ({code})'}."


def _text_of(document: str, name: str) -> str:
    pattern = rf"<(?:[\w.-]+:)?{name}\b[^>]*>(?:<!\[CDATA\[)?(.*?)(?:\]\]>|<)"
    found = re.search(pattern, document, _LOOSELY)
    return " ".join(html.unescape(found[1]).split())[:200] if found else ""


def _demand_bare_refusal(answer: http.Answer) -> None:
    """Let a 401 pass only where it means the credentials: without a body, the clocks agreeing.

    Raises:
        SourceBusy: it may mean something else.
    """
    if answer.body.strip(_BLANKS):
        raise SourceBusy(
            f"{VENDOR} answered {answer.status_text}, but not as it does to wrong credentials.",
            outcome=fault.of_status(answer.status),
        )
    if abs(answer.clock_error_s) > CLOCK_TOLERANCE_S:
        raise SourceBusy(
            f"{VENDOR} refused a request signed by a clock that is "
            f"{abs(answer.clock_error_s):.0f} s off its own; the next one is corrected.",
            outcome=Fault.CLOCK,
        )
