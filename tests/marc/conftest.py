"""Real records, where they are at hand: beside the repository, or where the environment says."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].parent / "shared" / "marc-samples"


@pytest.fixture(scope="session")
def samples():
    folder = Path(os.environ.get("BIBSYNC_MARC_SAMPLES", BESIDE))
    if not folder.is_dir():
        pytest.skip("no real records here; BIBSYNC_MARC_SAMPLES names their folder")
    return folder
