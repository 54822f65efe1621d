"""python -m tests.fuzz --seconds N [--target NAME] [--seed N]: look for bytes that break a promise.

With atheris, which is guided by what code an input reaches, where it is installed
(`pip install atheris`); otherwise, and with --random, by mutation alone. Real records are used as
seeds where BIBSYNC_MARC_SAMPLES names their folder. A finding is written to a file, whose name is
printed; the exit code is 1 then.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz import seeds
from tests.fuzz.mutation import mutated

NAMES = tuple(seeds._MADE_UP)
STATUS_S = 10.0


def main() -> int:
    """Fuzz one target, or each in a process of its own; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--target", choices=NAMES)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--random", action="store_true", help="without atheris")
    given = parser.parse_args()
    if given.target is None:
        return max(_in_a_process(name, given) for name in NAMES)
    samples = _samples()
    tell(f"{given.target}: {len(seeds.of(given.target, samples))} seeds")
    if find_spec("atheris") and not given.random:
        return _guided(given.target, samples, given.seconds, given.seed)
    if not given.random:
        tell("atheris isn't installed here: inputs are mutated at random, not guided")
    return _unguided(given.target, samples, given.seconds, given.seed)


def tell(sentence: str) -> None:
    """Tell whoever waits for it."""
    print(sentence, flush=True)  # noqa: T201 - a person started this and watches it


def _in_a_process(name: str, given: argparse.Namespace) -> int:
    share = given.seconds / len(NAMES)
    words = ["--target", name, "--seconds", str(share), "--seed", str(given.seed)]
    words += ["--random"] if given.random else []
    ended = subprocess.run([sys.executable, "-m", "tests.fuzz", *words], check=False)  # noqa: S603
    return int(ended.returncode != 0)


def _samples() -> Path | None:
    named = os.environ.get("BIBSYNC_MARC_SAMPLES")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "marc-samples"
    if folder.is_dir():
        return folder
    tell("no real records here: only made-up seeds")
    return None


def _unguided(name: str, samples: Path | None, seconds: float, seed: int) -> int:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - atheris instruments what it loads

    tell(f"seed {seed}")
    dice, known, target = Random(seed), seeds.of(name, samples), TARGETS[name]
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(dice, known)
        count += 1
        try:
            target(data)
        except Exception as error:  # noqa: BLE001 - whatever is raised is a finding
            return _found(name, data, error)
    tell(f"{name}: {count} executions, no finding")
    return 0


def _found(name: str, data: bytes, error: Exception) -> int:
    with tempfile.NamedTemporaryFile(prefix=f"fuzz-{name}-", delete=False) as file:
        file.write(data)
    traceback.print_exception(error)
    tell(f"{name}: {type(error).__name__}; the input is in {file.name}")
    return 1


def _guided(name: str, samples: Path | None, seconds: float, seed: int) -> int:
    import atheris  # noqa: PLC0415 - it is installed by who wants it

    with atheris.instrument_imports(include=["bibsync"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented

    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, each in enumerate(seeds.of(name, samples)):
        (corpus / f"{number:04}").write_bytes(each)
    words = Path(f"{corpus}.dict")
    words.write_text("\n".join(f'"{_escaped(token)}"' for token in seeds.TOKENS))
    options = [
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed % 2**32}",
        "-rss_limit_mb=0",
    ]
    options += [
        f"-artifact_prefix={corpus}-",
        f"-dict={words}",
        "-timeout=60",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()  # it ends the process
    return 0


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{each:02x}" for each in token[:60])


if __name__ == "__main__":
    sys.exit(main())
