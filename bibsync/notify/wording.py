"""What a notice says: for people in plain words, for programs as `bibsync.notice/1`.

Pure. Vendors' words and names of collections stand in it on one line, without control characters.
"""

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from bibsync import __version__
from bibsync.errors import RefusedForSafety, SourceRefused
from bibsync.notify.judgement import CREDENTIALS_REFUSED, FAILING, LATE, REFUSED_FOR_SAFETY
from bibsync.reject import SHORT, Reason
from bibsync.run import METADATA, Outcome, utc_text
from bibsync.store.notices import NEW_REJECTS, Notice

SCHEMA: Final = "bibsync.notice/1"
WIDTH: Final = 76
KEPT_SAFE: Final = (
    "Nothing is lost: what was not read is not counted as read, and the next run asks for it again."
)
UNDONE: Final = (
    "What could not be read meanwhile was not counted as read, and is asked for again. There is "
    "nothing to do."
)
TITLES: Final[Mapping[str, str]] = {
    FAILING: "the sync fails",
    LATE: "the sync is late",
    CREDENTIALS_REFUSED: "the vendor refuses the credentials",
    REFUSED_FOR_SAFETY: "a large change waits for your word",
    NEW_REJECTS: "records were set aside",
}
MEANINGS: Final[Mapping[str, str]] = {
    FAILING: KEPT_SAFE,
    LATE: (
        "What the vendor has added or changed meanwhile is missing here. Nothing is lost: the next "
        "run that succeeds reads all of it."
    ),
    CREDENTIALS_REFUSED: (
        "Nothing more is read until that is mended; what is stored stays. Nothing is lost: the "
        "first run that is let in reads what is missing."
    ),
    REFUSED_FOR_SAFETY: (
        "None of the change was done, and what is stored stays as it is. Nothing more is synced "
        "until a person has decided."
    ),
    NEW_REJECTS: (
        "They are kept with their bytes and their reasons, and cost no other record. You are told "
        "of each of them once."
    ),
}
REMEDIES: Final[Mapping[str, str]] = {
    FAILING: "If it doesn't pass by itself, let `bibsync doctor` look for the cause.",
    LATE: (
        "See whether the daemon runs and whether its schedule is enabled; `bibsync run-once` syncs "
        "at once."
    ),
    CREDENTIALS_REFUSED: SourceRefused.default_remedy,
    REFUSED_FOR_SAFETY: RefusedForSafety.default_remedy,
    NEW_REJECTS: "Look at them, report them to the vendor, or dismiss them.",
}
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    FAILING: ("runs list --collection {name}", "doctor --collection {name}"),
    LATE: ("status", "schedule list", "runs list --collection {name}"),
    CREDENTIALS_REFUSED: ("doctor --collection {name}",),
    REFUSED_FOR_SAFETY: ("runs list --collection {name}", "resume --collection {name}"),
    NEW_REJECTS: ("rejects list --collection {name}",),
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message, ready to be sent.

    Attributes:
        id: the same each time the same is told, also where it is sent twice.
        title: one line.
        body: what happened, since when, what it means, what to do; some lines.
        answers: the id of the message whose end this one tells, if it is one.
        document: all of it for programs; `text` in it is what chat services show.
    """

    id: str
    title: str
    body: str
    answers: str | None
    document: Mapping[str, Any]


def of(notice: Notice, *, zone: tzinfo, host: str) -> Message:
    """Say what a notice tells now; times are in `zone`, `host` is where bibsync runs."""
    began = f"{notice.number}-{notice.kind}"
    ended = notice.ended if notice.over else None
    happened = _over(notice) if notice.over else _happened(notice, zone)
    remedy = None if notice.over else _remedy(notice)
    commands = [] if notice.over else _commands(notice)
    title = f"{notice.subject}: {'all is well again' if notice.over else TITLES[notice.kind]}"
    body = _body(
        [happened, *_since(notice, zone), *_meaning(notice), *_to_do(remedy)], commands, host
    )
    return _message(
        f"{began}-over" if notice.over else began,
        title,
        body,
        answers=began if notice.over else None,
        told={
            "kind": notice.kind,
            "state": "recovered" if notice.over else "problem",
            "subject": notice.subject,
            "collection": notice.subject,
            "since": utc_text(notice.began),
            "until": utc_text(ended),
            "message": _line(happened),
            "remedy": remedy,
            "commands": commands,
            "problem": notice.message.get("problem"),
            "rejects": notice.message.get("reasons"),
        },
    )


def trial(*, id_: str, host: str, now: datetime) -> Message:
    """Return the message of `bibsync notify test`."""
    happened = "This is a test: bibsync can reach you, and would do so if something were wrong."
    told: dict[str, Any] = {
        "kind": "test",
        "state": "problem",
        "subject": "",
        "collection": None,
        "since": utc_text(now),
        "until": None,
        "message": happened,
        "remedy": None,
        "commands": [],
        "problem": None,
        "rejects": None,
    }
    body = _body([happened, "There is nothing to do."], [], host)
    return _message(id_, "a test message", body, answers=None, told=told)


def gathered(messages: list[Message]) -> Message:
    """Make one message of several, for those who would else get a heap of them at once."""
    rule = "\n" + "-" * WIDTH + "\n\n"
    titles = "\n".join(each.title for each in messages) + "\n"
    return Message(
        id=f"{messages[0].id}.{messages[-1].id}.{len(messages)}",
        title=f"{len(messages)} messages",
        body=rule.join([titles, *(f"{each.title}\n\n{each.body}" for each in messages)]),
        answers=None,
        document={},
    )


def _message(
    id_: str, title: str, body: str, *, answers: str | None, told: Mapping[str, Any]
) -> Message:
    title = _line(title)
    text = f"bibsync: {title}\n\n{body}"
    document = {"schema": SCHEMA, "id": id_, "title": title, "text": text, **told}
    return Message(id_, title, body, answers, document)


def _happened(notice: Notice, zone: tzinfo) -> str:
    known = notice.message
    if notice.kind == NEW_REJECTS:
        return _set_aside(known, notice.subject)
    if notice.kind == LATE:
        reach = datetime.fromisoformat(known["caught_up_to"]) if known["caught_up_to"] else None
        if known["outcome"] == Outcome.SUCCEEDED and reach and known["last_success"]:
            return (
                f'"{notice.subject}" is caught up to {_local(reach, zone)} only. Where its syncs '
                "succeed all the same, the vendor's clock may be behind."
            )
        return f'"{notice.subject}" has not been synced with success for too long.'
    problem = known["problem"]
    if problem:
        return f"{_sentence(problem['message'])} [{problem['code']}]"
    what = "look-up of titles" if known["stream"] == METADATA else "sync"
    failed = "was not complete" if known["outcome"] == Outcome.PARTIAL else "failed"
    return f'The last {what} of "{notice.subject}" {failed}.'


def _set_aside(known: Mapping[str, Any], subject: str) -> str:
    count = known["count"]
    reasons = ", ".join(
        f"{number} {SHORT[Reason(reason)] if reason in SHORT else reason}"
        for reason, number in known["reasons"].items()
    )
    those = "record" if count == 1 else "records"
    return f'{count} new {those} of "{subject}" can\'t be stored: {reasons}.'


def _over(notice: Notice) -> str:
    problem = notice.message.get("problem")
    was = f" It was: {_sentence(problem['message'])} [{problem['code']}]" if problem else ""
    return f'The sync of "{notice.subject}" succeeds again.{was}'


def _since(notice: Notice, zone: tzinfo) -> Iterator[str]:
    if notice.over and notice.ended:
        lasted = f"From {_local(notice.began, zone)} to {_local(notice.ended, zone)}"
        yield f"{lasted}: {TITLES[notice.kind]}."
        return
    if notice.kind == NEW_REJECTS:
        return
    success = notice.message.get("last_success")
    good = (
        f"The last good sync ended {_local(datetime.fromisoformat(success), zone)}."
        if success
        else "There was no good sync yet."
    )
    yield f"Noticed {_local(notice.began, zone)}. {good}"


def _meaning(notice: Notice) -> Iterator[str]:
    if notice.over:
        yield UNDONE
        return
    yield f"What it means: {MEANINGS[notice.kind]}"


def _remedy(notice: Notice) -> str:
    problem = notice.message.get("problem")
    told = problem["remedy"] if problem and notice.kind != LATE else REMEDIES[notice.kind]
    return _line(told)


def _to_do(remedy: str | None) -> Iterator[str]:
    if remedy:
        yield f"What to do: {remedy}"


def _commands(notice: Notice) -> list[str]:
    name = shlex.quote(_line(notice.subject))
    return [f"bibsync {each.format(name=name)}" for each in COMMANDS[notice.kind]]


def _body(paragraphs: list[str], commands: list[str], host: str) -> str:
    parts = [textwrap.fill(_line(each), WIDTH, break_long_words=False) for each in paragraphs]
    if commands:
        parts.append("To look closer:\n" + "\n".join(f"    {each}" for each in commands))
    parts.append(f"bibsync {__version__} on {_line(host)}")
    return "\n\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    return _line(text).rstrip(".") + "."


def _local(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
