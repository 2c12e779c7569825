"""Whole comparisons on the command line: what they leave, how they go on, and what is wrong with them."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.comparing.statistics import welch
from seqlab.metrics.significance import over_seeds
from seqlab.runs import Run

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]

RECIPE = """
task: seqlab.tasks.LanguageModel
data_module: seqlab.data.language_text.LanguageText
data:
  {{train: {folder}/train.txt, val: {folder}/val.txt, streams: 7, window: 11,
  tokenizer: {{kind: word, vocab_size: 40}}}}
model:
  {{cell: gru, embedding_size: 8, hidden_size: 12, layers: 1, tying: false, schedule: {{class_path: Cosine}},
  metrics: {{perplexity: Perplexity, accuracy: Accuracy}},
  optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.02}}}}}}
checkpoint: {{every_n_steps: 3}}
trainer:
  {{accelerator: cpu, max_steps: 20, max_epochs: -1, num_sanity_val_steps: 0, val_check_interval: 10,
  check_val_every_n_epoch: null, log_every_n_steps: 5}}
"""
ANIMALS, VERBS = ("dog", "cat", "bird", "horse", "fox"), ("sees", "hears", "likes")
DIVERGING = "torchrecurrent/cornn:dt=1e6"
"""A cell whose steps are so long that its state is beyond all numbers after a few of them."""
TIMED = ("seconds", "training_seconds", "tokens_per_second", "peak_memory_bytes")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that trains in a second, and its text."""
    folder = tmp_path_factory.mktemp("recipe")
    lines = [f"the {a} {verb} the {b} ." for a in ANIMALS for verb in VERBS for b in ANIMALS]
    for split, count in (("train", 200), ("val", 200)):
        (folder / f"{split}.txt").write_text("".join(f"{lines[n * 31 % 75]}\n" for n in range(count)))
    (folder / "tiny.yaml").write_text(RECIPE.format(folder=folder))
    return folder / "tiny.yaml"


