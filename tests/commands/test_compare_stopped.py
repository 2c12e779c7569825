"""Comparisons that were killed or stopped: how they go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.comparing.statistics import welch
from seqlab.metrics.significance import over_seeds

from .comparisons import Seqlab, compare, read, write_recipe

DIVERGING = "torchrecurrent/cornn:dt=1e6"
"""A cell whose steps are so long that its state is beyond all numbers after a few of them."""
TIMED = ("seconds", "training_seconds", "tokens_per_second", "peak_memory_bytes")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


def kill_at(process: subprocess.Popen, out: Path, step: int, runs: int) -> None:
    """Kills a comparison and its fit at once, when so many runs have begun and the last of them has saved a step."""
    while process.poll() is None:
        saved = sorted(out.glob("runs/*/*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
        if len(saved) >= runs and torch.load(saved[-1], weights_only=True)["global_step"] >= step:
            break
        time.sleep(0.02)
    for line in subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.splitlines()[1:]:
        pid, parent = map(int, line.split())
        if parent == process.pid:
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_same_table(seqlab: Seqlab, recipe: Path, tmp_path: Path) -> None:
    """Three cells of two seeds, one of which diverges, beside a comparison that nobody killed."""
    flags = ["--recipe", str(recipe), "--cells", f"elman,{DIVERGING},gru", "--seeds", "2", "--parameters", "40k"]
    whole = compare(seqlab, tmp_path / "whole", *flags, "--workers", "2", code=1)
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "seqlab", "compare", "--out", str(killed), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for step, runs in ((6, 1), (9, 3)):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        kill_at(process, killed, step, runs)
        assert not (killed / "results.json").exists(), "it was killed too late"
    last = compare(seqlab, killed, "--workers", "2", code=1)
    assert "goes on" in last and "diverged: the loss is nan at step 0" in whole
    results = [without_time(read(tmp_path / name)) for name in ("whole", "killed")]
    assert results[0] == results[1]
    statuses = {cell["cell"]: {run["status"] for run in cell["runs"]} for cell in results[0]["cells"]}
    assert statuses == {"elman": {"finished"}, DIVERGING: {"diverged"}, "gru": {"finished"}}
    check_scores(results[0])
    again = compare(seqlab, killed, "--retry", code=1)
    assert again.count("begins") == 2 and without_time(read(killed)) == results[0]


def without_time(results: dict[str, Any]) -> dict[str, Any]:
    runs = [run for cell in results["cells"] for run in cell["runs"]]
    for run in runs:
        for name in TIMED:
            run.pop(name)
    return {name: value for name, value in results.items() if name != "command"}


def check_scores(results: dict[str, Any]) -> None:
    """Means, intervals and p-values of two seeds, from the scores of the runs."""
    first, _, other = results["cells"]
    for name, score in other["scores"].items():
        values = [run["scores"][name] for run in other["runs"]]
        base = [run["scores"][name] for run in first["runs"]]
        assert score["values"] == values and score["mean"] == pytest.approx(sum(values) / 2)
        assert score["half_width"] == over_seeds(values).half_width
        assert score["p"] == welch(base, values)
    assert all(abs(cell["parameters"] - 40_000) <= 400 for cell in (first, other))


@pytest.mark.slow
def test_sigterm_saves_the_step(recipe: Path, seqlab: Seqlab, tmp_path: Path) -> None:
    """It is passed on to the fit, which ends after its step; the comparison then goes on from there."""
    out = tmp_path / "a comparison"
    flags = ["--recipe", str(recipe), "--cells", "gru", "--seeds", "1", "--steps", "1500"]
    process = subprocess.Popen(
        [sys.executable, "-m", "seqlab", "compare", "--out", str(out), *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = out / "runs" / "gru" / "seed-1" / "logs" / "metrics.csv"
    while process.poll() is None and not metrics.is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143 and f"SIGTERM: go on with: seqlab compare --out '{out}'\n" in stderr
    assert "gru, seed 1: unfinished: stopped" in stderr and "go on from step" in (
        metrics.parent.parent.with_name("seed-1.log").read_text()
    )
    assert "gru, seed 1: goes on" in compare(seqlab, out)
    assert read(out)["cells"][0]["runs"][0]["steps"] == 1500
