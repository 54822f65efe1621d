"""How single settings are written: durations, shares, dates.

A reader takes a value as TOML gives it and returns what the program works with, or raises
`Unfit` with the rest of a sentence that begins with the setting's name. Readers of what may
hold a secret never say what they were given.
"""

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import SecretStr

from bibsync.collection import Limit

MASK = "********"
UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
FIRST_DATE, LAST_DATE = datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")
_LONGEST_TOLD = 60
_LARGEST_TOLD = 10**15

Reader = Callable[[Any], Any]


class Unfit(ValueError):
    """A value that its setting can't take; the text goes on after the setting's name."""


def quote(text: str) -> str:
    """Return `text` in quotes on one line, shortened, readable on any terminal."""
    short = text if len(text) <= _LONGEST_TOLD else text[:_LONGEST_TOLD] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def plain(name: str) -> str:
    """Return a name as it is, escaped where it can't be printed."""
    return name if name.isprintable() else ascii(name)


def told(written: object) -> str:
    """Return how a message speaks of a value that is no secret."""
    match written:
        case str():
            return quote(written)
        case bool():
            return "true" if written else "false"
        case int() if abs(written) >= _LARGEST_TOLD:
            return "a huge number"
        case int() | float() | date() | time():
            return str(written)
    return _kind(written)


def shown(value: object) -> str:
    """Return a value that a reader made in its written form; secrets are masked."""
    match value:
        case SecretStr():
            form = MASK
        case None:
            form = "not set"
        case bool():
            form = "true" if value else "false"
        case timedelta():
            form = _duration_text(value)
        case Limit():
            form = f"{value.share * 100:g}%"
        case datetime():
            form = value.strftime("%Y-%m-%dT%H:%M:%SZ").removesuffix("T00:00:00Z")
        case tuple():
            form = ", ".join(shown(each) for each in value)
        case _:
            form = str(value)
    return form


def suggestion(unknown: str, known: Sequence[str], *, likeness: float = 0.6) -> str:
    """Return `; did you mean "..."?`, or nothing where no known word is near."""
    near = nearest(unknown, known, likeness=likeness)
    return "" if near is None else f"; did you mean {quote(near)}?"


def sentence(words: str) -> str:
    """Return the words with a full stop, or as they are where a suggestion's question ends them."""
    return words if words.endswith("?") else f"{words}."


def nearest(unknown: str, known: Sequence[str], *, likeness: float = 0.6) -> str | None:
    """Return the known word most like `unknown`, None where none is at least so like it (0..1)."""
    by_fold = {word.casefold(): word for word in known}
    near = get_close_matches(unknown[:_LONGEST_TOLD].casefold(), by_fold, n=1, cutoff=likeness)
    return by_fold[near[0]] if near else None


def text(written: object) -> str:
    """Read text without control characters and without blanks around it."""
    if not isinstance(written, str):
        raise Unfit(f"must be text in quotes, not {_kind(written)}")
    if not written.strip():
        raise Unfit("is empty")
    if written != written.strip() or not written.isprintable():
        raise Unfit("has blanks around it or characters that can't be printed")
    return written


def name(written: object) -> str:
    """Read a collection's name: any text that isn't blank and has no control characters."""
    if not isinstance(written, str):
        raise Unfit(f"must be text in quotes, not {_kind(written)}")
    if not written.strip():
        raise Unfit("is empty")
    if len(written) > 500:  # noqa: PLR2004 - bytes in PostgreSQL's index: at most 2000 of 2704
        raise Unfit("is longer than 500 characters")
    if any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in written):
        raise Unfit("has line breaks or control characters")
    return written


def version(written: object) -> str:
    """Read a version of an interface, text like "2.0"."""
    numbers = text(written)
    if not _VERSION.fullmatch(numbers):
        raise Unfit(f'is {quote(numbers)}; a version is written like "2.0"')
    return numbers


def secret(written: str) -> SecretStr:
    """Read a secret: one line of text."""
    if not written.isprintable():
        raise Unfit("has line breaks or characters that can't be printed")
    return SecretStr(written)


def token(written: str) -> SecretStr:
    """Read a token that an HTTP header carries."""
    if not written.isascii() or not written.isprintable() or " " in written:
        raise Unfit("must be ASCII without blanks, as HTTP headers carry it")
    return SecretStr(written)


def yes_or_no(written: object) -> bool:
    """Read true or false."""
    if not isinstance(written, bool):
        raise Unfit(f"must be true or false, not {_kind(written)}")
    return written


def one_of(*words: str) -> Reader:
    """Make a reader of one of `words`, in any case."""
    choice = f"must be {' or '.join(filter(None, (', '.join(words[:-1]), words[-1])))}"

    def read(written: object) -> str:
        if not isinstance(written, str):
            raise Unfit(f"{choice}, not {_kind(written)}")
        if written.lower() not in words:
            raise Unfit(f"is {quote(written)}; it {choice}")
        return written.lower()

    return read


