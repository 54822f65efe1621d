"""A defect that is logged shows where it happened, and nothing that the program held there."""

from collections.abc import Iterator
from secrets import token_hex

import pytest
import structlog

from bibsync import events


@pytest.fixture(params=["json", "console"])
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    before = structlog.get_config()
    yield request.param
    structlog.configure(**before)


def fail(account_key: str) -> None:
    signed = f"signed with {account_key}"
    raise RuntimeError(f"injected, {len(signed)} characters")


def test_a_logged_defect_shows_no_local_variable(style: str, capsys: pytest.CaptureFixture[str]):
    canary = token_hex(16)
    events.configure("info", style)

    try:
        fail(canary)
    except RuntimeError as defect:
        structlog.get_logger().error("defect.met", exc_info=defect)

    told = capsys.readouterr().err
    assert "injected, 44 characters" in told
    assert "fail" in told
    assert canary not in told
