"""bibsync status: how every collection stands."""

import shlex
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from bibsync import status as standing, store
from bibsync.cli import context
from bibsync.cli.context import Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import local, out_json, printable, say, table
from bibsync.config import Config
from bibsync.run import PURCHASES

CHECK_FAILED = 8
COLUMNS = (
    *("COLLECTION", "HEALTH", "ACTIVITY", "LAST SUCCESS", "BEHIND", "RECORDS", "REJECTS"),
    "NEXT DUE",
)


def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 8 if a collection is late or failing.")
    ] = False,
    json: Json = False,
) -> None:
    """Show how every collection stands: health, activity, how far it is caught up.

    bibsync status
    """
    config = configuration()
    document = context.run(_document(config))
    if json:
        out_json(document)
    else:
        _show(document, config)
    unwell = {each["health"] for each in document["collections"]} & standing.UNHEALTHY
    if check and unwell:
        raise typer.Exit(CHECK_FAILED)


async def _document(config: Config) -> dict[str, Any]:
    async with context.readable(config) as pool:
        tables = standing.NOTHING
        if pool is not None:
            async with store.acquire(pool) as conn:
                tables = await standing.read(conn)
        return standing.document(tables, config.collections, now=datetime.now(UTC))


def _show(document: dict[str, Any], config: Config) -> None:
    if not document["collections"]:
        say("There is no collection yet.")
        return
    rows = []
    for each in document["collections"]:
        stream = each["streams"][0] if each["streams"] else {}
        success, due = stream.get("last_success"), stream.get("next_due")
        rows.append(
            (
                each["name"],
                each["health"],
                each["activity"],
                datetime.fromisoformat(success) if success else None,
                None if stream.get("lag_s") is None else timedelta(seconds=stream["lag_s"]),
                each["records"],
                each["rejects_open"],
                datetime.fromisoformat(due) if due else None,
            )
        )
    table(COLUMNS, rows, zone=config.timezone)
    for each in document["replicas"]:
        for sentence in _of_replica(each):
            say(printable(sentence))
    for each in document["collections"]:
        _explain(each, config)


def _explain(each: dict[str, Any], config: Config) -> None:
    """Say what a person should know of a collection, and what to do."""
    name = each["name"]
    if pause := each["pause"]:
        say(printable(f"{name}: {_paused(pause, config)}"))
        say(printable(f"  bibsync resume --collection {shlex.quote(name)}"))
    if each["health"] == "late":
        say(printable(_late(each, config)))
    for stream in each["streams"]:
        if waiting := stream.get("titles_waiting"):
            say(printable(f"{name}: {_list(waiting, name)}"))
        problem = (stream["last_run"] or {}).get("problem")
        if problem and each["health"] != "disabled":
            say(printable(f"{name}: {problem['message']} [{problem['code']}]"))
            say(f"  {problem['remedy']}")


def _late(each: dict[str, Any], config: Config) -> str:
    """Say since when a collection is late, and where to look why."""
    [success] = [one["last_success"] for one in each["streams"] if one["stream"] == PURCHASES]
    since = f"since {local(datetime.fromisoformat(success), config.timezone)}" if success else "yet"
    command = f"bibsync runs list --collection {shlex.quote(each['name'])}"
    return f"{each['name']}: late, no sync succeeded {since}; see: {command}"


def _of_replica(replica: dict[str, Any]) -> list[str]:
    """Say what a person should know of a daemon that serves."""
    sentences = []
    if problem := replica["config_problem"]:
        sentences.append("refused its new configuration and goes by the one before:")
        sentences += problem["problems"]
    if replica["redis_lost"]:
        sentences.append("can't reach Redis; it goes on, by PostgreSQL alone.")
    return [f"{replica['replica']}: {each}" for each in sentences]


def _paused(pause: dict[str, Any], config: Config) -> str:
    until = pause["until"]
    ends = f"until {local(datetime.fromisoformat(until), config.timezone)}" if until else ""
    why = f": {pause['reason']}" if pause["reason"] else "."
    return " ".join(filter(None, (f"paused by {pause['by']}", ends))) + why


def _list(waiting: int, collection: str) -> str:
    command = f"bibsync records waiting --collection {shlex.quote(collection)}"
    return f"{counted(waiting, 'title')} to be looked up; see: {command}"
