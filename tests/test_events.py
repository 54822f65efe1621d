"""The log's page names every event that there is, and no other."""

import re
from pathlib import Path

from bibsync import events

PAGE = (Path(__file__).parents[1] / "docs" / "log.md").read_text()


def test_every_event_is_on_the_page_and_no_other():
    rows = re.findall(r"^\| (`[a-z_]+\.[^|]*) \|", PAGE, re.MULTILINE)
    documented = re.findall(r"`([a-z_]+\.[a-z_]+)`", " ".join(rows))
    emitted = [
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and "." in value
    ]

    assert sorted(emitted) == sorted(documented)


def test_names_are_a_noun_and_what_befell_it():
    for name, value in vars(events).items():
        if name.isupper() and isinstance(value, str):
            assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)?", value), value
            assert name == value.upper().replace(".", "_")
