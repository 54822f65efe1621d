"""What an error says of itself: where to look, and what to do."""

import errno

import pytest

from bibsync.errors import NotWritten, SourceBusy, SourceTimedOut
from bibsync.fault import Fault, of_status


@pytest.mark.parametrize("fault", Fault)
def test_what_went_wrong_on_the_way_to_the_vendor_is_the_network_s(fault: Fault):
    on_the_way = {"dns", "connect", "tls", "reset"}

    error = SourceBusy("Oh.", outcome=fault)

    assert ("network" if fault in on_the_way else "source") == error.problem.origin


def test_what_the_vendor_answers_badly_or_late_is_the_vendor_s():
    assert "source" == SourceBusy("Oh.", outcome=of_status(503)).problem.origin
    assert "source" == SourceTimedOut("Oh.").problem.origin


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (errno.EACCES, "where this user may write"),
        (errno.EROFS, "where this user may write"),
        (errno.EISDIR, "name a file in it"),
        (errno.ENOENT, "Make that folder first"),
        (errno.ENOTDIR, "Make that folder first"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ENOSPC, "Free some space"),
        (errno.EIO, NotWritten.default_remedy),
        (None, NotWritten.default_remedy),
    ],
)
def test_the_remedy_fits_why_something_can_t_be_written(why: int | None, words: str):
    assert words in NotWritten("Oh.", why=why).remedy
