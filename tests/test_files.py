"""Whether a folder can be written, and what an error says of a file that cannot."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqlab.files import refusal, write_text


@pytest.mark.parametrize(
    ("flags", "words"), [(0, "Permission denied"), (os.ST_RDONLY | os.ST_NOEXEC, "Read-only file system")]
)
def test_why_a_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, words: str
) -> None:
    """Also one that is yet to be made: what counts is the folder it would be in."""
    asked = []
    monkeypatch.setattr("os.access", lambda path, mode: asked.append((Path(path), mode)))
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_flag=flags))
    assert refusal(tmp_path) == refusal(tmp_path / "a" / "b") == words
    assert asked == [(tmp_path, os.W_OK | os.X_OK)] * 2


def test_a_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(tmp_path) is refusal(tmp_path / "a" / "b") is refusal(Path("a")) is None
    (tmp_path / "file").touch()
    assert refusal(Path("file")) == refusal(tmp_path / "file" / "in" / "it") == "Not a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system does not, where a file is open already."""

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_text(path, "new")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
