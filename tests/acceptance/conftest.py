"""Fixtures of the acceptance tests: an installation, a vendor, and both together."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from installation import PASSWORD, Installation
from watched import Watched, library, served


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for compiled modules: processes start in half the time."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short path, which a server's socket fits into."""
    folder = Path(tempfile.mkdtemp(prefix="bibsync-test-"))
    yield folder
    for link in folder.rglob("cluster"):  # as root: where a server lies that nobody can reach here
        shutil.rmtree(link.resolve())
    shutil.rmtree(folder)


@pytest.fixture
def installation(folder: Path, bytecode: Path, database: str) -> Installation:
    """Return an installation with a database of its own at a given server."""
    around = "&" if "?" in database else "?"
    url = f"{database}{around}password={quote(PASSWORD)}"
    made = Installation(folder, folder / "state", url, bytecode)
    made.configure()
    return made


@pytest.fixture
def embedded(folder: Path, bytecode: Path) -> Installation:
    """Return an installation that nobody has given a database."""
    made = Installation(folder, folder / "state", None, bytecode)
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
