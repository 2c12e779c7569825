"""Devices agree on a step that is left out, on the end of a run, and on what its log says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ..logs import rows
from .conftest import environment

SCRIPT = Path(__file__).with_name("spoiled_fit.py")
STEPS = [
    *("--trainer.max_steps", "12", "--trainer.val_check_interval", "5", "--checkpoint.every_n_steps", "4"),
    *("--trainer.log_every_n_steps", "2"),
]


class Done(NamedTuple):
    """A fit that has ended."""

    run: Path
    code: int
    err: str

    def column(self, name: str) -> list[float]:
        """The values of a column, by step."""
        return [float(row[name]) for row in rows(self.run) if row.get(name)]

    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.run / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Done]:
    """Runs ``seqlab fit`` with losses that may be spoilt."""

    def run(name: str, *argv: str, devices: int = 2, spoil: str = "") -> Done:
        more = [] if "--resume" in argv else ["--trainer.devices", str(devices)]
        done = subprocess.run(
            [sys.executable, SCRIPT, "--run", str(tmp_path / name), *argv, *more],
            env=environment(SPOIL=spoil),
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Done(tmp_path / name, done.returncode, done.stderr)

    return run


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("seqlab fit: error")]


@pytest.fixture
def translation(tiny: list[str]) -> list[str]:
    return ["--recipe", "translation", *tiny, *STEPS]


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_all_stop_with_one_line(fit: Callable, translation: list[str], rank: int) -> None:
    """Whichever of them has the loss that is no number; what was saved is from before."""
    done = fit("run", *translation, spoil=f"{rank}:6:6:inf")
    what = "the loss is inf" if rank == 0 else "the loss is not finite on another device"
    assert done.code == 2 and "Traceback" not in done.err, done.err
    (line,) = lines(done.err)
    assert line.startswith(f"seqlab fit: error: {what} at step 6: the last good checkpoint is {done.run}/")
    assert done.checkpoint()["global_step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_all_skip_the_step_and_go_on_alike_after_a_resume(fit: Callable, translation: list[str], rank: int) -> None:
    flags = [*translation, "--training.nonfinite", "skip", "--model.dropout", "0.2"]
    flags += ["--model.average", "EMA", "--trainer.gradient_clip_val", "0.5"]
    whole = fit("whole", *flags, spoil=f"{rank}:2:2:inf")
    assert whole.code == 0, whole.err
    assert whole.column("train/skipped") == [0, 1, 1, 1, 1, 1]
    assert whole.err.count("the step is skipped") == whole.err.count("1 of 12 steps were skipped") == 1
    cut = fit("cut", *flags, "--trainer.max_steps", "7", spoil=f"{rank}:2:2:inf")
    assert cut.code == 0, cut.err
    done = fit("cut", "--resume", "--trainer.max_steps", "12")
    assert done.code == 0, done.err
    # The schedule of the translation recipe knows no end, so that a run may be cut anywhere.
    assert rows(done.run) == rows(whole.run)
    for part in ("state_dict", "averaged"):
        for name, value in whole.checkpoint()[part].items():
            assert torch.equal(done.checkpoint()[part][name], value), name


def test_a_device_with_too_little_memory(fit: Callable, translation: list[str]) -> None:
    """Both end before training, with one line of the first, and nothing is left."""
    done = fit("run", *translation, spoil="1:0:0:memory")
    assert done.code == 2 and "Traceback" not in done.err, done.err
    (line,) = lines(done.err)
    assert "the first step needs more memory than there is: make batches smaller (data.batch_tokens)" in line
    assert not done.run.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["translation", "streams"])
def test_the_log_is_of_all_devices(fit: Callable, translation: list[str], language: list[str], kind: str) -> None:
    """Loss and length of the gradient are those of one device that has the batches of both in a step."""
    flags = [*translation, "--model.dropout", "0"] if kind == "translation" else [*language, *STEPS]
    flags += ["--trainer.precision", "64-true"]
    two = fit("two", *flags)
    if kind == "translation":
        one = fit("one", *flags, "--trainer.accumulate_grad_batches", "2", devices=1)
    else:
        one = fit("one", *flags, "--data.streams", "6", devices=1)
    assert two.code == one.code == 0, two.err + one.err
    assert len(two.column("train/loss")) == 6
    for name, tolerance in (("train/loss", 1e-12), ("train/gradient_norm", 1e-9)):
        assert two.column(name) == pytest.approx(one.column(name), rel=tolerance)
