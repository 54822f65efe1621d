"""python -m bench: measure, and print a table that README can quote."""

import argparse
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop

from bench import asking, contents, lag, latency, memory, stage, table
from bench.table import Row
from bibsync import store

USUAL = 4_000
LARGE, LESS_LARGE = 200_000, 20_000
ROUNDS, FEWER = 5, 3


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: records of a run, rounds of comparing, the large collection."""

    records: int
    rounds: int
    large: int


MEASUREMENTS: Mapping[str, Callable[[str, Size], Awaitable[list[Row]]]] = {
    "contents": lambda url, size: contents.measure(url, records=size.records, rounds=size.rounds),
    "requests": lambda url, _: asking.measure(url),
    "latency": lambda url, _: latency.measure(url),
    "lag": lambda url, size: lag.measure(url, records=size.records),
    "memory": lambda url, size: memory.measure(url, large=size.large),
}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure what bibsync costs."
    )
    parser.add_argument("--only", metavar="NAMES", help=f"of: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--records", type=int, default=USUAL, metavar="N", help="of each run")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    given = parser.parse_args()
    wanted = given.only.split(",") if given.only else list(MEASUREMENTS)
    if unknown := set(wanted) - set(MEASUREMENTS):
        parser.error(f"--only knows {', '.join(MEASUREMENTS)}, not {', '.join(sorted(unknown))}")
    size = Size(
        records=given.records,
        rounds=FEWER if given.quick else ROUNDS,
        large=LESS_LARGE if given.quick else LARGE,
    )
    rows, machine = uvloop.run(_measured(wanted, size))
    print(f"{table.markdown(rows)}\n\n{machine}")  # noqa: T201 - the result
    if given.json:
        given.json.write_bytes(orjson.dumps(_document(rows, machine), option=orjson.OPT_INDENT_2))


async def _measured(wanted: list[str], size: Size) -> tuple[list[Row], str]:
    rows: list[Row] = []
    async with stage.server() as url:
        machine = await _machine(url)
        for name in wanted:
            stage.say(f"{name} ...")
            rows += await MEASUREMENTS[name](url, size)
    return rows, machine


async def _machine(url: str) -> str:
    """Say in words what this was measured on."""
    async with store.open_pool(url, size=1) as pool:
        postgres = await pool.fetchval("show server_version")
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, PostgreSQL {postgres.split()[0]}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def _document(rows: list[Row], machine: str) -> dict[str, object]:
    return {"machine": machine, "figures": {row.name: row.figures for row in rows}}


if __name__ == "__main__":
    main()
