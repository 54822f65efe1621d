"""Every job is known everywhere: to the configuration, the timetable, the table and the docs."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

from bibsync import timetable
from bibsync.jobs import JOBS
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.timetable import OF_EACH

PAGE = (Path(__file__).parents[1] / "docs" / "jobs.md").read_text()


def test_every_job_that_can_be_configured_can_be_done_and_no_other():
    assert set(JOBS_KNOWN) == JOBS.keys()


def test_jobs_of_each_collection_are_asked_for_one_by_one():
    assert {name for name, job in JOBS.items() if job.of_each} == OF_EACH


def test_every_job_has_a_schedule_by_itself_and_a_line_on_the_page():
    documented = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert list(JOBS) == documented
    assert set(JOBS) == {each.job for each in timetable.built_in(ZoneInfo("UTC"))}
