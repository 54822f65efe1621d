"""Page, alerts and board of monitoring speak of what is exposed, and of nothing else."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from bibsync.collection import Collection
from bibsync.metrics import Metrics
from bibsync.run import Tally

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "monitoring.md").read_text()
RULES = DOCS / "monitoring" / "bibsync.rules.yml"
RULES_TEST = DOCS / "monitoring" / "bibsync.rules.test.yml"
BOARD = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PARTS = re.compile(r"_(?:bucket|sum|count)$")
NAME = re.compile(r"\b(?:bibsync|process)_[a-z_]+\b")
LABELS = re.compile(r"([a-z]+)(?==~?\"|!=~?\")")
PROMTOOL = shutil.which("promtool")
VARIABLE = re.compile(r"\$\w+")
VARIABLES = {
    "$__rate_interval": "5m",
    "$job": "bibsync",
    "$collection": ".*",
}


class Pool:
    """A pool of connections that nobody uses."""

    def get_size(self) -> int:
        return 1

    def get_idle_size(self) -> int:
        return 1

    def get_max_size(self) -> int:
        return 8


class Redis:
    """A Redis that answers."""

    lost = False


@pytest.fixture
async def exposed() -> dict[str, set[str]]:
    """Return the labels of each family of a process that does everything that is counted."""
    metrics = Metrics()
    metrics.follow(Pool(), Redis())
    stream = {
        "stream": "purchases",
        "lag_s": 60,
        "last_success": "2026-03-10T11:00:00Z",
        "last_run": {"problem": {"code": "source_busy"}},
        "titles_waiting": 1,
    }
    main = {"name": "main", "health": "ok", "records": 1, "streams": [stream]}
    due = {"name": "purchases", "next_due": "2026-03-10T11:00:00Z"}
    configured = Collection(
        name="main",
        source="bibliotheca",
        library_id="main",
        account_id="account",
        account_key=SecretStr("key"),
        base_url="https://vendor.example/",
    )
    document = {"collections": [main], "schedules": [due]}
    metrics.stand(document, [configured], rejects={}, now=NOW)
    with metrics.watch("main", "metadata", tally := Tally()):
        tally.new += 1
    metrics.took("vendor.example", 1.0)
    metrics.fired(timedelta(seconds=1))
    _, body = await metrics.exposition()
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        - {"le"}
        for family in text_string_to_metric_families(body.decode())
    }


def documented() -> dict[str, set[str]]:
    """Return the labels that the page's table gives to each metric."""
    rows = re.findall(r"^\| `((?:bibsync|process)_\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def alerts() -> dict[str, str]:
    """Return the text of each rule, by the name of its alert."""
    _, *rules = re.split(r"^ +- alert: ", RULES.read_text(), flags=re.MULTILINE)
    return {rule.split("\n", 1)[0]: rule.split("\n", 1)[1] for rule in rules}


def queries() -> Iterator[str]:
    """Yield every query of the board, those of its variables too."""

    def inside(node: Any) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key in {"expr", "query"} and isinstance(value, str):
                yield value
            elif isinstance(value, dict | list):
                yield from inside(value)

    yield from (each for each in inside(BOARD) if each != "prometheus")


def named(query: str) -> set[str]:
    return {PARTS.sub("", name) for name in NAME.findall(query)}


async def test_the_page_documents_every_metric_with_its_labels_and_no_other(exposed):
    assert exposed == documented()


async def test_every_metric_that_an_alert_asks_for_is_exposed(exposed):
    asked = {name for rule in alerts().values() for name in named(rule)}

    assert asked - set(exposed) == set()


async def test_every_metric_that_the_board_asks_for_is_exposed(exposed):
    asked = [name for query in queries() for name in named(query)]

    assert len(asked) > 30
    assert set(asked) - set(exposed) == set()


async def test_every_label_that_an_alert_or_the_board_asks_for_is_there(exposed):
    known = set().union(*exposed.values(), {"le", "job", "instance", "alertname", "alertstate"})
    asked = {label for query in (*alerts().values(), *queries()) for label in LABELS.findall(query)}

    assert asked - known == set()


def test_an_alert_says_how_bad_it_is_what_happened_and_what_to_do():
    for name, rule in alerts().items():
        assert re.search(r"^ +for: \d+[mhd]$", rule, re.MULTILINE), name
        assert re.search(r"^ +severity: (critical|warning)$", rule, re.MULTILINE), name
        assert re.search(r"^ +summary: .{20,}$", rule, re.MULTILINE), name
        _, _, runbook = rule.partition("runbook: >-\n")
        assert len(runbook.split()) > 15, name
        assert re.search(r"\.\n*\Z", runbook.split("\n\n")[0]), name


def test_the_page_lists_every_alert_with_its_severity():
    listed = dict(re.findall(r"^\| `(Bibsync\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    severities = {name: re.findall(r"severity: (\w+)", rule)[0] for name, rule in alerts().items()}

    assert severities == listed


def test_every_alert_is_tested():
    assert set(re.findall(r'alertname="(\w+)"', RULES_TEST.read_text())) == set(alerts())


def test_the_board_has_a_row_for_each_question_and_says_what_each_panel_means():
    rows = [each["title"] for each in BOARD["panels"] if each["type"] == "row"]

    assert rows == [
        "Is everything in step?",
        "What is failing?",
        "How fast is it?",
        "Is the process well?",
    ]
    panels = [each for each in BOARD["panels"] if each["type"] != "row"]
    assert [each["title"] for each in panels if not each["description"].endswith(".")] == []


def test_the_panels_of_the_board_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for each in BOARD["panels"]:
        place = each["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, each["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def promtool(*arguments: str) -> str:
    """Run promtool, and return what it says where it isn't content."""
    if PROMTOOL is None:
        pytest.skip("promtool is not installed here; it comes with Prometheus")
    done = subprocess.run(  # noqa: S603 - our own files
        [PROMTOOL, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


def test_prometheus_accepts_the_alerts():
    assert promtool("check", "rules", str(RULES)) == ""


def test_the_alerts_fire_when_they_should_and_not_when_they_should_not():
    assert promtool("test", "rules", str(RULES_TEST)) == ""


def test_prometheus_accepts_every_query_of_the_board(tmp_path: Path):
    lines = ["groups:", "  - name: board", "    rules:"]
    for number, asked in enumerate(each for each in queries() if "label_values" not in each):
        query = VARIABLE.sub(lambda found: VARIABLES[found[0]], asked)
        lines += [f"      - record: q{number}", f"        expr: {json.dumps(query)}"]
    rules = tmp_path / "board.yml"
    rules.write_text("\n".join(lines))

    assert promtool("check", "rules", str(rules)) == ""


async def test_prometheus_finds_nothing_to_say_against_the_exposition():
    """`promtool check metrics` reads from its input."""
    if PROMTOOL is None:
        pytest.skip("promtool is not installed here; it comes with Prometheus")
    _, body = await Metrics().exposition()

    done = subprocess.run(  # noqa: S603, ASYNC221 - our own text, and nothing else is going on
        [PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr.decode()) == (0, "")
