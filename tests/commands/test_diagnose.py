"""``seqlab diagnose``: the report, the pictures, the table, and what bad input gets."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from seqlab.cli import main

Here = Callable[..., tuple[int, str, str]]
PICTURES = ["gradients.png", "jacobian.png", "saturation.png", "states.png"]
SMALL = ("--hidden_size", "5", "--steps", "8", "--rows", "3")


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """A run of a language model, to be written into."""
    return shutil.copytree(run, tmp_path / "model")


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def test_cells_as_a_user_runs_it(seqlab: Callable[..., CompletedProcess], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = seqlab("diagnose", "--cell", "lstm:peephole=full,projection=3,elman", *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    text = done.stdout.decode()
    figures = r" +untrained +\d\.\d{3} +\d of 7 +[\d.]+ % +(vanishes|fades) +\d\.\d{3} +\d\.\d{3} +(h|f): \d+ % "
    for cell in (r"lstm:peephole=full,projection=3", "elman"):
        assert len(re.findall(f"^{cell}{figures}(left|right)", text, re.MULTILINE)) == 1, text
    paths = [out / name for name in ("diagnosis.json", *PICTURES)]
    assert text.endswith("".join(f"\n{'written: ' if not n else 9 * ' '}{path}" for n, path in enumerate(paths)) + "\n")
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:])
    report = read(paths[0])
    assert report["format"] == 1 and report["cells"] == ["lstm:peephole=full,projection=3", "elman"]
    assert (report["hidden_size"], report["steps"], report["rows"], report["seed"]) == (5, 8, 3, 1)
    lstm, elman = report["stacks"][""]["cells"]
    assert (lstm["cell"], elman["cell"], list(elman)) == ("lstm", "elman", ["name", "cell", "untrained"])
    assert list(lstm["untrained"]["gradient"]["parts"]) == ["h", "c"]
    assert elman["untrained"]["gradient"]["relative"]["median"][0] == 1
    assert elman["untrained"]["gradient"]["median"][0] == pytest.approx(1)
    assert len(elman["untrained"]["gradient"]["rows"]) == 8 and elman["untrained"]["states"]["step"][-1] == 1000
    assert report["thresholds"]["reach"] == 0.01 and report["versions"]["torch"]


def test_a_cell_is_measured_as_it_would_be_alone(here: Here, tmp_path: Path) -> None:
    found = []
    for cells, seed in (("gru", 1), ("elman,gru", 1), ("gru", 2)):
        out = tmp_path / f"{cells}-{seed}"
        code, _, stderr = here("diagnose", "--cell", cells, *SMALL, "--seed", str(seed), "--out", out)
        assert code == 0, stderr
        found.append(read(out / "diagnosis.json")["stacks"][""]["cells"][-1])
    assert found[0] == found[1] != found[2]
    code, _, _ = here("diagnose", "--cell", "mingru", *SMALL, "--out", tmp_path / "gru-1")  # in place of the other
    assert code == 0 and read(tmp_path / "gru-1" / "diagnosis.json")["cells"] == ["mingru"]


def test_a_translation_run(here: Here, copied: Path) -> None:
    before = {path.name for path in copied.iterdir()}
    code, stdout, stderr = here("diagnose", copied, "--rows", "7")
    assert code == 0, stderr
    assert {path.name for path in copied.iterdir()} - before == {"diagnosis", "diagnosis.json"}
    assert sorted(path.name for path in (copied / "diagnosis").iterdir()) == PICTURES
    report = read(copied / "diagnosis.json")
    assert (report["run"], report["task"], report["split"], report["rows"]) == (str(copied), "Translation", "val", 7)
    assert report["checkpoint"]["file"] == "best.ckpt" and report["untrained"] == "seed 1"
    cells = {name: [cell["name"] for cell in each["cells"]] for name, each in report["stacks"].items()}
    assert cells == {"encoder": ["layer 1 forward", "layer 1 backward"], "decoder": ["layer 1"]}
    for each in report["stacks"].values():
        for cell in each["cells"]:
            assert cell["cell"] == "gru" and cell["trained"]["gradient"] != cell["untrained"]["gradient"]
            assert [gate["name"] for gate in cell["trained"]["saturation"]] == ["r", "z", "n"]
    for row in ("encoder, layer 1 backward (gru)  trained", "decoder, layer 1 (gru)           untrained"):
        assert f"\n{row} " in stdout
    assert f"best.ckpt of step {report['checkpoint']['step']}, 7 rows of val\n" in stdout
    first = (copied / "diagnosis.json").read_bytes()
    assert here("diagnose", copied, "--rows", "7", "--split", "val")[0] == 0
    assert (copied / "diagnosis.json").read_bytes() == first


def test_a_language_model_with_longer_windows(here: Here, model: Path) -> None:
    code, _, stderr = here("diagnose", model, "--rows", "2", "--data.window", "23")
    assert code == 0, stderr
    report = read(model / "diagnosis.json")
    (cell,) = report["stacks"]["network"]["cells"]
    assert report["rows"] == 2 and cell["trained"]["gradient"]["rows"] == [2] * 23
    code, _, stderr = here("diagnose", model, "--rows", "3")
    assert code == 0, stderr
    assert read(model / "diagnosis.json")["stacks"]["network"]["cells"][0]["trained"]["gradient"]["rows"] == [3] * 11


def test_a_probe_of_a_cell_of_a_plugin(here: Here, tmp_path: Path) -> None:
    small = ["--data.shortest", "4", "--data.longest", "9", "--model.hidden_size", "7", "--trainer.max_steps", "3"]
    sizes = ["--data.train_size", "90", "--data.val_size", "20", "--data.test_size", "9", "--data.batch_tokens", "200"]
    flags = [*small, *sizes, "--trainer.val_check_interval", "3", "--trainer.accelerator", "cpu"]
    code, _, stderr = here(
        "fit", "--recipe", "recall", "--run", tmp_path / "run", "--model.cell", "mogrifier-lstm", *flags
    )
    assert code == 0, stderr
    code, stdout, stderr = here("diagnose", tmp_path / "run", "--split", "test", "--rows", "40")
    assert code == 0, stderr
    report = read(tmp_path / "run" / "diagnosis.json")
    assert (report["split"], report["rows"]) == ("test", 9) and "seqlab-mogrifier" in report["versions"]
    assert "\nnetwork, layer 1 (mogrifier-lstm)  trained " in stdout


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        ([], "what? Give runs, a comparison, or --cell NAME[,NAME...] (see seqlab diagnose -h)"),
        (["RUN", "--cell", "gru"], "RUN and --cell: give a run or cells, not both"),
        (["--cell", "gru,lstn"], "no cell named 'lstn'; did you mean 'lstm'?"),
        (["--cell", ","], "argument --cell/--cells: ',' names no cell"),
        (["--cells", "gru,elman,gru"], "--cell names gru twice"),
        (["--cell", "gru", "--steps", "1"], "--steps 1: from a single step there is no way back; take two or more"),
        (["RUN", "--row", "5"], "unrecognized arguments: --row 5; did you mean '--rows'? (see seqlab diagnose -h)"),
        (["RUN", "RUN"], "RUN is there twice: leave one of them out"),
        (["RUN", "nowhere"], "nowhere is not a run (no config.yaml)"),
        (["RUN", "."], ". is neither a run (no config.yaml) nor a comparison (no comparison.yaml)"),
        (["RUN", "--out", "x"], "--out is for cells (--cell) and for several runs; leave it out"),
        (["--cell", "gru:rest=before"], "cell 'gru' of seqlab"),
        (["--cell", "gru", "--split", "val"], "--split is for a run; leave it out"),
        (
            ["--cell", "gru", "--data.window", "3"],
            "--data.window is a setting of a run; leave it out",
        ),
        (["--cell", "gru", "--steps", "0"], "--steps must be between 1 and 10,000, not 0"),
        (["--cell", "gru", "--rows", "-1"], "--rows must be between 1 and 4,096, not -1"),
        (["--cell", "gru", "--hidden_size", "5000"], "--hidden_size must be between 1 and 4,096, not 5000"),
        (["--cell", "gru", "--seed", "-1"], "--seed must be between 0 and 4,294,967,295, not -1"),
        (["RUN", "--steps", "3"], "--steps is for cells (--cell); leave it out"),
        (["RUN", "--rows", "0"], "--rows must be between 1 and 4,096, not 0"),
        (["RUN", "--split", "valid"], "argument --split: invalid choice: 'valid'"),
        (
            ["RUN", "--split", "test"],
            "there is no test corpus: give one with --data.test NAME, or take another --split",
        ),
        (["RUN", "--data.windou", "3"], "no setting named data.windou; did you mean 'data.window'?"),
        (["RUN", "--windou", "3"], "no setting named windou"),
        (["RUN", "--data.window", "0"], "data.window must be between 1 and"),
        (["nowhere"], "nowhere is not a run (no config.yaml)"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    argv: list[str], problem: str, model: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = here("diagnose", *("model" if part == "RUN" else part for part in argv))
    assert (code, stdout) == (2, ""), stderr
    assert stderr.splitlines()[-1].startswith(f"seqlab diagnose: error: {problem.replace('RUN', 'model')}"), stderr
    assert not (tmp_path / "diagnosis").exists() and not (model / "diagnosis.json").exists()


def test_a_run_without_a_checkpoint(here: Here, model: Path) -> None:
    shutil.rmtree(model / "checkpoints")
    code, _, stderr = here("diagnose", model)
    assert code == 2 and stderr.startswith(f"seqlab diagnose: error: {model} has no checkpoint yet")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("file", "{out} {path}: {path} is no folder"),
        ("file/in", "{out} {path}: {parent} is no folder"),
        ("full", "{out} {path} holds something else than a diagnosis, such as notes.txt; take another folder"),
    ],
)
def test_where_cells_cannot_be_written(here: Here, tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    path = tmp_path / name
    code, _, stderr = here("diagnose", "--cell", "gru", *SMALL, "--out", path)
    told = problem.format(out="--out", path=path, parent=path.parent)
    assert (code, stderr) == (2, f"seqlab diagnose: error: {told}\n")


def test_help_loads_no_torch(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "-h"])
    assert "seqlab diagnose --cell NAME[,NAME...]" in capfd.readouterr().out


def test_what_stands_in_its_place_is_told_before_anything_is_measured(
    here: Here, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqlab.diagnosis.several.diagnose_run", lambda *a: pytest.fail("measured"))
    (model / "diagnosis").touch()
    assert here("diagnose", model) == (
        2,
        "",
        f"seqlab diagnose: error: {model / 'diagnosis'} is a file, where a diagnosis is to be written; move it away\n",
    )
    (model / "diagnosis").unlink()
    (model / "diagnosis.json").mkdir()
    code, _, stderr = here("diagnose", model)
    assert code == 2 and "diagnosis.json is a folder, where a diagnosis is to be written" in stderr
    assert not (model / "diagnosis").exists()
