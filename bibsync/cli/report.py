"""What runs came to, for people and for programs."""

from bibsync.cli.text import out_json, printable, say, table
from bibsync.config import Config
from bibsync.run import METADATA, PURCHASES, Outcome, Summary


def report(summaries: list[Summary], config: Config, *, json: bool) -> None:
    """Print what the runs came to: JSON lines, or a table and a sentence for each problem."""
    if not summaries:
        return
    if json:
        for each in summaries:
            out_json(each.as_json())
        return
    worth_a_row = [each for each in summaries if each.stream == PURCHASES or not _idle(each)]
    table(
        (
            "COLLECTION",
            "STREAM",
            "OUTCOME",
            "NEW",
            "CHANGED",
            "UNCHANGED",
            "REJECTED",
            "CAUGHT UP TO",
        ),
        (
            (
                each.collection,
                each.stream,
                each.outcome.value,
                each.tally.new,
                each.tally.changed,
                each.tally.unchanged,
                each.tally.rejected,
                each.caught_up_to,
            )
            for each in worth_a_row
        ),
        zone=config.timezone,
    )
    for each in summaries:
        for sentence in told(each):
            say(printable(f"{each.collection}: {sentence}"))


def told(summary: Summary) -> list[str]:
    """Say in sentences what a person should know of a run beyond its figures."""
    sentences = []
    tally = summary.tally
    if summary.outcome is Outcome.SUCCEEDED and summary.stream == PURCHASES and not tally.windows:
        sentences.append("All of that is stored already, or lies outside; nobody was asked.")
    if summary.problem is not None and summary.outcome is not Outcome.SUCCEEDED:
        problem = summary.problem
        sentences += [f"{problem.message} [{problem.code}]", problem.remedy]
    if count := tally.failed_windows:
        sentences.append(f"{counted(count, 'window')} failed; the next run asks again.")
    if count := tally.new_rejects:
        sentences.append(f"{counted(count, 'new reject')}; see: bibsync rejects list")
    if count := tally.unanswered:
        left = counted(count, "title")
        sentences.append(f"{left} stay on the list of look-ups: the vendor told nothing of them.")
    return sentences


def counted(count: int, noun: str) -> str:
    """Write a number of things: `1 window`, `2 windows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _idle(summary: Summary) -> bool:
    """Tell whether there was nothing to look up."""
    nothing = summary.tally.requests == 0 and summary.outcome is Outcome.SUCCEEDED
    return summary.stream == METADATA and nothing
