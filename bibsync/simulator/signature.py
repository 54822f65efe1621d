"""The vendor's side of a signature: what is asked of a request before it is answered.

Written apart from the client on purpose, so that one misreading can't pass both. A verdict says
which of the vendor's answers a bad signature gets; it never says what the right one would be.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum

TOLERANCE = timedelta(minutes=5)
SCHEME = "3MCLAUTH"
VERSIONS = ("3mcl-Version", "3mcl-APIVersion")


class Verdict(Enum):
    """What the vendor makes of a request's signature."""

    GOOD = "good"
    CLOCK = "clock"
    """The date is missing, unreadable or too far from the vendor's clock."""
    UNVERSIONED = "unversioned"
    WRONG = "wrong"
    """The account or its key isn't the library's."""


def sign(account_key: str, at: str, method: str, path_with_query: str) -> str:
    """Return the signature of a request; `at` is the text of its date header."""
    signed = f"{at}\n{method}\n{path_with_query}".encode()
    return base64.b64encode(
        hmac.new(account_key.encode(), signed, hashlib.sha256).digest()
    ).decode()


def verify(
    headers: Mapping[str, str],
    method: str,
    path_with_query: str,
    *,
    account_id: str,
    account_key: str,
    clock: datetime,
) -> Verdict:
    """Judge a request by its headers; `path_with_query` is what stood on the wire."""
    at = headers.get("3mcl-Datetime", "")
    if not _is_near(at, clock):
        return Verdict.CLOCK
    if not any(name in headers for name in VERSIONS):
        return Verdict.UNVERSIONED
    wanted = f"{SCHEME} {account_id}:{sign(account_key, at, method, path_with_query)}"
    given = headers.get("3mcl-Authorization", "")
    right = hmac.compare_digest(wanted.encode(), given.encode())
    return Verdict.GOOD if right else Verdict.WRONG


def _is_near(text: str, clock: datetime) -> bool:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return False
    if at.tzinfo is None or not text.endswith(" GMT"):
        return False
    return abs(at.astimezone(UTC) - clock) <= TOLERANCE
