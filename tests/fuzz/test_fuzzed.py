"""The readers keep their promises whatever bytes they are given: a few examples of each target.

`python -m tests.fuzz` looks for more, for as long as one likes. What it found stands in FOUND.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.fuzz import seeds
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

EXAMPLES = 60
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FOUND: dict[str, tuple[str, bytes]] = {
    "a pause with a control": ("answer", b"503\nRetry-After: 1\x1d\n\n"),
    "a host as long as a header": ("answer", b"302\nLocation: http://%b\n\n" % (b"9" * 8_000)),
    "a text for a page": ("answer", b"200\n\n\n<collection>No purchases</collection>"),
    "a collection that ends twice": ("page", b"<collection/></collection>"),
    "openings for a page": ("page", b"<collection><<<</collection>"),
}
TOKENS = st.sampled_from(seeds.TOKENS) | st.binary(max_size=4)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 200), TOKENS, st.integers(0, 3)), max_size=6
)
"""Where, in shares of the whole; how many bytes are taken away, and what is put there how often."""


def changed(data: bytes, changes: list[tuple[float, int, bytes, int]]) -> bytes:
    for share, taken, piece, times in changes:
        at = int(share * len(data))
        data = data[:at] + piece * times + data[at + taken :]
    return data


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@FEW
def test_a_promise_holds_for_whatever_is_sent(name: str, data: st.DataObject):
    seed = data.draw(st.sampled_from(seeds.of(name)))

    TARGETS[name](changed(seed, data.draw(CHANGES)))


@pytest.mark.parametrize("name", TARGETS)
def test_a_promise_holds_for_real_records_that_are_damaged(name: str, samples: Path):
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it
    dice, known = Random(seed), seeds.of(name, samples)

    for _ in range(EXAMPLES * 3):
        TARGETS[name](mutated(dice, known))


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_once_stays_mended(case: str):
    name, data = FOUND[case]

    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_keeps_its_promise(name: str):
    for data in seeds.of(name):
        TARGETS[name](data)


def breaks(target: Callable[[bytes], None], data: bytes) -> bool:
    try:
        target(data)
    except AssertionError:
        return True
    return False


def test_a_reader_that_breaks_its_promise_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Otherwise no finding would mean nothing."""
    monkeypatch.setattr("bibsync.marc.cut", lambda _body, **_: ())

    told = [breaks(TARGETS["page"], data) for data in seeds.of("page")]

    assert sum(told) > len(told) / 2
