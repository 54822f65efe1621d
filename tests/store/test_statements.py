"""Every statement of every table module, against the migrated schema."""

import importlib
import inspect
import pkgutil

import pytest

from bibsync import store
from bibsync.store import Connection

SQL = ("select", "insert", "update", "delete", "with", "analyze", "create")


def statements() -> list[object]:
    """Return each upper-case text constant of the store that is SQL, named by its module."""
    found = []
    for module in pkgutil.iter_modules(store.__path__, "bibsync.store."):
        for name, value in inspect.getmembers(importlib.import_module(module.name)):
            if name.isupper() and isinstance(value, str) and _is_sql(value):
                found.append(pytest.param(value, id=f"{module.name.rpartition('.')[2]}.{name}"))
    return found


def _is_sql(text: str) -> bool:
    return text.split(maxsplit=1)[0] in SQL if text.split() else False


@pytest.mark.parametrize("sql", statements())
async def test_a_statement_fits_the_schema(conn: Connection, sql: str):
    """PostgreSQL parses and types it."""
    await conn.prepare(sql)


def test_the_statements_of_every_table_are_found():
    modules = {str(param.id).partition(".")[0] for param in statements()}

    tables = {"collections", "leases", "fences", "lanes", "windows", "blanks", "days", "runs"}
    assert tables | {"records", "rejects", "titles", "schema"} <= modules
