"""A disk that is full when a checkpoint is written: what was there before is whole, and the run goes on from it."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from seqlab.cli import main


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fills a disk but for so many bytes; returns the file that does."""
    path = disk / "filling"
    with path.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - left))
    return path


@pytest.mark.usefixtures("one_thread")
def test_a_full_disk_loses_nothing(seqlab: Callable, tiny: list[str], disk: Path, tmp_path: Path) -> None:
    """Full at a checkpoint; with room again the run goes on and ends as its copy on another disk, bit for bit."""
    common = ["--recipe", "translation", *tiny, "--model.dropout", "0.3", "--trainer.val_check_interval", "5"]
    run, more = disk / "run", ["--resume", "--trainer.max_steps", "17"]
    begin = [*common, "--checkpoint.every_n_steps", "3", "--trainer.max_steps", "10"]
    assert main(["fit", "--run", str(run), *begin]) == 0
    other = shutil.copytree(run, tmp_path / "other")

    before = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert len(before) >= 2
    filling = fill(disk, len(before[run / "checkpoints" / "last.ckpt"]) // 2)
    done = seqlab("fit", "--run", run, *more)
    stderr = done.stderr.decode()
    assert done.returncode == 2 and "Traceback" not in stderr, stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("seqlab fit: error: ") and "No space left on device" in last
    assert {path: path.read_bytes() for path in (run / "checkpoints").iterdir()} == before
    filling.unlink()

    for path in (run, other):
        assert main(["fit", "--run", str(path), *more]) == 0
    expected, found = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for path in (other, run)
    )
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
