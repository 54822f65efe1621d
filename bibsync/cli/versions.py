"""bibsync records history and diff: what a record said before."""

import os
import sys
from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import Annotated, Any

import typer

from bibsync import store
from bibsync.cli import context, stored
from bibsync.cli.context import Json, configuration
from bibsync.cli.stored import ControlNumber, Of
from bibsync.cli.text import out, out_json, printable, say, table
from bibsync.config import Config
from bibsync.exports import Row, difference
from bibsync.exports.difference import Change
from bibsync.run import utc_text
from bibsync.store import versions

RED, GREEN, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def history(control_number: ControlNumber, collection: Of, json: Json = False) -> None:
    """List the versions of a record, the newest first.

    bibsync records history ehasb89 --collection "Springfield cloudLibrary"

    FIELDS says how many fields differ from the version before.
    """
    config = configuration()
    rows = context.run(_history(config, collection, control_number, json=json))
    if rows:
        columns = ("VERSION", "VALID FROM", "UNTIL", "REPLACED BY RUN", "FIELDS")
        table(columns, rows, zone=config.timezone)


def diff(
    control_number: ControlNumber,
    collection: Of,
    from_: Annotated[
        int | None,
        typer.Option("--from", metavar="V", help="Left out: the version before the other."),
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="V", help="Left out: the newest version.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what changed from one version of a record to another, field by field.

    bibsync records diff ehasb89 --collection "Springfield cloudLibrary"

    005 and the date in 008/00-05 don't count: the vendor makes them when it is asked.
    """
    config = configuration()
    old, new = context.run(_two(config, collection, control_number, (from_, to)))
    changes = difference.between(old["marc"], new["marc"]) if old else []
    if json:
        out_json(_difference(old, new, changes))
        return
    name = f'"{printable(new["control_number"])}"'
    if old is None:
        say(f"{name} has no version before {new['version']}.")
        return
    span = f"versions {old['version']} and {new['version']}"
    if not changes:
        say(f"{name}: {span} don't differ, 005 and the date in 008 aside.")
    for change in changes:
        _mark("-", RED, difference.lines(change.tag, change.removed))
        _mark("+", GREEN, difference.lines(change.tag, change.added))


def document(row: Row) -> dict[str, Any]:
    """Return what is known of a version, without the record itself."""
    return {
        "collection": row["collection_name"],
        "control_number": row["control_number"],
        "version": row["version"],
        "fingerprint": row["fingerprint"].hex(),
        "valid_from": utc_text(row["valid_from"]),
        "replaced_at": utc_text(row["replaced_at"]),
        "replaced_by": row["replaced_by"],
    }


async def _history(
    config: Config, collection: str, control_number: str, *, json: bool
) -> list[tuple[object, ...]]:
    """Print each version as JSON, or return the rows of the table."""
    rows: list[tuple[object, ...]] = []
    newer: Any = None
    async with stored.reading(config, collection) as found:
        if found:
            with suppress(*store.UNSTORABLE):
                async with aclosing(versions.each(*found, control_number.strip())) as each:
                    async for row in each:
                        if json:
                            out_json(document(row))
                        elif newer:
                            rows.append(_line(newer, row))
                        newer = row
    if newer is None:
        raise stored.no_record(control_number, collection)
    return [] if json else [*rows, _line(newer, None)]


def _line(row: Row, older: Row | None) -> tuple[object, ...]:
    changes = difference.between(older["marc"], row["marc"]) if older else None
    return (
        row["version"],
        row["valid_from"],
        row["replaced_at"],
        row["replaced_by"],
        None if changes is None else sum(change.fields for change in changes),
    )


async def _two(
    config: Config, collection: str, control_number: str, span: tuple[int | None, int | None]
) -> tuple[Row | None, Row]:
    """Return both versions; the older one is None where nobody named it and there is none."""
    from_, to = span
    key = control_number.strip()
    old: Any = None
    new: Any = None
    async with stored.reading(config, collection) as found:
        if found:
            with suppress(*store.UNSTORABLE):
                if to is None:
                    new = await versions.before(*found, key)
                else:
                    new = await stored.version(*found, key, to)
                if new and from_ is None:
                    old = await versions.before(*found, key, new["version"])
                elif new and from_ is not None:
                    old = await stored.version(*found, key, from_)
        if new is None:
            raise stored.no_record(control_number, collection)
        return old, new


def _difference(old: Row | None, new: Row, changes: Iterable[Change]) -> dict[str, Any]:
    removed, added, by_tag = [], [], []
    for each in changes:
        removed += difference.lines(each.tag, each.removed)
        added += difference.lines(each.tag, each.added)
        by_tag.append({"tag": each.tag, "removed": each.removed, "added": each.added})
    return {
        "collection": new["collection_name"],
        "control_number": new["control_number"],
        "from": old["version"] if old else None,
        "to": new["version"],
        "removed": removed,
        "added": added,
        "changes": by_tag,
    }


def _mark(sign: str, colour: str, lines: Iterable[str]) -> None:
    coloured = (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    for line in lines:
        marked = f"{sign}{printable(line)}"
        out(f"{colour}{marked}{PLAIN}" if coloured else marked)
