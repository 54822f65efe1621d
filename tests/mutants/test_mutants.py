"""Each mechanism is needed: without it, the tests fail. See `catalogue`."""

import re

import pytest

from tests.mutants import workshop
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Edit, Mutant

NAMES = [each.name for each in MUTANTS]


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
async def test_the_suite_fails_without_it(mutant: Mutant, server: str):
    """The tests use the server that is here already, under a name of their own for its template."""
    name = re.sub(r"\W", "_", mutant.name)[:20]

    verdict = await workshop.tried(
        mutant, PYTEST_XDIST_WORKER=name, BIBSYNC_TEST_DATABASE_URL=server
    )

    assert verdict.caught, verdict.out


def test_each_mutant_has_a_name_of_its_own_and_something_that_notices_it():
    assert len(set(NAMES)) == len(NAMES)
    assert all(each.edits and each.tests for each in MUTANTS)
    assert {each.guarantee for each in MUTANTS} == set(range(1, 12))


def test_source_that_is_not_as_expected_makes_no_mutant(tmp_path):
    (tmp_path / "twice.py").write_text("a = 1\na = 1\n")

    for before in ("a = 1", "b = 1"):
        with pytest.raises(workshop.NotMade):
            workshop.apply(Edit("twice.py", before, ""), tmp_path)


def test_only_a_test_that_failed_counts_as_notice():
    assert [code for code in range(6) if workshop.Verdict(code, "").caught] == [1]
