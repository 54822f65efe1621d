"""bibsync records: the records that are stored."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer

from bibsync import store
from bibsync.cli import completion, context, stored, target, versions as former, waiting
from bibsync.cli.context import Json, configuration
from bibsync.cli.export import export, refuse_terminal
from bibsync.cli.stored import ControlNumber, Of
from bibsync.cli.text import local, out, out_json, printable
from bibsync.config import Config
from bibsync.errors import UsageWrong
from bibsync.exports import FORMATS, Row, jsonl, mnemonic
from bibsync.exports.format import fragment
from bibsync.store import records

app = typer.Typer(
    no_args_is_help=True,
    help='Look at records and hand them on.\n\nbibsync records export --collection "Springfield"',
)

FORMS = ("mnemonic", "json", "marcxml", "mrc")
TIMES = (
    ("first seen", "first_seen"),
    ("last changed", "last_changed"),
    ("last seen", "last_seen"),
    ("withdrawn", "withdrawn_at"),
)
LABEL = 14
"""Columns that the names of what the vendor tells take: the longest is `control number`."""
FORMER_TIMES = (("valid from", "valid_from"), ("until", "replaced_at"))


@app.command(short_help="Show one record, field by field.")
def show(
    control_number: ControlNumber,
    collection: Of,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The MARC record alone: mnemonic, json, marcxml or mrc.",
            autocompletion=completion.words(*FORMS),
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option(metavar="V", help="Left out: as it is now.")
    ] = None,
    json: Json = False,
) -> None:
    """Show one record as it is stored, field by field.

    bibsync records show ehasb89 --collection "Springfield cloudLibrary"
    """
    _check(form, json=json)
    config = configuration()
    row = context.run(_one(config, collection, control_number, version))
    if form:
        _hand_on(row, form)
    elif json:
        out_json(jsonl.document(row) if _is_current(row) else _former(row))
    else:
        _tell(row, config)
        out(printable(mnemonic.text(row)))
        if _is_current(row):
            if row["description"] is not None:
                _describe(row, config)
            if row["due_at"] is not None:
                out()
                out(printable(waiting.sentence(row, config.timezone)))


app.command(short_help="List the versions of a record.")(former.history)
app.command(short_help="Show what changed between versions.")(former.diff)
app.command(short_help="Write the records of a collection.")(export)
app.command("waiting", short_help="List titles that wait for a look-up.")(waiting.waiting)


async def _one(config: Config, collection: str, control_number: str, version: int | None) -> Row:
    async with stored.reading(config, collection) as found:
        key = control_number.strip()
        row: Any = None
        if found:
            with suppress(*store.UNSTORABLE):
                row = await records.one(*found, key)
                if version is not None and (row is None or row["version"] != version):
                    row = await stored.version(*found, key, version)
        if row is None:
            raise stored.no_record(control_number, collection)
        return dict(row)


def _check(form: str | None, *, json: bool) -> None:
    known = ", ".join(FORMS)
    if form is not None and form not in FORMS:
        raise UsageWrong(f"--format: there is no format {form!r}; there is: {known}.")
    if form is not None and json:
        raise UsageWrong("--format and --json exclude each other.")
    if form in FORMATS:
        refuse_terminal(form, remedy="Put > FILE behind the command, or choose another --format.")


def _is_current(row: Row) -> bool:
    """Tell whether the row is one of `store.records`, which knows all of a record."""
    return "title" in row


def _former(row: Row) -> dict[str, Any]:
    return former.document(row) | {"marc": fragment(row["marc"])}


def _hand_on(row: Row, form: str) -> None:
    """Write the MARC record alone."""
    if form == "mnemonic":
        out(printable(mnemonic.text(row)))
    elif form == "json":
        out_json(orjson.loads(row["marc"]))
    else:
        with target.opened(None) as write:
            way = FORMATS[form]
            write(way.head + way.one(row) + way.tail)


def _tell(row: Row, config: Config) -> None:
    out(f"{row['collection_name']}, {row['control_number']}, version {row['version']}")
    for words, name in TIMES if _is_current(row) else FORMER_TIMES:
        if row[name]:
            out(f"{words} {local(row[name], config.timezone)}")
    if row.get("repairs"):
        out(f"repaired: {', '.join(row['repairs'])}")
    out()


def _describe(row: Row, config: Config) -> None:
    """Write what the vendor tells of the title, a line for each thing."""
    out()
    out(f"description, looked up {local(row['looked_up_at'], config.timezone)}")
    document = orjson.loads(row["description"])
    for name, value in document.items() if isinstance(document, dict) else (("", document),):
        label = name.replace("_", " ")
        for line in _lines(value):
            out(printable(f"{label:<{LABEL}}  {line}"))
            label = ""


def _lines(value: object) -> Iterator[str]:
    """Yield the lines that say a value of JSON to people: one for each of several."""
    match value:
        case None | "":
            return
        case list():
            for each in value:
                yield from _lines(each)
        case {"name": name, "role": role}:
            yield f"{name} ({role})" if role else str(name)
        case dict():
            yield from (f"{name} {each}" for name, each in value.items() if each)
        case _:
            yield str(value)
