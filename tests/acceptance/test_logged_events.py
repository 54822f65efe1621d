"""The log: each event says of which collection, run and window it is; one a page, one a run."""

import json
from collections import Counter

from installation import Installation
from watched import Watched, library, served

from bibsync.simulator import Defect

OF_A_WINDOW = {"page.stored", "window.covered", "window.failed", "record.rejected"}


async def test_events_name_collection_run_and_window(installation: Installation):
    spoilt = library(titles=150, bad=0.1, defects=[Defect.NO_001])
    async with served(Watched([spoilt])) as vendor:
        installation.configure(vendor.collections())
        vendor.next_answers("springfield", ["http_502"])
        await installation.run("run-once", "--all", "--json")
        ended = await installation.run("run-once", "--all", "--force-reimport", "--json")
        vendor.next_answers("springfield", ["http_502"] * 6)
        failed = await installation.run("run-once", "--all", "--json")

    [purchases] = ended.without_lookups
    events = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    lost = [json.loads(line) for line in failed.err.splitlines() if line.startswith("{")]
    counted = Counter((each["event"], each["stream"]) for each in events)
    pages = [each for each in events if each["event"] == "page.stored"]
    assert purchases["pages"] >= len(pages) > 1
    assert purchases["received"] == sum(each["records"] for each in pages)
    assert counted["window.covered", "purchases"] == purchases["windows"] > 1
    assert 1 == counted["run.started", "purchases"] == counted["run.ended", "purchases"]
    assert "window.failed" in {each["event"] for each in lost}
    for each in [*events, *lost]:
        assert "springfield" == each["collection"], each
        assert isinstance(each["run"], int), each
        if each["event"] in OF_A_WINDOW:
            assert ".." in each["window"], each
    assert purchases["run"] in {each["run"] for each in events}
