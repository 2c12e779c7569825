"""``seqlab diagnose`` of several runs and of a comparison: one picture of all, and what bad input gets."""

import json
import shutil
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..conftest import fit_here
from ..reporting.parsed import Parsed

Here = Callable[..., tuple[int, str, str]]
PICTURES = ["gradients.png", "jacobian.png", "saturation.png", "states.png"]
SMALL = [
    *("--data.shortest", "4", "--data.longest", "9", "--model.hidden_size", "7", "--trainer.max_steps", "3"),
    *("--data.train_size", "90", "--data.val_size", "20", "--data.test_size", "9", "--data.batch_tokens", "200"),
    *("--trainer.val_check_interval", "3", "--trainer.accelerator", "cpu"),
]
PLAN = {
    **{"format": 1, "recipe": "recall", "cells": ["lstm", "gru", "elman"], "seeds": [1, 2], "budget": {"steps": 3}},
    **{"parameters": None, "flags": []},
    "found": {
        **{"recipe_sha256": "x", "monitor": "val/accuracy", "mode": "max", "metrics": ["accuracy"], "unit": "answers"},
        **{"split": "val", "ends": {"1": [], "2": []}, "budget": {}},
        "sizes": {"lstm": {}, "gru": {}, "elman": {}},
    },
}


