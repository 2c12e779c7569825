"""What was diagnosed of runs, within their reports."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from seqlab.diagnosis.reports import FOLDER, REPORT, write
from seqlab.diagnosis.subjects import diagnose_cells
from seqlab.diagnosis.table import LEGEND, rows_of
from seqlab.reporting.diagnosis import TRAINING, cells_diagnosis, run_diagnosis
from seqlab.reporting.page import Missing, Notes, Pictures, Table
from seqlab.runs import Run


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[tuple[str, ...]]]:
    """A directory with a diagnosis, and its table."""
    run = Run(tmp_path_factory.mktemp("runs") / "seed-1")
    run.path.mkdir()
    report = diagnose_cells(["elman"], hidden_size=5, steps=7, rows=3, seed=1)
    write(report, run.path / REPORT, run.path / FOLDER, "elman")
    return run, rows_of(report)


def test_of_a_run(diagnosed: tuple[Run, list[tuple[str, ...]]]) -> None:
    run, (head, *rows) = diagnosed
    table, notes, pictures = run_diagnosis(run)
    assert isinstance(table, Table) and isinstance(notes, Notes) and isinstance(pictures, Pictures)
    assert tuple(table.head) == head and [tuple(row) for row in table.rows] == rows and len(rows) == 1
    files = [path.read_bytes() for path in (run.path / FOLDER).glob("*.png")]
    embedded = [b64decode(picture.uri.removeprefix("data:image/png;base64,")) for picture in pictures.pictures]
    assert len(files) > 2 and sorted(embedded) == sorted(files)
    assert pictures.pictures[0].caption.startswith("norm of the gradient by the state")


def test_of_cells(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    """One that is diagnosed, one that is not, one that has no model to diagnose."""
    run, rows = diagnosed
    other, alone = Run(tmp_path / "a b"), Run(tmp_path / "gone")
    other.checkpoints.mkdir(parents=True)
    other.last.touch()
    other.summary.touch()
    out = tmp_path / "comparison"
    table, _, pictures, missing = cells_diagnosis({"elman": [run], "gru": [other], "lstm": [alone]}, out)
    assert isinstance(table, Table) and table.rows[0][0] == f"elman: {rows[1][0]}"
    assert isinstance(pictures, Pictures) and len(pictures.pictures) <= 2
    assert pictures.pictures[0].alt.startswith("Chart of a diagnosis, elman, seed-1: norm of the gradient")
    assert isinstance(missing, Missing) and missing.text.endswith("not known of 2 of 3 cells")
    assert missing.command == ("seqlab", "diagnose", out)


def test_what_cannot_be_read(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    """A picture of training alone is shown; what is no picture is left out; a damaged report is told."""
    run = Run(tmp_path / "run")
    (run.path / FOLDER).mkdir(parents=True)
    (run.path / FOLDER / TRAINING).write_bytes((diagnosed[0].path / FOLDER / "gradients.png").read_bytes())
    (run.path / FOLDER / "jacobian.png").write_bytes(b"\x89PNG")
    pictures, missing = run_diagnosis(run)
    assert isinstance(pictures, Pictures) and len(pictures.pictures) == 1
    assert "table" not in pictures.pictures[0].alt  # which has none of its numbers
    assert missing == Missing(f"Left out, since it is damaged: {run.path / FOLDER / 'jacobian.png'}")
    whole = (diagnosed[0].path / REPORT).read_text()
    other = whole.replace('"format":1', '"format":2')
    for content in ('{"stacks": [1]}', "[", "[]", "NaN", "[" * 100_000, '{"format":1,"stacks":[]}', other):
        (run.path / REPORT).write_text(content)
        missing = run_diagnosis(run)[0]
        assert isinstance(missing, Missing) and "diagnosis.json cannot be read" in missing.text, content
    table, _, missing, pictures, _ = cells_diagnosis({"elman": [diagnosed[0]], "gru": [run]}, tmp_path)
    assert len(table.rows) == 1 and len(pictures.pictures) == 2  # the others are still shown
    assert isinstance(missing, Missing)


def test_what_a_diagnosis_was_made_with_is_told(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    run, content = Run(tmp_path / "run"), json.loads((diagnosed[0].path / REPORT).read_text())
    run.path.mkdir()
    head = {"checkpoint": {"file": "best.ckpt", "step": 1200}, "split": "val", "rows": 7}
    (run.path / REPORT).write_text(json.dumps(content | head))
    _, notes = run_diagnosis(run)
    assert isinstance(notes, Notes) and notes.lines[0] == "measured with best.ckpt of step 1,200, 7 rows of val"
    _, notes = cells_diagnosis({"elman": [run]}, tmp_path)
    assert notes.lines[0] == "elman, run: measured with best.ckpt of step 1,200, 7 rows of val"


def with_checkpoint(path: Path) -> Run:
    run = Run(path)
    run.checkpoints.mkdir(parents=True)
    run.last.touch()
    return run


def test_what_was_drawn_while_training_is_no_diagnosis(
    diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path
) -> None:
    """It is shown of a run, with words of its own and the command that measures the rest; of cells it is not."""
    run = with_checkpoint(tmp_path / "run")
    (run.path / FOLDER).mkdir()
    (run.path / FOLDER / TRAINING).write_bytes((diagnosed[0].path / FOLDER / "gradients.png").read_bytes())
    pictures, missing = run_diagnosis(run)
    (picture,) = pictures.pictures
    assert "gradient by the state over steps back from the loss" in picture.caption and "the same" not in picture.alt
    assert missing.text.endswith("the best checkpoint was not diagnosed")
    assert missing.command == ("seqlab", "diagnose", run)
    (missing,) = cells_diagnosis({"gru": [run]}, tmp_path)
    assert missing == Missing("How far gradients reach back in time is not known")  # the run has not ended


def test_another_seed_stands_in(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    best, run = with_checkpoint(tmp_path / "seed-3"), diagnosed[0]
    notes, table, *_, pictures = cells_diagnosis({"elman": [best, Run(tmp_path / "seed-5"), run]}, tmp_path)
    assert notes == Notes(["elman is shown by seed-1: its best, seed-3, has no diagnosis"])
    assert isinstance(table, Table) and pictures.pictures[0].caption.startswith("elman, seed-1: ")


def test_one_command_for_all_cells_that_were_not_diagnosed(tmp_path: Path) -> None:
    """Whichever of their seeds have ended with a model; without any there is none to diagnose."""
    runs = {name: [Run(tmp_path / "gone"), with_checkpoint(tmp_path / name)] for name in ("a", "b", "c")}
    (missing,) = cells_diagnosis(runs, tmp_path)
    assert missing == Missing("How far gradients reach back in time is not known of 3 of 3 cells")
    runs["b"][1].summary.touch()
    (missing,) = cells_diagnosis(runs, tmp_path)
    assert missing.command == ("seqlab", "diagnose", tmp_path)


@pytest.fixture
def together(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> Path:
    """A comparison whose elman stands in one picture with lstm, made of the numbers of a cell on its own."""
    content = json.loads((diagnosed[0].path / REPORT).read_text())
    (cell,) = content["stacks"][""]["cells"]
    head = {"checkpoint": {"file": "best.ckpt", "step": 1200}, "split": "val", "rows": 7}
    runs = [{"name": name, "run": f"x/{name}/seed-1", "sha256": "a", **head} for name in ("lstm", "elman")]
    cells = [{"name": "layer 1", "cell": "elman", "run": run["name"], "trained": cell["untrained"]} for run in runs]
    made = {"format": 1, "runs": runs, "stacks": {"network": {"note": "steps", "cells": cells}}}
    write(made, tmp_path / FOLDER / REPORT, tmp_path / FOLDER, "both")
    return tmp_path


def test_pictures_of_all_cells_come_first(diagnosed: tuple[Run, list[tuple[str, ...]]], together: Path) -> None:
    """And those of a cell that is in none of them last."""
    run = diagnosed[0]
    pictures, notes, table, _, others = cells_diagnosis({"elman": [run], "gru": [run]}, together)
    files = {path.read_bytes() for path in (together / FOLDER).glob("*.png")}
    assert {b64decode(each.uri.removeprefix("data:image/png;base64,")) for each in pictures.pictures} == files
    assert len(files) == 4 and pictures.pictures[0].caption.startswith("lstm, elman: norm of the gradient by the state")
    assert notes.lines == [
        "lstm, seed-1: measured with best.ckpt of step 1,200, 7 rows of val",
        "elman, seed-1: measured with best.ckpt of step 1,200, 7 rows of val",
        "network: steps",
    ]
    assert [row[0] for row in table.rows] == ["elman: elman", "gru: elman"]
    assert {picture.caption.partition(":")[0] for picture in others.pictures} == {"gru, seed-1"}
    _, _, _, legend = cells_diagnosis({"elman": [run]}, together)
    assert isinstance(legend, Notes) and legend.lines == LEGEND.splitlines()


def test_what_all_cells_have_in_common_cannot_be_read(
    diagnosed: tuple[Run, list[tuple[str, ...]]], together: Path
) -> None:
    """Then each is shown on its own; so it is where there are numbers without pictures, or of cells on their own."""
    run, path = diagnosed[0], together / FOLDER / REPORT
    whole = path.read_text()
    for content in ("[", "[]", '{"format":1,"runs":[]}', '{"format":1,"runs":[1]}', whole.replace(":1200", ':"a"')):
        path.write_text(content)
        missing, _, _, pictures = cells_diagnosis({"elman": [run]}, together)
        assert missing == Missing(f"{path} cannot be read; write it again", ("seqlab", "diagnose", together)), content
        assert pictures.pictures[0].caption.startswith("elman, seed-1: ")
    path.write_text((run.path / REPORT).read_text())
    assert len(cells_diagnosis({"elman": [run]}, together)) == 3
    path.write_text(whole)
    (together / FOLDER / "jacobian.png").write_bytes(b"")
    pictures, missing, *_ = cells_diagnosis({"elman": [run]}, together)
    assert len(pictures.pictures) == 3 and missing.text.endswith("jacobian.png")
    for picture in (together / FOLDER).glob("*.png"):
        picture.unlink()
    _, _, pictures = cells_diagnosis({"elman": [run]}, together)
    assert len(pictures.pictures) == 2
