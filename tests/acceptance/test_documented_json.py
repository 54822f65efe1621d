"""What commands print with --json is what docs/commands.md says, field by field."""

from collections import defaultdict
from typing import Any

import asyncpg
from commands_page import SECTIONS, documented
from installation import Installation
from watched import Watched, library, served

from bibsync.simulator import Defect

FIRST = """
run-once --all --dry-run --json
run-once --all --stream purchases --json
run-once --collection springfield --queue --json
records waiting --collection springfield --json
run-once --all --json
records export --collection springfield
"""
THEN = """
config check --json
config show --json
init --output another.toml --json
doctor --json
status --json
runs list --json
runs show 1 --json
schedule list --json
schedule run snapshot --json
pause --collection springfield --for 1h --json
status --json
resume --collection springfield --json
collections list --json
collections forget springfield --json
records show {key} --collection springfield --json
records history {key} --collection springfield --json
records diff {key} --collection springfield --json
stats --json
snapshots fill --since 3d --until 2999-01-01 --json
snapshots list --json
stats --since 3d --json
cleanup --json
rejects list --json
rejects show 1 --json
db status --json
db upgrade --json
notify test --json
rejects retry --all --json
rejects dismiss --all --json
backfill --collection springfield --since 2d --until 1d --json
collections rename springfield shelbyville --json
"""
OLDER = "update collections set created_at = created_at - interval '9 days'"
"""As if there had been days that could have been taken."""
OPAQUE = {"marc", "description"}
"""Documents within documents, whose fields are MARC's, or the vendor's."""
WITH_DOCUMENTS = {"records export"} | {
    name.removeprefix("bibsync ")
    for name, section in SECTIONS.items()
    if "\nWith `--json`" in section
}
WHERE_THERE_IS_ONE = {
    *("code", "origin", "transient", "message", "remedy", "detail"),  # a problem
    *("holder", "since"),  # a lease
    "titles",  # look-ups that wait
    *("replica", "version", "started", "seen", "configured_at"),  # a daemon that serves
    *("config_problem", "redis_lost", "loop_lag_s", "problems"),  # the same
    *("titles_described", "titles_waiting"),
    *("valid_from", "replaced_at", "replaced_by"),  # a former version, shown
}


def names_in(value: Any) -> set[str]:
    """Return the names of all fields, at any depth."""
    if isinstance(value, dict):
        inner = (names_in(each) for name, each in value.items() if name not in OPAQUE)
        return set(value).union(*inner)
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


async def said_by(installation: Installation, lines: str) -> dict[str, list[dict[str, Any]]]:
    """Start a command a line, each from nothing; return the documents that it printed, by name."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in lines.strip().splitlines():
        ended = await (await installation.start(*call.split())).ended()
        assert ended.documents, f"{call} printed nothing: {ended.err}"
        name = next(each for each in WITH_DOCUMENTS if call.startswith(f"{each} "))
        found[name] += ended.documents
    return found


async def test_json_has_the_documented_fields_and_no_other(
    installation: Installation, database: str
):
    spoilt = library(titles=60, bad=0.2, defects=[Defect.NO_001])
    async with served(Watched([spoilt])) as vendor:
        heartbeat = '[notify]\nheartbeat_url = "http://127.0.0.1:9/"'
        installation.configure(vendor.collections(), more=heartbeat)

        said = await said_by(installation, FIRST)
        key = said["records export"][0]["control_number"]
        conn = await asyncpg.connect(database)
        await conn.execute(OLDER)
        await conn.close()
        said |= await said_by(installation, THEN.format(key=key))

    assert WITH_DOCUMENTS == said.keys()
    unlike = {}
    for name, documents in said.items():
        emitted, written = names_in(documents), documented(f"bibsync {name}")
        unlike[name] = (emitted - written, written - emitted - WHERE_THERE_IS_ONE)
    assert {name: fields for name, fields in unlike.items() if any(fields)} == {}