@pytest.fixture(scope="module")
def trained_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of three cells and two seeds: the second seeds of two cells are copies of the first, one of them
    better and one of them better and without its model; of the third cell nothing was trained."""
    out = tmp_path_factory.mktemp("comparisons") / "three"
    for cell, best in (("lstm", 99.0), ("elman", 98.0)):
        first, second = (out / "runs" / cell / f"seed-{seed}" for seed in (1, 2))
        fit_here("--recipe", "recall", "--run", first, "--model.cell", cell, *SMALL)
        shutil.copytree(first, second)
        summary = json.loads((second / "summary.json").read_text())
        summary["scores"]["val/accuracy"] = best
        (second / "summary.json").write_text(json.dumps(summary))
    shutil.rmtree(out / "runs" / "elman" / "seed-2" / "checkpoints")
    (out / "comparison.yaml").write_text(yaml.safe_dump(PLAN))
    return out


@pytest.fixture
def comparison(trained_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The comparison, to be written into; the directory that it is in is the current one."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained_cells, tmp_path / "three").name)


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def test_a_comparison_in_one_picture(here: Here, comparison: Path) -> None:
    code, stdout, stderr = here("diagnose", comparison, "--rows", "5")
    assert (code, stderr) == (0, "")
    combined = read(comparison / "diagnosis" / "diagnosis.json")
    assert sorted(path.name for path in (comparison / "diagnosis").iterdir()) == ["diagnosis.json", *PICTURES]
    runs = {"lstm": comparison / "runs" / "lstm" / "seed-2", "elman": comparison / "runs" / "elman" / "seed-1"}
    assert [(run["name"], run["run"], run["split"], run["rows"]) for run in combined["runs"]] == [
        (cell, str(run), "val", 5) for cell, run in runs.items()
    ]
    cells = {cell["run"]: cell for cell in combined["stacks"]["network"]["cells"]}
    alone = {}
    for name, run in runs.items():
        (cell,) = read(run / "diagnosis.json")["stacks"]["network"]["cells"]
        assert cells[name] == {"name": "layer 1", "cell": name, "run": name, "trained": cell["trained"]}
        assert sorted(path.name for path in (run / "diagnosis").iterdir()) == PICTURES
        alone[run] = [(run / "diagnosis.json").read_bytes(), (run / "diagnosis" / "gradients.png").read_bytes()]
    assert cells["lstm"]["trained"] != cells["elman"]["trained"]
    lines = stdout.splitlines()
    step = combined["runs"][0]["checkpoint"]["step"]
    assert lines[:2] == [f"{name}: {run}, best.ckpt of step {step}, 5 rows of val" for name, run in runs.items()]
    assert [line.split()[0] for line in lines[7:11]] == ["trained", "network,", "lstm", "elman"]
    assert "gru is left out: no run has finished" in lines
    assert "elman is shown by seed-1: its best, seed-2, has no model" in lines
    assert lines[-2:] == [f"         {run}/diagnosis.json, diagnosis/*.png" for run in runs.values()]
    assert f"written: {comparison}/diagnosis/diagnosis.json" in lines
    for run, written in alone.items():  # as it is measured by itself
        assert here("diagnose", run, "--rows", "5")[0] == 0
        assert [(run / "diagnosis.json").read_bytes(), (run / "diagnosis" / "gradients.png").read_bytes()] == written


def test_the_report_shows_it(here: Here, comparison: Path) -> None:
    code, _, stderr = here("report", comparison)
    assert code == 0, stderr
    page = Parsed((comparison / "report.html").read_text("utf-8"))
    (told,) = (text for text in page.texts["p"] if "gradients reach back" in text)
    assert told == "How far gradients reach back in time is not known of 3 of 3 cells: seqlab diagnose three"
    assert here("diagnose", comparison, "--rows", "3")[0] == here("report", comparison)[0] == 0
    page = Parsed((comparison / "report.html").read_text("utf-8"))
    images = [image for image in page.all("img") if str(image["alt"]).startswith("Chart of a diagnosis")]
    assert [str(image["alt"]).partition(": ")[0] for image in images] == 4 * ["Chart of a diagnosis, lstm, elman"]
    embedded = [b64decode(str(image["src"]).removeprefix("data:image/png;base64,")) for image in images]
    assert sorted(embedded) == sorted((comparison / "diagnosis" / name).read_bytes() for name in PICTURES)
    assert "lstm, seed-2: measured with best.ckpt of step 3, 3 rows of val" in page.texts["li"]
    (told,) = (text for text in page.texts["p"] if "gradients reach back" in text)
    assert told == "How far gradients reach back in time is not known of 1 of 3 cells"  # of one that has no run


def test_a_comparison_of_which_one_run_is_left(here: Here, comparison: Path) -> None:
    """That one is measured, and there is nothing to compare."""
    shutil.rmtree(comparison / "runs" / "elman")
    code, _, stderr = here("diagnose", comparison, "--out", "x")
    run = comparison / "runs" / "lstm" / "seed-2"
    told = f"--out is for cells (--cell) and for several runs, and {run} is the only one that can be measured"
    assert (code, stderr) == (2, f"seqlab diagnose: error: {told}; leave it out\n")
    code, stdout, _ = here("diagnose", comparison, "--rows", "2")
    assert code == 0 and stdout.startswith(f"{run}, best.ckpt of step 3, 2 rows of val\n")
    assert "\nelman is left out: no run has finished\n" in stdout and not (comparison / "diagnosis").exists()


def test_a_comparison_without_a_run_to_measure(here: Here, comparison: Path) -> None:
    shutil.rmtree(comparison / "runs" / "elman" / "seed-1")
    for seed in (1, 2):
        (comparison / "runs" / "lstm" / f"seed-{seed}" / "summary.json").unlink()
    code, stdout, stderr = here("diagnose", comparison)
    told = "lstm is left out: no run has finished; gru is left out: no run has finished; elman is left out: its runs"
    error = f"seqlab diagnose: error: three has no finished run with a model: {told} have no model\n"
    assert (code, stdout, stderr) == (2, "", error)


def test_runs_of_the_same_cell_on_other_data(here: Here, run: Path, tmp_path: Path) -> None:
    """Two language models, told apart by their directories; a flag changes the settings of both."""
    one, two = (shutil.copytree(run, tmp_path / name) for name in ("one", "two"))
    config = yaml.safe_load((two / "config.yaml").read_text())
    (tmp_path / "other.txt").write_text("the cat hears the fox .\n" * 20)
    config["data"]["val"] = str(tmp_path / "other.txt")
    (two / "config.yaml").write_text(yaml.safe_dump(config))
    code, stdout, stderr = here(
        "diagnose", one, two, "--rows", "2", "--data.window", "19", "--out", tmp_path / "x" / "y"
    )
    assert code == 0, stderr
    combined = read(tmp_path / "x" / "y" / "diagnosis.json")
    assert "\nmeasured on other data than one: two\n" in stdout
    cells = combined["stacks"]["network"]["cells"]
    assert [(cell["run"], cell["cell"], cell["trained"]["gradient"]["rows"]) for cell in cells] == [
        ("one", "gru", [2] * 19),
        ("two", "gru", [2] * 19),
    ]
    assert read(two / "diagnosis.json")["stacks"]["network"]["cells"][0]["trained"] == cells[1]["trained"]


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path) -> Path:
    """The current directory, with two runs of a language model; nothing may be measured."""
    monkeypatch.setattr("seqlab.diagnosis.several.diagnose_run", lambda *a: pytest.fail("measured"))
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(run, tmp_path / name)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "comparison.yaml").write_text("format: 2")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        ("one two ./one", "one is there twice: leave one of them out"),
        ("one full", "full is neither a run (no config.yaml) nor a comparison (no comparison.yaml)"),
        ("one twi", "twi is not a run (no config.yaml); did you mean 'two'?"),
        (
            "one comparison",
            "comparison is a comparison: give it alone, or name its runs, such as comparison/runs/CELL/seed-1",
        ),
        ("comparison one", "comparison is a comparison: give it alone, or name its runs"),
        ("comparison", "comparison/comparison.yaml is of another version of seqlab (format 2, not 1)"),
        ("one two --out full", "--out full holds something else than a diagnosis, such as notes.txt; take another"),
        ("one two --out full/notes.txt", "--out full/notes.txt: full/notes.txt is no folder"),
        ("one two --out two/diagnosis", "--out two/diagnosis is where the run "),
        ("one two --steps 5", "--steps is for cells (--cell); leave it out"),
        ("one two --data.windou 3", "no setting named data.windou; did you mean 'data.window'?"),
        ("one two --data.window 0", "data.window must be between 1 and"),
        ("one two --split test", "there is no test corpus: give one with --data.test NAME, or take another --split"),
        ("one two --row 3", "unrecognized arguments: --row 3; did you mean '--rows'? (see seqlab diagnose -h)"),
        ("one --cell gru", "one and --cell: give a run or cells, not both"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(argv: str, problem: str, unmeasured: Path, here: Here) -> None:
    code, stdout, stderr = here("diagnose", *argv.split())
    assert (code, stdout) == (2, ""), stderr
    assert stderr.splitlines()[-1].startswith(f"seqlab diagnose: error: {problem}"), stderr
    assert len(stderr.splitlines()) == 1
    assert not any((unmeasured / name).exists() for name in ("diagnosis", "one/diagnosis.json", "two/diagnosis"))


def test_what_is_wrong_with_the_last_run_is_told_first(unmeasured: Path, trained: Path, here: Here) -> None:
    """Before anything is measured: other layers, no checkpoint, no place for a diagnosis, the first run again."""
    code, stdout, stderr = here("diagnose", "one", "two", trained)
    told = (
        "has other layers (encoder, decoder) than one (network), so that no picture can show both: diagnose them apart"
    )
    assert (code, stdout, stderr) == (2, "", f"seqlab diagnose: error: {trained} {told}\n")
    code, _, stderr = here("diagnose", "one", unmeasured / "one")
    assert (code, stderr) == (
        2,
        f"seqlab diagnose: error: {unmeasured}/one is there twice, as one: leave one of them out\n",
    )
    (unmeasured / "two" / "diagnosis").touch()
    code, _, stderr = here("diagnose", "one", "two")
    assert code == 2 and "two/diagnosis is a file, where a diagnosis is to be written; move it away" in stderr
    shutil.rmtree(unmeasured / "two" / "checkpoints")
    code, _, stderr = here("diagnose", "one", "two")
    assert code == 2 and stderr.startswith("seqlab diagnose: error: two has no checkpoint yet")


def test_a_run_that_cannot_be_measured_is_named(unmeasured: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqlab.errors import UserError

    def fail(*arguments: object) -> None:
        raise UserError("the weights have diverged")

    monkeypatch.setattr("seqlab.diagnosis.several.diagnose_run", fail)
    assert here("diagnose", "one", "two")[2] == "seqlab diagnose: error: one: the weights have diverged\n"
    assert here("diagnose", "two")[2] == "seqlab diagnose: error: the weights have diverged\n"
