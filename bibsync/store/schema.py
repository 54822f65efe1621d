"""The schema: numbered .sql files, each applied once, in one transaction, checked by its hash.

Safe with several processes at once, through a pooler too: a transaction-level advisory lock lets
one migrate while the others wait. A database newer than this program is refused.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import structlog

from bibsync import events
from bibsync.errors import SchemaUnfit
from bibsync.store import LET_GO, Connection

FOLDER = Path(__file__).parent / "migrations"

LOCK = f"select pg_advisory_xact_lock(hashtext('bibsync.migrations')), {LET_GO}"
CREATE = """
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
)
"""
EXISTS = "select to_regclass('schema_migrations') is not null"
APPLIED = "select version, name, sha256, applied_at from schema_migrations order by version"
NOTE = "insert into schema_migrations (version, name, sha256) values ($1, $2, $3)"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hash of the file's text: an applied file must never change."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class State:
    """Which migrations a database has, and which it lacks; both in order."""

    applied: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether bibsync was never set up here."""
        return not self.applied


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return the program's migrations in order."""
    found = [
        Migration(int(match[1]), path.name, path.read_text("utf-8"))
        for path in folder.glob("*.sql")
        if (match := re.match(r"(\d{4})_", path.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


async def state(conn: Connection, folder: Path = FOLDER) -> State:
    """Tell which migrations are applied and which are missing.

    Raises:
        SchemaUnfit: the database is newer than this program, or a file was changed.
    """
    rows = await conn.fetch(APPLIED) if await conn.fetchval(EXISTS) else []
    files = {each.version: each for each in migrations(folder)}
    for row in rows:
        file = files.get(row["version"])
        if file is None:
            raise SchemaUnfit(
                f"The database has migration {row['name']}, which this bibsync doesn't know: "
                "it was made by a newer one.",
                remedy="Install the newer bibsync.",
            )
        if file.sha256 != row["sha256"]:
            raise SchemaUnfit(
                f"Migration {row['name']} is not the one that this database was made with.",
                remedy="Install the bibsync that made this database.",
            )
    done = {row["version"] for row in rows}
    return State(
        tuple(row["name"] for row in rows),
        tuple(each.name for each in files.values() if each.version not in done),
    )


async def upgrade(conn: Connection, folder: Path = FOLDER) -> tuple[str, ...]:
    """Apply what is missing, all or nothing, and return its names.

    This is the one function of the store that opens a transaction: a migration is one.
    """
    if not (await state(conn, folder)).missing:
        return ()
    async with conn.transaction():
        await conn.execute(LOCK)
        await conn.execute(CREATE)
        missing = (await state(conn, folder)).missing
        for each in migrations(folder):
            if each.name in missing:
                await conn.execute(each.sql)
                await conn.execute(NOTE, each.version, each.name, each.sha256)
    if missing:
        log.info(events.SCHEMA_MIGRATED, migrations=missing)
    return missing


async def require(conn: Connection) -> bool:
    """Check that the schema fits; False where the database is still empty.

    Raises:
        SchemaUnfit: it is older or newer than this program.
    """
    found = await state(conn)
    if found.missing and not found.empty:
        raise SchemaUnfit(f"The database's schema lacks {', '.join(found.missing)}.")
    return not found.empty