def compare(seqlab: Seqlab, out: Path, *flags: str | Path, code: int = 0) -> str:
    """Runs the command; returns what it printed."""
    done = seqlab("compare", "--out", out, *flags)
    assert done.returncode == code, done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    return done.stdout.decode() + done.stderr.decode()


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def compared(seqlab: Seqlab, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two cells of one seed, and what the command printed."""
    out = tmp_path_factory.mktemp("comparisons") / "one"
    return out, compare(seqlab, out, "--recipe", recipe, "--cells", "gru,rrnn:feedback=updated", "--seeds", "1")


# ------------------------------------------------------------------------------------------------------- what it leaves


def test_runs_and_results(compared: tuple[Path, str]) -> None:
    out, printed = compared
    results = read(out)
    assert results["budget"] == {"steps": 20} and results["seeds"] == [1] and results["parameters"] is None
    assert (results["monitor"], results["mode"], results["split"]) == ("val/perplexity", "min", "val")
    gru, rrnn = results["cells"]
    assert rrnn["cell"] == rrnn["label"] == "rrnn:feedback=updated" and rrnn["settings"] == {"model.hidden_size": 12}
    (run,) = rrnn["runs"]
    assert run["path"] == "runs/rrnn-feedback-updated/seed-1" and run["status"] == "finished" and run["steps"] == 20
    summary = json.loads((out / run["path"] / "summary.json").read_text())
    assert run["peak_memory_bytes"] == summary["peak_memory_bytes"] > 50 * 1024**2
    assert (run["seconds"], run["tokens_per_second"]) == (summary["wall_seconds"], summary["tokens_per_second"])
    assert rrnn["parameters"] == summary["parameters"]
    scores = json.loads((out / run["path"] / "scores.json").read_text())["val"]["scores"]
    assert run["scores"] == {f"val/{name}": score["value"] for name, score in scores.items()}
    tested = json.loads((out / "significance.json").read_text())["tests"]["perplexity"]["runs"]
    score = rrnn["scores"]["val/perplexity"]
    assert score["p"] == next(iter(tested.values()))["p_value"] < 1 and gru["scores"]["val/perplexity"]["p"] is None
    assert score["half_width"] is None and score["values"] == [score["mean"]]
    assert score["difference"] == pytest.approx(score["mean"] - gru["scores"]["val/perplexity"]["mean"])
    config = (out / run["path"] / "config.yaml").read_text()
    assert "cell: rrnn:feedback=updated" in config and "\nseed: 1\n" in config
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in ("curves-steps.png", "curves-time.png"))
    assert f"{score['mean']:.3f}" in printed and "rrnn:feedback=updated, seed 1: finished (2 of 2)" in printed
    assert "gru, seed 1: step 10 of 20, val/perplexity " in printed
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [row["cell"] for row in rows] == ["gru", "rrnn:feedback=updated"]
    assert (out / "results.md").read_text().count("rrnn:feedback=updated") >= 3
    assert "rrnn:feedback=updated" in (out / "report.html").read_text() and printed.count("report.html") == 1


def test_a_finished_one_is_told_again(here: Here, compared: tuple[Path, str]) -> None:
    """With the directory alone, and nothing is done again."""
    out, printed = compared
    files = [*out.glob("runs/*/*/*.json"), *out.glob("runs/*/*/checkpoints/*")]
    before = {path: path.stat().st_mtime_ns for path in files}
    code, stdout, stderr = here("compare", "--out", out, "--resume")
    assert code == 0, stderr
    assert stdout == printed[: len(stdout)] and "2 of 2 runs have ended before" in stderr
    assert {path: path.stat().st_mtime_ns for path in files} == before


# ------------------------------------------------------------------------------------------------------------ bad input


def told(here: Here, *flags: str | Path) -> str:
    """The one line that a wrong command is answered with."""
    code, stdout, stderr = here("compare", *flags)
    lines = [line for line in stderr.splitlines() if not line.startswith("data: training a word tokenizer")]
    assert code == 2 and not stdout and len(lines) == 1, stderr
    assert lines[0].startswith("seqlab compare: error: ")
    return lines[0].removeprefix("seqlab compare: error: ")


@pytest.mark.parametrize(
    "flags, line",
    [
        (["--cells", "gru,lstm,rnnn,elman"], "no cell named 'rnnn'; did you mean 'rrnn'?"),
        (["--cells", "gru,lstm,gru"], "--cells has gru twice: leave one of them out"),
        (["--cells", "gru:gates=3"], "cell 'gru' of seqlab 0.1.0 has no option 'gates'"),
        (["--cells", "gru", "--seeds", "0"], "--seeds 0: there must be at least 1"),
        (["--cells", "gru", "--steps", "5", "--minutes", "3"], "two budgets, --steps and --minutes: give one of them"),
        (["--cells", "gru", "--steps", "5", "--trainer.max_steps", "7"], "two budgets, --steps and --trainer.max"),
        (["--cells", "gru", "--steps", "0"], "--steps 0: give a whole number above 0"),
        (["--cells", "gru", "--workers", "0"], "--workers 0: give a whole number above 0"),
        (["--cells", "gru", "--seed", "5"], "--seed is set by the comparison: give --seeds"),
        (["--cells", "gru", "--model.hiden_size", "5"], "did you mean 'model.hidden_size'?"),
        (["--cells", "gru", "--parameters", "300"], "--parameters, gru: no size gives 300 parameters within 1%"),
        (["--cells", "gru", "--resume"], "holds no comparison (no comparison.yaml)"),
        ([], "which cells? --cells NAME,NAME,..."),
    ],
)
def test_wrong_flags_leave_nothing(here: Here, recipe: Path, tmp_path: Path, flags: list[str], line: str) -> None:
    assert line in told(here, "--recipe", recipe, "--out", tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_the_nearest_number_of_parameters_is_offered(here: Here, recipe: Path, tmp_path: Path) -> None:
    line = told(here, "--recipe", recipe, "--out", tmp_path / "out", "--cells", "lstm", "--parameters", "800")
    assert "the nearest: 7" in line and "(model.hidden_size " in line and line.count("model.hidden_size") == 2


def test_without_a_recipe(here: Here, tmp_path: Path) -> None:
    assert told(here, "--cells", "gru").startswith("which recipe?")
    assert told(here).startswith("which comparison?")
    assert "holds no comparison" in told(here, "--out", tmp_path / "none")
    assert told(here, "--out", tmp_path, "--seeds", "3").startswith("--seeds is for a comparison that begins")
    assert told(here, "--out", tmp_path, "--data.train", "x").startswith("--data.train is for a comparison that begins")


def test_another_directory_is_left_alone(here: Here, recipe: Path, compared: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = compared
    before = (out / "comparison.yaml").read_bytes()
    flags = ["--recipe", recipe, "--out", out, "--seeds", "1", "--cells"]
    line = told(here, *flags, "gru,lstm")
    assert "holds another comparison: its cells are gru,rrnn:feedback=updated, not gru,lstm" in line
    line = told(here, *flags, "gru,rrnn:feedback=updated", "--steps", "7")
    assert "its budget is the recipe's own, not 7 steps" in line
    assert (out / "comparison.yaml").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine")
    line = told(here, "--recipe", recipe, "--out", tmp_path, "--cells", "gru")
    assert "holds something else than a comparison, such as notes.txt" in line
    assert "is a file" in told(here, "--recipe", recipe, "--out", tmp_path / "notes.txt", "--cells", "gru")


def test_a_directory_in_use(here: Here, compared: tuple[Path, str]) -> None:
    with Run(compared[0]).lock():
        assert "is in use by process" in told(here, "--out", compared[0])


# --------------------------------------------------------------------------------------------------- other ways to run


def test_a_list_of_commands(here: Here, seqlab: Seqlab, recipe: Path, tmp_path: Path) -> None:
    """What is to be done is written, nothing trains; what the commands leave is collected."""
    out = tmp_path / "out"
    code, stdout, stderr = here(
        "compare",
        "--recipe",
        recipe,
        "--cells",
        "gru,elman",
        "--seeds",
        "4,",
        "--steps",
        "6",
        "--out",
        out,
        "--jobs",
        "commands",
    )
    assert code == 0 and not stdout and "2 runs are to be done" in stderr
    assert sorted(path.name for path in out.iterdir()) == [".lock", "commands.txt", "comparison.yaml"]
    first, _ = [shlex.split(line) for line in (out / "commands.txt").read_text().splitlines()]
    done = seqlab(*first[1:])
    assert done.returncode == 0, done.stderr.decode()
    code, stdout, stderr = here("compare", "--out", out, "--jobs", "slurm")
    assert code == 0 and "1 runs are to be done" in stderr and "elman  0 of 1" in stdout, stderr
    results = read(out)
    assert [run["status"] for cell in results["cells"] for run in cell["runs"]] == ["finished", "unfinished"]
    assert "elman" in (out / "jobs.sh").read_text() and "gru" not in (out / "jobs.sh").read_text()


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
    out = tmp_path / "out"
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
    assert process.returncode == 143 and f"SIGTERM: go on with: seqlab compare --out {out}" in stderr
    assert "gru, seed 1: unfinished: stopped" in stderr and "go on from step" in (
        metrics.parent.parent.with_name("seed-1.log").read_text()
    )
    assert "gru, seed 1: goes on" in compare(seqlab, out)
    assert read(out)["cells"][0]["runs"][0]["steps"] == 1500
