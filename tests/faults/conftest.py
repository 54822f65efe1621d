"""Fixtures of the tests of faults: an installation as the acceptance tests have it."""

from tests.acceptance.conftest import folder, installation, program

__all__ = ["folder", "installation", "program"]
