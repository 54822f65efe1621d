"""Fixtures of the acceptance tests: an installation, a vendor, and both together."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import loaded
import pytest
from installation import PASSWORD, Installation
from loaded import Loaded
from watched import Watched, library, served


@pytest.fixture(scope="session")
def program(shared_folder: Path) -> Iterator[Loaded]:
    """Return the program, loaded; its compiled modules lie in one folder for all workers."""
    with loaded.opened(shared_folder / "bytecode") as program:
        yield program


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short path, which a server's socket fits into."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    yield folder
    for link in folder.rglob("cluster"):  # as root: where a server lies that nobody can reach here
        shutil.rmtree(link.resolve())
    shutil.rmtree(folder)


@pytest.fixture
def installation(folder: Path, program: Loaded, database: str) -> Installation:
    """Return an installation with a database of its own at a given server."""
    around = "&" if "?" in database else "?"
    url = f"{database}{around}password={quote(PASSWORD)}"
    made = Installation(folder, folder / "state", url, program)
    made.configure()
    return made


@pytest.fixture
def embedded(folder: Path, program: Loaded) -> Installation:
    """Return an installation that nobody has given a database."""
    made = Installation(folder, folder / "state", None, program)
    made.configure()
    return made


@pytest.fixture
def bare(embedded: Installation) -> Installation:
    """Return an installation whose commands must not come as far as a database."""
    return embedded


@pytest.fixture
async def vendor() -> AsyncIterator[Watched]:
    """Return a vendor with one library, springfield."""
    async with served(Watched([library()])) as vendor:
        yield vendor
