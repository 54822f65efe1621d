"""A problem has the same code, cause and remedy in every place that tells of it."""

import json
from pathlib import Path

from installation import Installation
from watched import Watched

PAGE = (Path(__file__).parents[2] / "docs" / "problems.md").read_text()


async def test_json_log_status_and_runs_say_the_same_of_a_problem(
    installation: Installation, vendor: Watched
):
    installation.configure(vendor.collections())
    vendor.next_answers("springfield", ["html"] * 6)

    ended = await installation.run("run-once", "--all", "--stream", "purchases", "--json")
    stream = await installation.stream()
    shown = await installation.run("runs", "show", "1")
    status = await installation.run("status")

    problem = ended.document["problem"]
    assert ("source_busy", "html") == (problem["code"], problem["detail"])
    assert f"| {problem['remedy']} |" in next(
        line for line in PAGE.splitlines() if line.startswith("| `html` |")
    )
    assert problem == stream["last_run"]["problem"]
    logged = {each["event"]: each for each in map(json.loads, ended.err.splitlines())}
    assert problem == logged["run.ended"]["problem"]
    failed = logged["window.failed"]
    told = (problem["code"], problem["detail"], problem["message"])
    assert told == (failed["code"], failed["outcome"], failed["why"])
    for text in (shown.out, status.err):
        assert f"{problem['message']} [{problem['code']}]" in text
        assert problem["remedy"] in text
