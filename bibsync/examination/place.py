"""The checks of what all collections share: configuration, state folder, database, Redis."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from bibsync import lease, store
from bibsync.collection import Collection
from bibsync.config import Config
from bibsync.errors import ConfigInvalid, SchemaUnfit, StoreUnavailable
from bibsync.examination.finding import (
    Finding,
    State,
    failed,
    invalid,
    passed,
    warning,
    without,
)
from bibsync.replicas import address
from bibsync.store import Connection, Pool, collections, schema, trial
from bibsync.store.embedded import exists
from bibsync.store.leases import Held

LITTLE_SPACE = 1 << 30
CONNECTION, RIGHTS, SCHEMA = "database.connection", "database.rights", "database.schema"
NO_SPACE = 100 << 20
"""Below this a write-ahead log of the embedded database may not find room."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined, and the way to its database."""

    config: Config
    chosen: tuple[Collection, ...]
    connect: Callable[[Config], AbstractAsyncContextManager[Pool]]

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return self.config.database.url is None


async def configuration(case: Case) -> list[Finding]:
    """Tell the configuration's warnings; it has no problems, or nobody would have come so far."""
    check, config = "configuration", case.config
    findings = [
        warning(check, sentence, "Mend that line; `bibsync config check` tells when all is well.")
        for sentence in config.warnings
    ]
    if config.path is None:
        message = "There is no configuration file: defaults and the environment are all there is."
        findings.append(warning(check, message, "Write one with `bibsync init`."))
    elif not config.collections:
        message = f"{config.path} names no collection, so there is nothing to sync."
        findings.append(warning(check, message, "Fill in its [[collections]] table."))
    count = len(config.collections)
    plural = "" if count == 1 else "s"
    return findings or [passed(check, f"{config.path} is valid, with {count} collection{plural}.")]


async def state_folder(case: Case) -> list[Finding]:
    """Tell whether the state folder can be written and has room, or could be made."""
    finding = await asyncio.to_thread(_folder, case.config.state_dir)
    if finding.state is State.FAILED and not case.embedded:
        return [replace(finding, state=State.WARNING)]  # the records lie elsewhere
    return [finding]


def _folder(folder: Path) -> Finding:
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            check="state_folder",
            state=State.FAILED,
            message=f"The state folder {folder} can't be written"
            + ("." if there == folder else f": {there} doesn't allow it."),
            remedy="Let this user write there, or give another state_dir.",
        )
    made = "" if there == folder else "; the first run makes it"
    return room(f"The state folder {folder}", shutil.disk_usage(there).free, made=made)


def room(folder: str, free: int, *, made: str = "") -> Finding:
    """Judge the free space, in bytes."""
    size = f"{free / (1 << 30):.1f} GiB" if free >= LITTLE_SPACE else f"{free >> 20} MiB"
    if free >= LITTLE_SPACE:
        return passed("state_folder", f"{folder} can be written, {size} are free{made}.")
    remedy = "Free some space there, or give another state_dir."
    finding = warning("state_folder", f"{folder} has only {size} left{made}.", remedy)
    return replace(finding, state=State.FAILED) if free < NO_SPACE else finding


async def database(case: Case) -> list[Finding]:
    """Tell whether the database answers, lets itself be written, and has the schema."""
    if case.embedded and not exists(case.config.state_dir):
        return [await asyncio.to_thread(_unmade, case.config.state_dir)]
    try:
        return await _connected(case)
    except StoreUnavailable as error:
        return [without(failed(CONNECTION, error), (RIGHTS, SCHEMA))]


def _unmade(state_dir: Path) -> Finding:
    """Tell whether the embedded server, which isn't there yet, can be made."""
    if _folder(state_dir).state is not State.FAILED:
        message = f"The embedded PostgreSQL will be made by the first run, in {state_dir}."
        return passed(CONNECTION, message)
    message = f"The embedded PostgreSQL can't be made in {state_dir}, see state_folder."
    error = StoreUnavailable(message, remedy="Mend what is told of state_folder.")
    return without(failed(CONNECTION, error), (RIGHTS, SCHEMA))


async def _connected(case: Case) -> list[Finding]:
    async with case.connect(case.config) as pool, store.acquire(pool) as conn:
        version = conn.get_server_version()
        kind = "The embedded PostgreSQL" if case.embedded else "PostgreSQL"
        number = f"{version.major}.{version.minor}"
        findings = [passed(CONNECTION, f"{kind} {number} answers.")]
        try:
            state = await schema.state(conn)
        except SchemaUnfit as unfit:
            return [*findings, without(failed(SCHEMA, unfit), (RIGHTS,))]
        findings += [await _rights(conn, state), _schema(case.config, state)]
        if not state.missing:
            rows = await collections.all_rows(conn)
            findings += _moved(case.config, rows)
            findings += await _runs_under_way(conn, case.chosen, rows)
        return findings


async def _rights(conn: Connection, state: schema.State) -> Finding:
    try:
        await trial.write(conn, empty=state.empty)
    except StoreUnavailable as refusal:
        return failed(RIGHTS, refusal)
    return passed(RIGHTS, "The database can be written.")


def _schema(config: Config, state: schema.State) -> Finding:
    check, by_hand = SCHEMA, config.database.upgrade == "never"
    if not state.missing:
        return passed(check, "The tables are up to date.")
    if state.empty and not by_hand:
        return passed(check, "There are no tables yet; the first run makes them.")
    lacking = ", ".join(state.missing)
    if state.empty:
        message = 'There are no tables yet, and [database] upgrade is "never".'
        return failed(check, SchemaUnfit(message, remedy="Run `bibsync db upgrade`."))
    if by_hand:
        return failed(check, SchemaUnfit(f"The database's schema lacks {lacking}."))
    message = f"The tables are of an older bibsync; the next run brings them up to date: {lacking}."
    return warning(check, message, "Run `bibsync db upgrade` to have it done now.")


def _moved(config: Config, rows: Sequence[collections.Row]) -> list[Finding]:
    """Tell of each collection that means another library than its records; every run refuses it."""
    findings = []
    for each in config.collections:
        try:
            collections.refuse_moved((each,), rows)
        except ConfigInvalid as moved:
            told = invalid("collection.library", moved)
            findings += [replace(finding, collection=each.name) for finding in told]
    return findings


async def _runs_under_way(
    conn: Connection, chosen: tuple[Collection, ...], rows: Sequence[collections.Row]
) -> list[Finding]:
    """Tell of each lease that is held; that is no fault, only good to know."""
    names = {each.name for each in chosen}
    numbers = {row.number: row.name for row in rows}
    return [
        Finding(
            check="collection.lease",
            state=State.PASSED,
            message=f"A run of {stream} is under way: {held.holder.replica}, "
            f"since {held.since:%Y-%m-%d %H:%M} UTC.",
            collection=numbers[number],
        )
        for (number, stream), held in sorted((await lease.alive(conn)).items(), key=_place_of)
        if numbers.get(number) in names
    ]


def _place_of(entry: tuple[lease.Key, Held]) -> lease.Key:
    return entry[0]


async def redis(case: Case) -> list[Finding]:
    """Tell whether Redis answers and bibsync's keys can be written, where one is configured.

    Raises:
        RedisUnavailable: it can't be used.
    """
    url = case.config.redis.url
    if url is None:
        return []
    from bibsync.replicas import client  # noqa: PLC0415 - redis takes 0.2 s to import

    async with client.connected(address.read(url.get_secret_value())):
        return [passed("redis", "Redis answers, and bibsync's keys can be written.")]
