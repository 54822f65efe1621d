"""Idempotency-Key: a change that is asked for twice with one key is made once.

The answer is kept in the transaction of the change, so a crash in between leaves neither; whoever
repeats the request while the first is under way waits and gets the same answer. A refusal isn't
kept, for it changed nothing: the same key may be sent again once the reason is gone.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from bibsync.cleanup import KEYS_KEPT
from bibsync.store import Connection, idempotency_keys
from bibsync.store.idempotency_keys import Kept
from bibsync.web.problems import KEY_REUSED, KEY_UNFIT, Refused
from bibsync.web.route import Answer

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
LONGEST: Final = 255


def key_of(request: web.BaseRequest) -> str | None:
    """Return the key of a request, None where it has none.

    Raises:
        Refused: it can't be kept.
    """
    key = request.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise Refused(KEY_UNFIT, f"{HEADER} is empty, too long, or not printable ASCII.")
    return key


def digest_of(request: web.BaseRequest, body: bytes) -> bytes:
    """Return what tells two requests with one key apart."""
    target = f"{request.method} {request.raw_path}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(target + b"\0" + body).digest()


async def once(
    conn: Connection, key: str, digest: bytes, change: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, bool]:
    """Make a change inside a transaction, or return what it was answered before, and whether so.

    Raises:
        Refused: the key came with another request.
    """
    before = await idempotency_keys.kept(conn, key, within=KEYS_KEPT)
    if before is not None:
        if before.digest != digest:
            raise Refused(KEY_REUSED, "This Idempotency-Key belongs to another request.")
        return Answer(before.document, before.status, before.location), True
    answer = await change()
    kept = Kept(digest, answer.status, answer.location, answer.document)
    await idempotency_keys.keep(conn, key, kept)
    return answer, False
