"""A configuration that somebody is writing while it is read: the whole of it counts, or nothing."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bibsync import config
from bibsync.errors import ConfigInvalid
from bibsync.settings import file

WHOLE = 'timezone = "Europe/Vienna"\n[log]\nlevel = "debug"\n'


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[str]], Path]:
    """Return what writes the first of some texts, and the next at each wait of the reader."""
    path = tmp_path / "bibsync.toml"

    def write(texts: Iterable[str]) -> Path:
        rest = iter(texts)
        path.write_text(next(rest))

        def waited(_: float) -> None:
            if (text := next(rest, None)) is not None:
                path.write_text(text)

        monkeypatch.setattr(file.time, "sleep", waited)
        return path

    return write


def load(path: Path) -> config.Config:
    return config.load(path, {"STATE_DIRECTORY": str(path.parent)}, settled=True)


@pytest.mark.parametrize("begun", ["", WHOLE[:27], WHOLE[:10]], ids=["empty", "sections", "cut"])
def test_the_whole_file_counts_once_it_is_written(written, begun: str):
    loaded = load(written([begun, WHOLE]))

    assert ("Europe/Vienna", "debug") == (str(loaded.timezone), loaded.log.level)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([""], "is empty"),
        ([f"# {number}\n" for number in range(1000)], "is still being written"),
    ],
    ids=["empty", "endless"],
)
def test_what_is_never_written_is_refused(written, texts: list[str], said: str):
    path = written(texts)

    with pytest.raises(ConfigInvalid) as refused:
        load(path)

    assert (f"{path}: {said}",) == refused.value.problems
    assert "Write it, then reload once more." == refused.value.remedy
