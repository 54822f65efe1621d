"""Fixtures of the tests of the road."""

import pytest
import stamina
from world import Vendor, World

from bibsync.store import Pool


@pytest.fixture(autouse=True)
def _no_pauses():
    """Retries wait for nothing."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def world(pool: Pool) -> World:
    return World(pool, Vendor([]))
