"""Signals to a fit: all its processes stop after the same step, which is saved, and one tells how to go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from .conftest import SCRIPT, environment

LONG = [
    *("--recipe", "translation", "--trainer.max_steps", "100000", "--trainer.val_check_interval", "100000"),
    *("--checkpoint.every_n_steps", "100000", "--trainer.log_every_n_steps", "1"),
]
TWO = ("--trainer.devices", "2")


def logged(run: Path) -> int:
    """How many steps are in the log."""
    log = run / "logs" / "metrics.csv"
    return len(log.read_text().splitlines()) - 1 if log.is_file() else 0


def interrupt(
    run: Path, flags: list[str], *numbers: signal.Signals, to_all: bool, steps: int = 4, **variables: str
) -> tuple[int, str]:
    """Begins a fit, sends it signals when some steps are logged; returns its exit code and what it said."""
    errors, seen = run.with_name("stderr"), run.with_name("run-seen")
    seen.mkdir()
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, SCRIPT, str(seen), "--run", str(run), *flags],
            env=environment(**variables),
            stderr=stderr,
            start_new_session=True,
        )
        try:
            while process.poll() is None and logged(run) < steps:
                time.sleep(0.05)
            for number in numbers:
                (os.killpg if to_all else os.kill)(process.pid, number)
                time.sleep(0.5 if len(numbers) > 1 else 0)
            return process.wait(120), errors.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def stopped_at(run: Path, number: signal.Signals, text: str) -> int:
    """The step that was saved, which the text tells of."""
    assert "Traceback" not in text
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert step > 0
    assert text.count(f"go on from step {step:,} with: seqlab fit --run {run} --resume\n") == 1
    assert text.endswith(f"seqlab fit: stopped by {number.name} after step {step:,}\n")
    return step


@pytest.mark.parametrize(
    ("number", "flags"),
    [(signal.SIGTERM, ["--data.workers", "2"]), (signal.SIGINT, ["--trainer.accumulate_grad_batches", "3"])],
    ids=["SIGTERM, with workers", "Ctrl-C, with accumulated batches"],
)
def test_one_process(tiny: list[str], tmp_path: Path, number: signal.Signals, flags: list[str]) -> None:
    run = tmp_path / "run"
    code, text = interrupt(run, [*tiny, *LONG, *flags], number, to_all=True)
    assert code == 128 + number, text
    stopped_at(run, number, text)


@pytest.mark.slow
def test_slurm_announces_the_end_of_a_job(tiny: list[str], tmp_path: Path) -> None:
    run, number = tmp_path / "run", signal.SIGUSR1
    job = {"SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "fit", "SLURM_NODELIST": "127.0.0.1", "SLURM_NNODES": "1"}
    job |= {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "SLURM_PROCID": "0"}
    code, text = interrupt(run, [*tiny, *LONG], number, to_all=False, **job, SLURM_NODEID="0")
    assert code == 128 + number, text
    stopped_at(run, number, text)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_stopped_run_goes_on_to_is_what_it_would_have_been(
    fit: Callable, tiny: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    flags = [*tiny, *LONG, "--trainer.accumulate_grad_batches", "2", "--data.workers", "1"]
    _, text = interrupt(tmp_path / "run", flags, number, to_all=False)
    step = stopped_at(tmp_path / "run", number, text)
    ended = fit("run", "--resume", "--trainer.max_steps", step + 3)
    assert ended.code == 0, ended.err
    whole = fit("whole", *flags, "--trainer.max_steps", step + 3)
    assert whole.code == 0, whole.err
    for name, weight in whole.checkpoint()["state_dict"].items():
        assert torch.equal(weight, ended.checkpoint()["state_dict"][name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGUSR1, False)],
    ids=["SIGTERM to the first", "SIGTERM to all", "Ctrl-C", "SIGUSR1 to the first"],
)
def test_two_processes(fit: Callable, tiny: list[str], tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    code, text = interrupt(tmp_path / "run", [*tiny, *LONG, *TWO], number, to_all=to_all)
    assert code == 128 + number, text
    step = stopped_at(tmp_path / "run", number, text)
    done = fit("run", "--resume", "--trainer.max_steps", step + 2)
    assert done.code == 0, done.err
    assert done.checkpoint()["global_step"] == step + 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("devices", [(), TWO], ids=["one process", "two processes"])
def test_a_second_signal_ends_at_once(
    tiny: list[str], tmp_path: Path, devices: tuple[str, ...], number: signal.Signals
) -> None:
    run = tmp_path / "run"
    flags = [*tiny, *LONG, *devices, "--checkpoint.every_n_steps", "2"]
    code, text = interrupt(run, flags, number, number, to_all=False, steps=5, FAIL="0:5:hang")
    assert code == 130, text
    assert "Traceback" not in text
    assert f"go on from step 4 with: seqlab fit --run {run} --resume\n" in text
    assert text.endswith("seqlab fit: interrupted\n")


def test_a_second_signal_before_any_checkpoint(tiny: list[str], tmp_path: Path) -> None:
    flags = [*tiny, *LONG]
    code, text = interrupt(tmp_path / "run", flags, *[signal.SIGTERM] * 2, to_all=False, steps=5, FAIL="0:5:hang")
    assert code == 130, text
    assert text.endswith("no checkpoint was written yet: to start anew, add --overwrite\nseqlab fit: interrupted\n")
