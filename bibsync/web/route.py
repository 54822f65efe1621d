"""A row of the table of routes, and what passes between it and the exchange."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from bibsync.errors import NotFound
from bibsync.store import Connection
from bibsync.web.fields import Field, is_whole
from bibsync.web.served import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for. `conn` is in a transaction where something is to be changed.

    `path`, `query` and `body` are read already, `by` names who asks, `now` is the server's time.
    """

    daemon: Served
    conn: Connection
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a document, or text of a media type."""

    document: Mapping[str, Any]
    status: int = 200
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON."""

    media_type: str
    body: bytes


Act = Callable[[Asked], Awaitable[Answer]]
Show = Callable[[Served], Awaitable[Answer | Text]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is answered at a path: by `act`, which has the database, or by `show`, without it.

    `name` is unique, `words` one line. `answers` names the schema of the document, empty where it
    is no JSON. `is_open`: it needs no token, whatever the address; `any_host`: not even a Host
    that is ours.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    name: str
    words: str
    answers: str = ""
    act: Act | None = None
    show: Show | None = None
    query: Mapping[str, Field] = field(default_factory=dict)
    body: Mapping[str, Field] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    refusals: tuple[int, ...] = ()
    is_open: bool = False
    any_host: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


def number(written: str, noun: str) -> int:
    """Read a number of a path.

    Raises:
        NotFound: it is none, so there is no such thing.
    """
    if not is_whole(written):
        raise NotFound(f"There is no {noun} {written}.", remedy="Numbers are whole, from 1 on.")
    return int(written)
