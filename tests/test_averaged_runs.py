"""Runs with averaged weights as a user has them: killed, resumed, evaluated, and wrongly set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import seqlab as package
from seqlab.cli import main

from .logs import rows

COMMON = [
    *("--recipe", "translation", "--model.dropout", "0.3", "--trainer.max_steps", "90", "--data.workers", "0"),
    *("--trainer.val_check_interval", "12", "--checkpoint.every_n_steps", "10"),
    *("--checkpoint.monitor", "val/perplexity", "--checkpoint.mode", "min"),
]
# Accuracy rises, so it is soon "worse", as the trigger understands it, than it was.
NTASGD = [
    *("--model.optimizer", "NTASGD", "--model.optimizer.lr", "0.5", "--model.optimizer.interval", "1"),
    *("--model.optimizer.monitor", "val/accuracy", "--model.schedule", "Constant"),
]
CHOICES = {"ema": ["--model.average", "EMA", "--model.average.decay", "0.95"], "ntasgd": NTASGD}


def start(run: Path, *argv: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "seqlab", "fit", "--run", str(run), *argv],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_once_averaging(process: subprocess.Popen, last: Path) -> None:
    """kill -9 when a checkpoint has averages and training goes on."""
    while process.poll() is None:
        if last.is_file() and "averaged" in (saved := torch.load(last, weights_only=True)):
            state = saved["optimizer_states"][0]
            if saved["global_step"] >= 20 and state.get("averaged", 2) > 1:
                process.send_signal(signal.SIGKILL)
                break
        time.sleep(0.01)
    stderr = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, stderr
    assert torch.load(last, weights_only=True)["global_step"] < 90


def assert_equal(one: object, other: object) -> None:
    """Bit for bit, in whatever a checkpoint is made of."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for values in zip(one, other, strict=True):
            assert_equal(*values)
    else:
        assert one == other


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("choice", list(CHOICES))
def test_a_killed_run_resumes_exactly_and_is_used_with_its_averages(
    tiny: list[str], tmp_path: Path, choice: str
) -> None:
    flags = [*COMMON, *tiny, *CHOICES[choice]]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(killed, *flags) as interrupted:
        kill_once_averaging(interrupted, killed / "checkpoints" / "last.ckpt")
    with start(killed, "--resume") as resumed:
        assert main(["fit", "--run", str(whole), *flags]) == 0
        assert main(["evaluate", str(whole), "--split", "val", "--beam", "1"]) == 0
        stderr = resumed.communicate()[1].decode()
    assert resumed.returncode == 0, stderr
    for name in ("best.ckpt", "last.ckpt"):
        expected, found = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (whole, killed))
        for key in ("global_step", "state_dict", "averaged", "optimizer_states", "lr_schedulers"):
            assert_equal(expected[key], found[key])
        assert_equal(expected["callbacks"].get("AveragedWeights"), found["callbacks"].get("AveragedWeights"))
    assert rows(whole) == rows(killed)

    best = torch.load(whole / "checkpoints" / "best.ckpt", weights_only=True)
    weights = dict(package.load(whole, "cpu").named_parameters())
    assert best["averaged"].keys() == weights.keys()
    assert all(torch.equal(average, weights[name]) for name, average in best["averaged"].items())
    assert not all(torch.equal(average, best["state_dict"][name]) for name, average in best["averaged"].items())
    scores = json.loads((whole / "scores.json").read_text())["val"]["scores"]
    logged = json.loads((whole / "summary.json").read_text())["scores"]
    found = {f"val/{name}": score["value"] for name, score in scores.items()}
    assert {name: found[name] for name in logged} == logged


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model.optimizer", "NTASGD", "--model.optimizer.lr", "0"], "optimizer NTASGD: lr must be above 0, not 0.0"),
        (
            ["--model.optimizer", '{"class_path": "seqlab.training.ntasgd.NTASGD", "init_args": {"interval": 0}}'],
            "optimizer NTASGD: interval must be at least 1, not 0",
        ),
        ([*NTASGD, "--model.optimizer.monitor", "val/perplexty"], "did you mean 'val/perplexity'?"),
        ([*NTASGD, "--model.average", "EMA"], "model.average: NTASGD averages the weights itself"),
        (["--model.average", "EMA", "--model.average.decay", "1"], "average EMA: decay must be at least 0 and below 1"),
        (["--model.average", "LastN", "--model.average.every", "0"], "average LastN: every must be at least 1, not 0"),
        (["--model.optimizer.lr", "-1"], "model.optimizer: Invalid learning rate: -1.0"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_wrong_settings(
    tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, flags: list[str], expected: str
) -> None:
    assert main(["fit", "--recipe", "translation", "--run", str(tmp_path / "run"), *tiny, *flags]) == 2
    stderr = capfd.readouterr().err
    last = stderr.splitlines()[-1]
    assert last.startswith("seqlab fit: error: ") and expected in last
    assert "Traceback" not in stderr and not list(tmp_path.iterdir())
