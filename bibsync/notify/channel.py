"""A channel: a way in which somebody is told, and how it fails.

A channel says what went wrong in a sentence of its own: an address with its password or token, and
whatever a server answered, are never repeated. Nothing else than Undelivered leaves `attempt`, and
it takes no longer than LIMIT_S.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from bibsync.errors import BibsyncError
from bibsync.notify.wording import Message

LIMIT_S: Final = 15.0
"""The longest that one sending takes."""


class Undelivered(BibsyncError):
    """A message could not be sent; whoever keeps it tries again later.

    `partly`: some have got it, and would get it twice.
    """

    code = "undelivered"
    cause = (
        "A message about a problem, or the heartbeat, could not be sent: the mail server or the "
        "web address of `[notify]` can't be reached, refuses it, or gives no answer. No sync is "
        "disturbed by that, and the daemon tries again for seven days."
    )
    origin = "network"
    transient = True
    exit_code = 8
    default_remedy = (
        "Check the address in [notify] of the configuration; `bibsync notify test` sends once more."
    )

    def __init__(self, message: str, *, remedy: str | None = None, partly: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.partly = partly


class Channel(Protocol):
    """A way to tell somebody."""

    @property
    def name(self) -> str:
        """As in tables and log."""

    @property
    def most(self) -> int:
        """How many messages one sending takes."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Send the messages, at most `most`, as one.

        Raises:
            Undelivered: nobody has got them, as far as can be known.
        """


async def attempt(channel: Channel, messages: Sequence[Message], *, limit_s: float) -> None:
    """Send within the limit.

    Raises:
        Undelivered: nobody has got them, as far as can be known.
    """
    try:
        async with asyncio.timeout(limit_s):
            await channel.send(messages)
    except Undelivered:
        raise
    except TimeoutError:
        failed = Undelivered(f"There was no answer within {limit_s:g} seconds.")
    except Exception as error:  # noqa: BLE001 - a library's slip costs a message, never a sync
        failed = Undelivered(f"It could not be sent: {type(error).__name__}.")
    else:
        return
    raise failed
