"""SIGTERM and Ctrl-C with two processes: both stop after the same step, which is saved, and are told how to go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

LONG = [
    *("--recipe", "translation", "--trainer.max_steps", "100000", "--trainer.val_check_interval", "100000"),
    *("--checkpoint.every_n_steps", "100000", "--trainer.log_every_n_steps", "1", "--trainer.devices", "2"),
]


def begun(run: Path) -> bool:
    """Whether a few steps are logged."""
    log = run / "logs" / "metrics.csv"
    return log.is_file() and len(log.read_text().splitlines()) > 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to_all", "code"),
    [
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGINT, True, 130),
        (signal.SIGINT, False, 130),
    ],
    ids=["SIGTERM to the first", "SIGTERM to all", "Ctrl-C", "SIGINT to the first"],
)
def test_a_signal(
    fit: Callable, tiny: list[str], tmp_path: Path, number: signal.Signals, to_all: bool, code: int
) -> None:
    run, errors = tmp_path / "run", tmp_path / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqlab", "fit", "--run", str(run), *tiny, *LONG],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=stderr,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not begun(run):
                time.sleep(0.05)
            (os.killpg if to_all else os.kill)(process.pid, number)
            assert process.wait(60) == code, errors.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    text = errors.read_text()
    assert "Traceback" not in text
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert step > 0
    assert f"go on from step {step:,} with: seqlab fit --run {run} --resume" in text
    done = fit("run", "--resume", "--trainer.max_steps", step + 2)
    assert done.code == 0, done.err
    assert done.checkpoint()["global_step"] == step + 2
