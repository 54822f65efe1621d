"""docs/guarantees.md says what the tests prove, and names each test where it stands."""

import re
from pathlib import Path

import pytest

from tests import guarantees
from tests.guarantees import GUARANTEES, PAGE, TRIALS
from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).parents[1]
NAMED = sorted({test for mutant in MUTANTS for test in mutant.tests})


def test_the_page_is_what_mutants_and_trials_say():
    assert guarantees.page() == PAGE.read_text(), "python -m tests.guarantees > docs/guarantees.md"


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_the_page_names_exists(named: str):
    file, _, test = named.partition("::")

    assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file()


def test_readme_promises_the_same_guarantees_in_the_same_order():
    promised = (ROOT / "README.md").read_text().partition("## What it guarantees")[2]

    numbers = re.findall(r"^(\d+)\. \*\*", promised, re.MULTILINE)
    assert [int(number) for number in numbers] == list(GUARANTEES)


def test_every_guarantee_is_tried_and_no_trial_violated_any():
    tried = {number for each in TRIALS for number in each.guarantees}

    assert tried == set(GUARANTEES)
    assert [each for each in TRIALS if each.violations or not 0 < each.struck <= each.trials] == []
