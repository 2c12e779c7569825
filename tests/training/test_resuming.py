"""From which checkpoint a run goes on, and what that does to the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.errors import UserError
from seqlab.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from seqlab.training.resuming import load_last, take_up


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoints of steps 6 and 8."""
    folder = tmp_path / "checkpoints"
    for step in (6, 8):
        save(folder, step)
    return folder


def save(folder: Path, step: int) -> None:
    checkpoint = {"seqlab": {}, "global_step": step, "state_dict": {"w": torch.arange(9999.0)}}
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / "last.ckpt")


def steps(folder: Path) -> dict[str, int]:
    return {path.stem: load_checkpoint(path)["global_step"] for path in sorted(folder.iterdir())}


def test_the_last_one_is_taken(folder: Path) -> None:
    found = load_last(folder)
    assert (found.path, found.step, found.notes()) == (folder / "last.ckpt", 8, [])
    take_up(found, folder, folder.parent / "logs")
    assert steps(folder) == {"last": 8, "previous": 6}


def flip(path: Path) -> None:
    """Changes a bit in the middle, which is in the numbers of a weight."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path.unlink(), "no checkpoint {}"),
    "empty": (lambda path: path.write_bytes(b""), "{} is no readable checkpoint: it is empty"),
    "short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "{} is no readable checkpoint: it is cut short, "),
    "one bit": (flip, "{} is no readable checkpoint: "),
    "text": (lambda path: path.write_text("no checkpoint"), "{} is no readable checkpoint: it is cut short, "),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "no checkpoint {} (it is a folder)"),
    "foreign": (lambda path: torch.save({"state_dict": {}}, path), "{} is not a checkpoint of seqlab"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_wrong_with_the_last_one(folder: Path, damage: str) -> None:
    """The one before is read, and said to be."""
    spoil, reason = DAMAGES[damage]
    last, previous = folder / "last.ckpt", folder / "previous.ckpt"
    spoil(last)
    found = load_last(folder)
    assert (found.path, found.step) == (previous, 6)
    (line,) = found.notes()
    assert line.startswith(reason.format(last)) and line.endswith(f"; going on from {previous}, of step 6")
    assert "\n" not in line


@pytest.mark.parametrize("damage", ["missing", "one bit"])
def test_the_one_before_is_not_replaced_by_a_damaged_one(folder: Path, damage: str) -> None:
    """Once the run is taken up it is both, so that whatever kills the process before it has saved loses nothing; and it
    stays the one before when the next is saved.
    """
    DAMAGES[damage][0](folder / "last.ckpt")
    take_up(load_last(folder), folder, folder.parent / "logs")
    assert steps(folder) == {"last": 6, "previous": 6}
    save(folder, 7)
    assert steps(folder) == {"last": 7, "previous": 6}


def test_what_the_system_does_not_let_us_read_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong permission can be mended; a disk that fails cannot."""
    last, original = folder / "last.ckpt", torch.load
    for number, text in ((13, "Permission denied"), (5, "Input/output error")):

        def refuse(path: Path, number: int = number, text: str = text, **options: Any) -> Any:
            if path == last:
                raise OSError(number, text)
            return original(path, **options)

        monkeypatch.setattr(torch, "load", refuse)
        if number == 5:
            assert load_last(folder).step == 6
        else:
            with pytest.raises(UserError, match=rf"^cannot read {last}: {text}$"):
                load_last(folder)


def test_two_processes_that_go_on_with_a_run(folder: Path) -> None:
    """What one read before the other ended is not what is there now."""
    found = load_last(folder)
    save(folder, 9)
    with pytest.raises(UserError, match=r"^another process has just written .*last\.ckpt: try again$"):
        take_up(found, folder, folder.parent / "logs")
    assert steps(folder) == {"last": 9, "previous": 8}
