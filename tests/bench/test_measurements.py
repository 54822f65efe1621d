"""Every measurement runs, at a size that says nothing of the speed."""

import math
from collections.abc import Iterator

import pytest
import structlog

from bench import machine, valkey
from bench.__main__ import MEASUREMENTS, Size, quick, whole

TINY = Size(
    records=1_000,
    rounds=1,
    titles=60,
    sparse=5,
    dense=40,
    days=40,
    asked=2,
    collections=4,
    shared=5,
    replicas=2,
    memory=(100, 200),
)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a measurement sets: it logs to nowhere."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("name", MEASUREMENTS)
async def test_a_measurement_gives_rows_with_finite_figures(server: str, name: str):
    if name == "replicas":
        _demand_redis()

    rows = await MEASUREMENTS[name](server, TINY)

    assert rows
    assert all(row.name and row.value and row.figures for row in rows)
    assert all(math.isfinite(figure) for row in rows for figure in row.figures.values())


async def test_the_machine_is_described_by_what_a_reader_must_know(server: str):
    described = await machine.described(server)

    assert {"cpu", "cores", "memory_gib", "system", "python", "postgresql", "date", "load"} == set(
        described
    )
    assert all(word != "" for word in described.values())


def test_a_quick_run_is_smaller_than_a_whole_one_throughout():
    small, large = quick(1), whole(1)

    assert small.dense < large.dense
    assert small.collections < large.collections
    assert max(small.memory) < max(large.memory)


def _demand_redis() -> None:
    try:
        valkey.program()
    except RuntimeError as none:
        pytest.skip(str(none))
