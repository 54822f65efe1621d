"""Cron lines: whether one makes sense, not when it is due next."""

import re
from dataclasses import dataclass

from bibsync.cron import NAMES
from bibsync.settings.values import Unfit, quote, text

_PART = re.compile(
    r"(?:\*|(?P<start>[0-9]{1,2}|[A-Za-z]{3})(?:-(?P<end>[0-9]{1,2}|[A-Za-z]{3}))?)"
    r"(?:/(?P<step>[0-9]{1,2}))?"
)
_LONGEST_MONTH = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    """One of a cron line's five fields; `names` stand for numbers from `first` on."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def chosen(self, field: str) -> set[int]:
        """Return the numbers that `field` chooses: `*`, `a`, `a-b`, each with `/step`, listed."""
        numbers: set[int] = set()
        for part in field.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                raise self._unfit(part)
            start, end = self.first, self.last
            if match["start"]:
                start = self._number(match["start"])
                end = self._number(match["end"]) if match["end"] else start
                end = self.last if match["step"] and not match["end"] else end
            step = int(match["step"] or 1)
            if not self.first <= start <= end <= self.last or not step:
                raise self._unfit(part)
            numbers.update(range(start, end + 1, step))
        return numbers

    def _number(self, word: str) -> int:
        if word.isdecimal():
            return int(word)
        if word.lower() not in self.names:
            raise self._unfit(word)
        return self.first + self.names.index(word.lower())

    def _unfit(self, part: str) -> Unfit:
        return Unfit(
            f"has {quote(part)} as {self.name}, which cron doesn't know: "
            f"*, {self.first} to {self.last}, a-b, a list with commas, or any of these with /step"
        )


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field(
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def line(written: object) -> str:
    """Read a cron line, only as far as its shape and days that no month has."""
    cron = text(written)
    if cron.startswith("@"):
        return _named(cron)
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise Unfit(f"is {quote(cron)}; a cron line has five fields: minute hour day month weekday")
    chosen = {field.name: field.chosen(each) for field, each in zip(_FIELDS, fields, strict=True)}
    days = {_LONGEST_MONTH[month] for month in chosen["month"]}
    if fields[4] == "*" and min(chosen["day"]) > max(days):
        raise Unfit(f"is {quote(cron)}, a day that never comes")
    return " ".join(fields)


def _named(cron: str) -> str:
    if cron.lower() not in NAMES:
        raise Unfit(f"is {quote(cron)}, which cron doesn't know; it knows {', '.join(NAMES)}")
    return cron.lower()
