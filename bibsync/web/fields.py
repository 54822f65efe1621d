"""What stands in a query or a body: each field read strictly, and described for OpenAPI.

Readers raise `Unfit` with the rest of a sentence that begins with the field's name, as those of
the configuration do. Everything that is wrong with a request is told at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bibsync.errors import UsageWrong
from bibsync.settings import values
from bibsync.settings.values import Reader, Unfit
from bibsync.store.rejects import LAST

YES_OR_NO: Final = {"true": True, "false": False}
MOST_IDS: Final = 1000
LONGEST_TOLD: Final = 60


@dataclass(frozen=True, slots=True)
class Field:
    """A field: how it is read, what JSON Schema says of it, and what it means."""

    read: Reader
    schema: Mapping[str, Any]
    words: str


def read(
    fields: Mapping[str, Field], given: Iterable[tuple[str, Any]], *, what: str
) -> dict[str, Any]:
    """Read names and values that were given; `what` says where they stand.

    Raises:
        UsageWrong: naming everything that has no meaning.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, written in given:
        try:
            if name in found:
                raise Unfit("is given more than once")  # noqa: TRY301 - told with the rest
            if name not in fields:
                hint = values.suggestion(name, sorted(fields))
                raise Unfit(f"is unknown{hint}")  # noqa: TRY301 - told with the rest
            found[name] = fields[name].read(written)
        except Unfit as unfit:
            problems.append(f"{values.plain(name[:LONGEST_TOLD])} {unfit}")
    if problems:
        known = ", ".join(fields) or "nothing"
        raise UsageWrong(
            values.sentence(f"In the {what}: {'; '.join(problems)}"),
            remedy=f"Nothing was changed; correct it. The {what} takes: {known}.",
        )
    return found


def text(words: str) -> Field:
    """Describe a line of text: a name, a date."""
    return Field(values.name, {"type": "string"}, words)


def line(words: str, *, longest: int) -> Field:
    """Describe a line of text that may be empty and has at most so many letters."""

    def read(written: object) -> str:
        if not isinstance(written, str):
            raise Unfit("must be text")
        if len(written) > longest or not written.isprintable():
            raise Unfit(f"must be one line of text, at most {longest} letters")
        return written

    return Field(read, {"type": "string", "maxLength": longest}, words)


def word(words: str, *choice: str) -> Field:
    """Describe one word of a closed list."""
    return Field(values.one_of(*choice), {"type": "string", "enum": list(choice)}, words)


def yes_or_no(words: str) -> Field:
    """Describe true or false in a body."""
    return Field(values.yes_or_no, {"type": "boolean"}, words)


def yes_or_no_in_query(words: str) -> Field:
    """Describe true or false in a query."""

    def read(written: str) -> bool:
        if written not in YES_OR_NO:
            raise Unfit("must be true or false")
        return YES_OR_NO[written]

    return Field(read, {"type": "boolean"}, words)


def whole_in_query(words: str, *, least: int, most: int) -> Field:
    """Describe a whole number in a query."""
    within = values.whole(least, most)

    def read(written: str) -> int:
        number: int = within(int(written) if is_whole(written) else written)
        return number

    return Field(read, {"type": "integer", "minimum": least, "maximum": most}, words)


def ids(words: str) -> Field:
    """Describe a list of numbers as other documents give them."""
    number = values.list_of(values.whole(1, LAST))

    def read(written: object) -> tuple[int, ...]:
        found: tuple[int, ...] = number(written)
        if not 1 <= len(found) <= MOST_IDS:
            raise Unfit(f"must hold 1 to {MOST_IDS} numbers")
        return found

    schema = {
        "type": "array",
        "items": {"type": "integer", "minimum": 1},
        "minItems": 1,
        "maxItems": MOST_IDS,
    }
    return Field(read, schema, words)


def as_it_is(words: str, *types: str) -> Field:
    """Describe what is read elsewhere."""
    return Field(_same, {"type": list(types) if len(types) > 1 else types[0]}, words)


def is_whole(written: str) -> bool:
    """Tell whether text is a whole number that PostgreSQL can hold."""
    return written.isascii() and written.isdecimal() and len(written) < len(str(LAST))


def _same(written: object) -> object:
    return written
