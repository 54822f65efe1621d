"""bibsync rejects retry and dismiss: what becomes of rejects that were set aside."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from bibsync import events, reconsider, replicas, store
from bibsync.cli import completion, context
from bibsync.cli.context import DEBUG, Json, configuration
from bibsync.cli.report import counted
from bibsync.cli.text import ReaderGone, out_json, printable, say, table
from bibsync.config import Config
from bibsync.errors import NotFound, NotWritten, UsageWrong
from bibsync.reconsider import Ending, Fate
from bibsync.reject import Reason
from bibsync.run import PARTLY, Summary, exit_code
from bibsync.store import rejects
from bibsync.store.rejects import Choice

BECAME = {
    Fate.STORED: "stored",
    Fate.THERE: "there already",
    Fate.STILL: "still rejected",
}
BEFORE = "resolved_before"
"""What became of a named reject that was resolved when the command began."""
NOT_FOR_A_READER = {Reason.MISSING_CONTROL_NUMBER, Reason.MULTIPLE_CONTROL_NUMBERS}
STOPPED = "Stopped. What was stored stays stored; say it again and it goes on."

Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="[ID ...]", help="As `rejects list` shows them.")
]
OfCollection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        metavar="NAME",
        help="Those of this collection.",
        autocompletion=completion.collections,
    ),
]
ForReason = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="Those for this reason.")
]
Every = Annotated[bool, typer.Option("--all", help="All that are open.")]
Chosen = tuple[list[int] | None, str | None, str | None]
"""What was chosen on the command line: numbers, collection, reason."""


def retry(
    numbers: Numbers = None,
    collection: OfCollection = None,
    reason: ForReason = None,
    every: Every = False,
    json: Json = False,
) -> None:
    """Read rejects again with today's reader, and store what can be stored now.

    bibsync rejects retry 12

    bibsync rejects retry --all

    The kept bytes are read; the vendor isn't asked. Exit codes: 0 all are stored, 3 some still
    can't be, 10 no such reject, 11 locked.
    """
    _demand_choice(numbers, collection, reason, every=every)
    config = configuration()
    if sys.stderr.isatty() and not DEBUG.on and config.log.level == "info":
        events.configure("warning", config.log.format)
    told = _Told(json=json)
    try:
        context.run(_retry(config, (numbers, collection, reason), told), stopped=STOPPED)
    finally:
        told.report()
    code = exit_code(told.summaries, all_of_them=not numbers and collection is None)
    raise typer.Exit(code or (PARTLY if told.still else 0))


def dismiss(
    numbers: Numbers = None,
    collection: OfCollection = None,
    reason: ForReason = None,
    every: Every = False,
    json: Json = False,
) -> None:
    """Dismiss rejects that nobody has to look at: they stay, but wait for nobody any more.

    bibsync rejects dismiss 12 13

    A dismissed one stays so when the vendor sends it again. `rejects list --state dismissed` shows
    them.
    """
    _demand_choice(numbers, collection, reason, every=every)
    config = configuration()
    count = context.run(_dismiss(config, (numbers, collection, reason)))
    if json:
        out_json({"dismissed": count})
    else:
        say(f"{counted(count, 'reject')} dismissed.")


def demand_reason(reason: str | None) -> None:
    """Refuse a reason that no reject can have.

    Raises:
        UsageWrong: there is no such reason.
    """
    if reason is not None and reason not in set(Reason):
        raise UsageWrong(f"--reason: there is no reason {reason!r}; see: {', '.join(Reason)}.")


def _demand_choice(
    numbers: list[int] | None, collection: str | None, reason: str | None, *, every: bool
) -> None:
    """Demand one choice: numbers, or --all, or --collection and --reason, which go together."""
    if sum((bool(numbers), every, collection is not None or reason is not None)) != 1:
        raise UsageWrong(
            "Say which rejects: either their numbers, or --collection NAME, --reason REASON "
            "or both, or --all."
        )
    demand_reason(reason)


class _Told:
    """What a retry tells: as it goes on in JSON, at its end in a table.

    Where nobody hears any more, the work goes on to its end nevertheless.
    """

    def __init__(self, *, json: bool) -> None:
        self.summaries: list[Summary] = []
        self.still: Counter[Reason | None] = Counter()
        self._json = json
        self._unheard: ReaderGone | NotWritten | None = None
        self._rows: list[tuple[object, ...]] = []

    def before(self, row: Any) -> None:
        """Tell that a reject was resolved before."""
        if self._json:
            line = {"type": "reject", "id": row["id"], "collection": row["collection"]}
            nothing = {"control_number": None, "reason": None, "message": None}
            self._write(line | {"became": BEFORE} | nothing)
        else:
            self._rows.append((row["id"], row["collection"], "resolved before", "-"))

    def heard(self, endings: Sequence[Ending]) -> None:
        """Tell what became of a page of rejects."""
        for each in endings:
            if each.fate is Fate.STILL:
                self.still[each.reason] += 1
            if self._json:
                self._write(each.as_json())
            else:
                what = each.message or each.control_number
                self._rows.append((each.reject, each.collection, BECAME[each.fate], what))

    def ended(self, summary: Summary) -> None:
        """Take the summary of a run."""
        self.summaries.append(summary)
        if self._json:
            self._write(summary.as_json())

    def report(self) -> None:
        """Print what is left to be told.

        Raises:
            ReaderGone, NotWritten: not everything could be told.
        """
        if self._unheard:
            raise self._unheard
        if self._rows:
            table(("ID", "COLLECTION", "BECAME", "WHAT"), self._rows)
        if self._json:
            return
        for each in self.summaries:
            say(printable(f"{each.collection}: {_summed_up(each)}"))
        if not self._rows and not self.summaries:
            say("There are no such open rejects; nothing was done.")
        if count := sum(self.still[reason] for reason in NOT_FOR_A_READER):
            say(
                f"{counted(count, 'reject')} without exactly one control number (001): no reader "
                "can mend that, only the vendor."
            )
        if self.still.total() - count:
            say(
                "What else can't be read may come whole another time: the next re-read of its day "
                "asks for it again, or: bibsync backfill --collection NAME --since T --until T"
            )

    def _write(self, document: Mapping[str, object]) -> None:
        if self._unheard:
            return
        try:
            out_json(document)
        except (ReaderGone, NotWritten) as unheard:
            self._unheard = unheard


def _summed_up(summary: Summary) -> str:
    tally, problem = summary.tally, summary.problem
    if problem is not None:
        return f"{problem.message} [{problem.code}]\n{problem.remedy}"
    return (
        f"{counted(tally.received, 'reject')} read again: {tally.new} stored, "
        f"{tally.unchanged} there already, {tally.rejected} still rejected."
    )


async def _retry(config: Config, chosen: Chosen, told: _Told) -> None:
    async with context.readable(config) as pool:
        if pool is None:
            _refuse_unknown(chosen[0], [])
            return
        async with store.acquire(pool) as conn:
            choice = await _choice(conn, config, chosen)
            named = await rejects.among(conn, choice.numbers or ())
            waiting = await rejects.chosen_by_collection(conn, choice)
        for row in named:
            if row["state"] == "resolved":
                told.before(row)
        ttl = config.daemon.lease_ttl
        async with replicas.coordinated(config.redis.url, pool, ttl=ttl) as shared:
            means = reconsider.Means(
                pool=pool,
                leases=shared.leases,
                lease_ttl=ttl,
                heard=told.heard,
                ended=told.ended,
            )
            for number, name in waiting.items():
                await reconsider.reconsider(number, name, choice, means)


async def _dismiss(config: Config, chosen: Chosen) -> int:
    async with context.readable(config) as pool:
        if pool is None:
            _refuse_unknown(chosen[0], [])
            return 0
        async with store.acquire(pool) as conn, conn.transaction():
            return await rejects.dismiss(conn, await _choice(conn, config, chosen))


async def _choice(conn: store.Connection, config: Config, chosen: Chosen) -> Choice:
    """Return what was chosen, every number known.

    Raises:
        NotFound: there is no such collection, or no such reject.
    """
    numbers, collection, reason = chosen
    number = None if collection is None else await context.number_of(conn, config, collection)
    if not numbers:
        return Choice(number, reason)
    _refuse_unknown(numbers, await rejects.among(conn, numbers))
    return Choice(numbers=tuple(sorted(set(numbers))))


def _refuse_unknown(numbers: list[int] | None, known: Sequence[Any]) -> None:
    unknown = sorted(set(numbers or ()) - {row["id"] for row in known})
    if unknown:
        these = ", ".join(map(str, unknown))
        raise NotFound(
            f"There is no reject {these}; nothing was changed.",
            remedy="`bibsync rejects list --state all` shows them.",
        )
