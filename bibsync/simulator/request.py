"""A request as it stood on the wire, and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

ROOT: Final = "/cirrus/library/"
DATES: Final = "%Y-%m-%dT%H:%M:%S"
MOST_RECORDS: Final = 50
_FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Unanswerable(Exception):
    """The request makes no sense to the vendor; the message stands in its error document."""


@dataclass(frozen=True, slots=True)
class Request:
    """Method, raw path with query, and headers, whose names are met in any case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def library_id(self) -> str:
        """Whose collection it is about."""
        return self._path[0]

    @property
    def resource(self) -> str:
        """What stands behind the library's id: `data/marc`, `items/abc`, nothing."""
        return self._path[2].strip("/")

    @property
    def query(self) -> dict[str, str]:
        """The parameters by name."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def takes_gzip(self) -> bool:
        """Tell whether the client accepts compressed answers."""
        return "gzip" in self.headers.get("Accept-Encoding", "").lower()

    @property
    def _path(self) -> tuple[str, str, str]:
        path = unquote(urlsplit(self.target).path)
        return path.removeprefix(ROOT).partition("/")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a library's purchases that a request names: a window, from an offset on."""

    start: datetime
    end: datetime
    offset: int = 1
    limit: int = MOST_RECORDS

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Stretch":
        """Read the parameters; `enddate`, `offset` and `limit` may be left out.

        Raises:
            Unanswerable: one of them is missing, unreadable or out of bounds.
        """
        start, end = _moment(query, "startdate"), _moment(query, "enddate")
        if start is None:
            raise Unanswerable("startdate is missing")
        offset, limit = _number(query, "offset", 1), _number(query, "limit", MOST_RECORDS)
        if offset < 1:
            raise Unanswerable("offset counts from 1")
        if not 1 <= limit <= MOST_RECORDS:
            raise Unanswerable(f"limit must lie between 1 and {MOST_RECORDS}")
        return cls(start, end or _FAR, offset, limit)


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return datetime.strptime(query[name], DATES).replace(tzinfo=UTC)
    except ValueError:
        raise Unanswerable(f"{name} is no date of the form YYYY-MM-DDTHH:MM:SS") from None


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise Unanswerable(f"{name} is no number") from None
