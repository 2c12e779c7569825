"""Whole comparisons on the command line: what they leave, and what is wrong with their flags."""

import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.runs import Run

from .comparisons import Seqlab, compare, read, write_recipe

Here = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def compared(seqlab: Seqlab, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two cells of one seed, and what the command printed."""
    out = tmp_path_factory.mktemp("comparisons") / "one seed"
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
    assert f"{score['mean']:.2f}" in printed and "rrnn:feedback=updated, seed 1: finished (2 of 2)" in printed
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


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads_what_it_prints(compared: tuple[Path, str], unbuffered: str) -> None:
    """The report is written all the same."""
    out, _ = compared
    (out / "report.html").unlink()
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "seqlab", "compare", "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": unbuffered},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert done.returncode == 141 and done.stderr == "2 of 2 runs have ended before\n"
    assert "rrnn:feedback=updated" in (out / "report.html").read_text()


def test_its_commands_can_be_copied(here: Here, compared: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the directory has a space."""
    out, printed = compared
    assert f"\nwhy:     seqlab diagnose '{out}'\n" in printed

    def fails(out: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr("seqlab.reporting.report.write_report", fails)
    code, stdout, stderr = here("compare", "--out", out)
    assert code == 0 and "results.md" in stdout and "report.html" not in stdout
    assert f"the report was not written (no room); once that is mended: seqlab report '{out}'\n" in stderr


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


@pytest.mark.slow
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
    assert code == 0 and "1 run is to be done: " in stderr and "elman  0 of 1" in stdout, stderr
    assert "running" not in stderr
    results = read(out)
    assert [run["status"] for cell in results["cells"] for run in cell["runs"]] == ["finished", "unfinished"]
    assert "elman" in (out / "jobs.sh").read_text() and "gru" not in (out / "jobs.sh").read_text()
    (out / "jobs.sh").unlink()
    with Run(out / "runs" / "elman" / "seed-4").lock():
        code, _, stderr = here("compare", "--out", out, "--jobs", "slurm")
    assert code == 0 and "1 run is running" in stderr and "to be done" not in stderr and not (out / "jobs.sh").exists()
