"""Fixtures of the tests of notices: a library with one collection."""

from pathlib import Path

import pytest
from library import Library

from bibsync.store import Pool


@pytest.fixture
async def library(pool: Pool, tmp_path: Path) -> Library:
    """Return a library whose collection was never synced."""
    made = Library(pool, tmp_path)
    await made.enrol()
    return made