def whole(least: int, most: int) -> Reader:
    """Make a reader of whole numbers from `least` to `most`."""

    def read(written: object) -> int:
        if isinstance(written, bool) or not isinstance(written, int):
            raise Unfit(f"must be a whole number, not {_kind(written)}")
        if not least <= written <= most:
            raise Unfit(f"is {told(written)}; it must be from {least} to {most}")
        return written

    return read


def number(least: float, most: float) -> Reader:
    """Make a reader of numbers from `least` to `most`."""

    def read(written: object) -> float:
        if isinstance(written, bool) or not isinstance(written, int | float):
            raise Unfit(f"must be a number, not {_kind(written)}")
        if not least <= written <= most:
            raise Unfit(f"is {told(written)}; it must be from {least:g} to {most:g}")
        return float(written)

    return read


def duration(least: str, most: str) -> Reader:
    """Make a reader of durations, `90s 5m 6h 7d`, from `least` to `most`; 0 needs no unit."""
    low, high = _duration(least), _duration(most)

    def read(written: object) -> timedelta:
        length = timedelta(0) if type(written) is int and written == 0 else _duration(written)
        if not low <= length <= high:
            raise Unfit(f"is {told(written)}; it must be from {least} to {most}")
        return length

    return read


def list_of(read_one: Reader) -> Reader:
    """Make a reader of lists; a message counts the elements from 1."""

    def read(written: object) -> tuple[Any, ...]:
        if not isinstance(written, list):
            raise Unfit(f'must be a list, ["...", "..."], not {_kind(written)}')
        elements = []
        for place, element in enumerate(written, 1):
            try:
                elements.append(read_one(element))
            except Unfit as unfit:
                raise Unfit(f"(element {place}) {unfit}") from None
        return tuple(elements)

    return read


def ages(written: object) -> tuple[timedelta, ...]:
    """Read the ages at which a day is read again: whole hours or days, ascending."""
    read: tuple[timedelta, ...] = list_of(duration("1h", "3660d"))(written)
    if any(age % UNITS["h"] for age in read):
        raise Unfit("must hold whole hours or days only")
    if any(later <= earlier for earlier, later in itertools.pairwise(read)):
        raise Unfit("must be ascending, without repetition")
    return read


def share(least: int) -> Reader:
    """Make a reader of percentages, "5%"; whatever the share, `least` titles are allowed."""

    def read(written: object) -> Limit:
        match = _SHARE.fullmatch(written) if isinstance(written, str) else None
        if match is None or float(match[1]) > 100:  # noqa: PLR2004 - per cent
            raise Unfit(f'is {told(written)}; a share is written from "0%" to "100%"')
        return Limit(float(match[1]) / 100, least)

    return read


def midnight(written: object) -> datetime:
    """Read a date, as the UTC midnight it begins with."""
    day = written
    if isinstance(written, str) and _DATE.fullmatch(written):
        try:
            day = date.fromisoformat(written)
        except ValueError:
            raise Unfit(f"is {quote(written)}, which no calendar has") from None
    if not isinstance(day, date) or isinstance(day, datetime):
        raise Unfit(f"is {told(written)}; a date is written like 2014-01-31")
    return _within_dates(datetime(day.year, day.month, day.day, tzinfo=UTC))


def moment(written: object) -> datetime:
    """Read a date with a time; without an offset it is naive, for the schedule's time zone."""
    when = written
    if isinstance(written, str):
        try:
            when = datetime.fromisoformat(written)
        except ValueError:
            when = None
    if not isinstance(when, datetime):
        raise Unfit(f"is {told(written)}; a time is written like 2026-01-31T04:00:00")
    _within_dates(when.replace(tzinfo=UTC))
    return when


def zone(written: object) -> ZoneInfo:
    """Read the name of a time zone."""
    key = text(written)
    try:
        return ZoneInfo(key)
    except (KeyError, ValueError, OSError):
        known = sorted(available_timezones())
    hint = suggestion(key, known) if known else "; install tzdata: no time zone is known here"
    raise Unfit(f"is {quote(key)}, which is no time zone{hint}")


def _kind(written: object) -> str:
    kinds: Mapping[type, str] = {
        bool: "true or false",
        str: "text",
        int: "a whole number",
        float: "a number with a point",
        list: "a list",
        dict: "a table",
        datetime: "a time",
        date: "a date",
        time: "a time",
    }
    return kinds.get(type(written), "this")


def _duration(written: object) -> timedelta:
    match = _DURATION.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise Unfit(f'is {told(written)}; a duration is written like "90s", "5m", "6h" or "7d"')
    return int(match[1]) * UNITS[match[2]]


def _duration_text(length: timedelta) -> str:
    """Return the largest unit that fits whole; 60s is told in seconds, as people write it."""
    seconds = round(length.total_seconds())
    for unit, size in UNITS.items():
        count, rest = divmod(seconds, round(size.total_seconds()))
        if not rest and count and (unit, count) != ("m", 1):
            return f"{count}{unit}"
    return f"{seconds}s"


def _within_dates(when: datetime) -> datetime:
    if not FIRST_DATE <= when <= LAST_DATE:
        raise Unfit(f"is out of reach; it must be from {FIRST_DATE:%Y} to {LAST_DATE:%Y}")
    return when
