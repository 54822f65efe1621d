"""What a message says, for people and for programs."""

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, strategies as st

from bibsync.notify import wording
from bibsync.notify.wording import Message
from bibsync.settings.shapes import NOTICES
from bibsync.store.notices import Notice

NOW = datetime(2024, 5, 3, 9, 2, tzinfo=UTC)
BUSY = {
    "code": "source_busy",
    "origin": "source",
    "transient": True,
    "message": "cloudLibrary answered 503 (Service Unavailable).",
    "remedy": "Nothing is lost; run again later, it goes on where it was.",
    "detail": "http_503",
}
KNOWN = {
    "stream": "purchases",
    "run": 7,
    "outcome": "failed",
    "problem": BUSY,
    "last_success": "2024-05-02T09:00:00Z",
    "caught_up_to": "2024-05-02T09:00:00Z",
}
REJECTS = {"count": 5, "reasons": {"unreadable_record": 4, "another": 1}, "newest": 17}


def told(
    kind: str = "failing",
    *,
    subject: str = "Springfield cloudLibrary",
    ended: datetime | None = None,
    **known: Any,
) -> Message:
    made = (REJECTS if kind == "new_rejects" else KNOWN) | known
    notice = Notice(17, kind, subject, NOW, ended, orjson.dumps(made).decode())
    return wording.of(notice, zone=ZoneInfo("America/Chicago"), host="sync01")


def test_a_failure_is_told_with_its_cause_its_meaning_and_what_to_do():
    message = told()

    assert "Springfield cloudLibrary: the sync fails" == message.title
    assert message.body.startswith(
        """\
cloudLibrary answered 503 (Service Unavailable). [source_busy]

Noticed 2024-05-03 04:02 CDT. The last good sync ended 2024-05-02 04:00 CDT.

What it means: Nothing is lost: what was not read is not counted as read,
and the next run asks for it again.

What to do: Nothing is lost; run again later, it goes on where it was.

To look closer:
    bibsync runs list --collection 'Springfield cloudLibrary'
    bibsync doctor --collection 'Springfield cloudLibrary'

bibsync """
    )
    assert message.body.endswith(" on sync01\n")


def test_programs_are_told_the_same_as_a_document():
    document = dict(told().document)

    text = document.pop("text")
    assert text == f"bibsync: {told().title}\n\n{told().body}"
    assert {
        "schema": "bibsync.notice/1",
        "id": "17-failing",
        "title": "Springfield cloudLibrary: the sync fails",
        "kind": "failing",
        "state": "problem",
        "subject": "Springfield cloudLibrary",
        "collection": "Springfield cloudLibrary",
        "since": "2024-05-03T09:02:00Z",
        "until": None,
        "message": "cloudLibrary answered 503 (Service Unavailable). [source_busy]",
        "remedy": BUSY["remedy"],
        "commands": [
            "bibsync runs list --collection 'Springfield cloudLibrary'",
            "bibsync doctor --collection 'Springfield cloudLibrary'",
        ],
        "problem": BUSY,
        "rejects": None,
    } == document


def test_an_end_is_told_as_an_answer_with_what_it_was():
    message = told(ended=NOW + timedelta(hours=3))

    assert "Springfield cloudLibrary: all is well again" == message.title
    assert ("17-failing-over", "17-failing") == (message.id, message.answers)
    assert "succeeds again" in message.body
    assert "It was: cloudLibrary answered 503" in " ".join(message.body.split())
    assert "From 2024-05-03 04:02 CDT to 2024-05-03 07:02 CDT: the sync fails." in message.body
    assert "recovered" == message.document["state"]
    assert "2024-05-03T12:02:00Z" == message.document["until"]
    assert "runs list" not in message.body


def test_new_rejects_are_told_with_their_reasons_and_the_command_that_lists_them():
    message = told("new_rejects", ended=NOW)

    body = " ".join(message.body.split())
    assert (
        '5 new records of "Springfield cloudLibrary" can\'t be stored: 4 not readable as MARC, '
        "1 another." in body
    )
    assert "bibsync rejects list --collection 'Springfield cloudLibrary'" in message.body
    assert {"unreadable_record": 4, "another": 1} == message.document["rejects"]
    assert "problem" == message.document["state"]


def test_a_vendor_that_is_years_behind_is_told_so():
    late = told("late", outcome="failed")
    behind = told("late", outcome="succeeded", problem=None, caught_up_to="2019-01-01T00:00:00Z")

    assert "has not been synced with success for too long" in " ".join(late.body.split())
    assert "is caught up to 2018-12-31 18:00 CST only" in " ".join(behind.body.split())


@pytest.mark.parametrize("kind", [kind for kind in NOTICES if kind != "recovered"])
def test_every_kind_says_what_it_means_and_what_to_do(kind: str):
    for message in (told(kind), told(kind, problem=None, last_success=None)):
        assert "What it means: " in message.body
        assert "What to do: " in message.body
        assert "    bibsync " in message.body


@given(st.text(min_size=1), st.text())
def test_no_name_and_no_word_of_a_vendor_steers_what_shows_it(name: str, said: str):
    message = told(subject=name, problem=BUSY | {"message": said})

    assert message.title.isprintable()
    assert all(line.isprintable() for line in message.body.split("\n"))
    for command in message.document["commands"]:
        assert wording._line(name) == shlex.split(command)[-1]


def test_a_test_says_that_it_is_one():
    message = wording.trial(id_="test-1", host="sync01", now=NOW)

    assert "test" == message.document["kind"]
    assert "This is a test" in message.body
