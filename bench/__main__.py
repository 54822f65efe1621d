"""python -m bench: measure, and print a table that README can quote."""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from bench import (
    asking,
    contents,
    fill,
    lag,
    latency,
    machine,
    many,
    memory,
    replicas,
    stage,
    steps,
    table,
)
from bench.table import Row

USUAL = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    `records` of a run and `rounds` of comparing; `titles` that are new to one library; titles of
    the libraries that are filled, over `days`; collections with nothing new; titles of each library
    that replicas fill, and how many replicas; records of each process whose memory is measured.
    """

    records: int
    rounds: int
    titles: int
    sparse: int
    dense: int
    days: int
    asked: int
    collections: int
    shared: int
    replicas: int
    memory: tuple[int, ...]


def whole(records: int) -> Size:
    """Return what the README quotes: ten minutes on two cores."""
    return Size(
        records=records,
        rounds=5,
        titles=1_000,
        sparse=300,
        dense=20_000,
        days=fill.TWELVE_YEARS,
        asked=40,
        collections=1_000,
        shared=250,
        replicas=4,
        memory=(2_000, 20_000, 100_000, 500_000),
    )


def quick(records: int) -> Size:
    """Return what shows within two minutes that nothing is far off."""
    return Size(
        records=records,
        rounds=3,
        titles=1_000,
        sparse=50,
        dense=1_000,
        days=365,
        asked=10,
        collections=100,
        shared=50,
        replicas=2,
        memory=(2_000, 20_000),
    )


Measure = Callable[[str, Size], Awaitable[list[Row]]]
MEASUREMENTS: Mapping[str, Measure] = {
    "contents": lambda url, size: contents.measure(url, records=size.records, rounds=size.rounds),
    "steps": lambda url, size: steps.measure(url, records=size.records, rounds=size.rounds),
    "requests": lambda url, size: asking.measure(url, titles=size.titles),
    "latency": lambda url, size: latency.measure(url, titles=size.titles),
    "fill": lambda url, size: fill.measure(
        url, sparse=size.sparse, dense=size.dense, days=size.days, asked=size.asked
    ),
    "many": lambda url, size: many.measure(url, count=size.collections),
    "replicas": lambda url, size: replicas.measure(url, titles=size.shared, most=size.replicas),
    "lag": lambda url, size: lag.measure(url, records=size.records),
    "memory": lambda url, size: memory.measure(url, sizes=size.memory),
}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure what bibsync costs."
    )
    parser.add_argument("--only", metavar="NAMES", help=f"of: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--records", type=int, default=USUAL, metavar="N", help="of each run")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    given = parser.parse_args()
    wanted = given.only.split(",") if given.only else list(MEASUREMENTS)
    if unknown := set(wanted) - set(MEASUREMENTS):
        parser.error(f"--only knows {', '.join(MEASUREMENTS)}, not {', '.join(sorted(unknown))}")
    size = (quick if given.quick else whole)(given.records)
    rows, described = uvloop.run(measured(wanted, size))
    print(f"{table.markdown(rows)}\n\n{machine.sentence(described)}")  # noqa: T201 - the result
    if given.json:
        document = table.document(rows, described)
        given.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


async def measured(wanted: list[str], size: Size) -> tuple[list[Row], machine.Machine]:
    """Measure what is wanted, one after the other, and describe the machine."""
    rows: list[Row] = []
    async with stage.server() as url:
        described = await machine.described(url)
        for name in wanted:
            stage.say(f"{name} ...")
            rows += await MEASUREMENTS[name](url, size)
    return rows, described


if __name__ == "__main__":
    main()
