"""Makes a mutant out of a copy of this tree, and runs the tests that must notice it there."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.mutant import Edit, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("bibsync", "tests", "pyproject.toml")
TESTS_FAILED = 1
"""What pytest exits with when tests ran and some of them failed, and for nothing else."""
STUCK = "--timeout=30"
"""A mutant that waits for ever fails its test."""


class NotMade(Exception):
    """The source isn't as the mutant expects it; the message says where."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant's tests."""

    code: int
    out: str

    @property
    def caught(self) -> bool:
        """Whether a test failed, rather than that none could be run."""
        return self.code == TESTS_FAILED


def apply(edit: Edit, root: Path) -> None:
    """Change the source.

    Raises:
        NotMade: what is to be replaced doesn't stand there exactly once.
    """
    path = root / edit.file
    source = path.read_text()
    if (times := source.count(edit.before)) != 1:
        raise NotMade(f"{edit.file} has this {times} times, not once:\n{edit.before}")
    path.write_text(source.replace(edit.before, edit.after))


async def tried(mutant: Mutant, **environment: str) -> Verdict:
    """Make the mutant, run its tests, tell what became of them.

    `environment` is added to this process's own. The copy comes first where modules are looked for.
    """
    with TemporaryDirectory(prefix="bibsync-mutant-") as folder:
        root = Path(folder)
        for name in COPIED:
            _copy(ROOT / name, root / name)
        for edit in mutant.edits:
            apply(edit, root)
        return await _run(mutant.tests, root, environment)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


async def _run(tests: tuple[str, ...], root: Path, environment: dict[str, str]) -> Verdict:
    quiet = ("-q", "-x", "--tb=line", "--numprocesses=0", STUCK, "-p", "no:randomly")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", *quiet, "-p", "no:cacheprovider", *tests),
        cwd=root,
        env={**os.environ, **environment, "PYTHONPATH": str(root)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever its tests left behind
        await process.wait()
    assert process.returncode is not None
    return Verdict(process.returncode, out.decode(errors="replace"))
