"""bibsync records waiting: titles whose description the vendor hasn't given yet, and why."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import tzinfo
from typing import Any

from bibsync.cli import context, stored
from bibsync.cli.context import Json, configuration
from bibsync.cli.stored import Of
from bibsync.cli.text import local, out_json, say, table
from bibsync.config import Config
from bibsync.run import utc_text
from bibsync.store import titles

COLUMNS = ("CONTROL NUMBER", "WAITING SINCE", "DUE", "REASON")
UNASKED = "not asked yet"
PAGE = 500

Row = Mapping[str, Any]


def waiting(collection: Of, json: Json = False) -> None:
    """List the titles that wait for a look-up, and why.

    bibsync records waiting --collection "Springfield cloudLibrary"

    The first run after a title is due looks it up. One that the vendor leaves out, or has no answer
    for, is due again after a day, then after 2, 4 ... 64 days.
    """
    config = configuration()
    if not context.run(_waiting(config, collection, json=json)):
        say("No title waits for a look-up.")


def sentence(row: Row, zone: tzinfo) -> str:
    """Say of a record of which `due_at` is set that it waits, and why."""
    since, due = local(row["wanted_since"], zone), local(row["due_at"], zone)
    return f"waits for a look-up since {since}, due {due}: {row['problem'] or UNASKED}"


async def _waiting(config: Config, collection: str, *, json: bool) -> int:
    count = 0
    async with stored.reading(config, collection) as found:
        if not found:
            return count
        async with aclosing(titles.waiting(*found)) as rows:
            if json:
                async for row in rows:
                    out_json(_document(row, collection))
                    count += 1
                return count
            async for page in _pages(rows):
                table(COLUMNS, map(_cells, page), zone=config.timezone)
                count += len(page)
    return count


async def _pages(rows: AsyncGenerator[Any, None]) -> AsyncGenerator[list[Any], None]:
    """Gather rows: a terminal's table is as wide as its widest row, and all would be too many."""
    page: list[Any] = []
    async for row in rows:
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _cells(row: Row) -> tuple[object, ...]:
    return row["control_number"], row["wanted_since"], row["due_at"], row["problem"] or UNASKED


def _document(row: Row, collection: str) -> dict[str, object]:
    return {
        "collection": collection,
        "control_number": row["control_number"],
        "wanted_since": utc_text(row["wanted_since"]),
        "due": utc_text(row["due_at"]),
        "reason": row["problem"],
    }
