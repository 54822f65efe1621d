"""What the tests of sources share: a vendor of raw bytes, and hosts that live for one test."""

import pytest
from wire import Wire

from bibsync.sources.http import Hosts

pytest.register_assert_rewrite("conformance")


@pytest.fixture
async def wire():
    async with Wire() as server:
        yield server


@pytest.fixture
async def hosts():
    async with Hosts() as opened:
        yield opened
