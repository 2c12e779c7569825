"""What was diagnosed of runs, within their reports."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from seqlab.diagnosis.reports import FOLDER, REPORT, write
from seqlab.diagnosis.subjects import diagnose_cells
from seqlab.diagnosis.table import rows_of
from seqlab.reporting.diagnosis import TRAINING, cells_diagnosis, run_diagnosis
from seqlab.reporting.page import Code, Missing, Notes, Pictures, Table
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
    table, _, pictures, missing = cells_diagnosis({"elman": [run], "gru": [other], "lstm": [alone]})
    assert isinstance(table, Table) and table.rows[0][0] == f"elman: {rows[1][0]}"
    assert isinstance(pictures, Pictures) and len(pictures.pictures) <= 2
    assert pictures.pictures[0].alt.startswith("Chart of a diagnosis, elman, seed-1: norm of the gradient")
    assert isinstance(missing, Missing) and missing.text.endswith("not known of 2 of 3 cells")
    assert missing.command == ("seqlab", "diagnose", other)


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
    table, _, missing, pictures, _ = cells_diagnosis({"elman": [diagnosed[0]], "gru": [run]})
    assert len(table.rows) == 1 and len(pictures.pictures) == 2  # the others are still shown
    assert isinstance(missing, Missing)


def test_what_a_diagnosis_was_made_with_is_told(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    run, content = Run(tmp_path / "run"), json.loads((diagnosed[0].path / REPORT).read_text())
    run.path.mkdir()
    head = {"checkpoint": {"file": "best.ckpt", "step": 1200}, "split": "val", "rows": 7}
    (run.path / REPORT).write_text(json.dumps(content | head))
    _, notes = run_diagnosis(run)
    assert isinstance(notes, Notes) and notes.lines[0] == "measured with best.ckpt of step 1,200, on 7 rows of val"


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
    (missing,) = cells_diagnosis({"gru": [run]})
    assert missing == Missing("How far gradients reach back in time is not known", ("seqlab", "diagnose", run))


def test_another_seed_stands_in(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    best, run = with_checkpoint(tmp_path / "seed-3"), diagnosed[0]
    notes, table, *_, pictures = cells_diagnosis({"elman": [best, Run(tmp_path / "seed-5"), run]})
    assert notes == Notes(["elman is shown by seed-1: its best, seed-3, has no diagnosis"])
    assert isinstance(table, Table) and pictures.pictures[0].caption.startswith("elman, seed-1: ")


def test_a_command_for_each_cell_that_was_not_diagnosed(tmp_path: Path) -> None:
    """Of the best seed that has a model; not more than a few."""
    runs = {str(number): [Run(tmp_path / "gone"), with_checkpoint(tmp_path / f"cell {number}")] for number in range(7)}
    missing, code = cells_diagnosis({name: runs[name] for name in "012"})
    assert missing == Missing("How far gradients reach back in time is not known of 3 of 3 cells")
    assert code == Code("Commands", "\n".join(f"seqlab diagnose '{tmp_path}/cell {number}'" for number in range(3)))
    _, code = cells_diagnosis(runs)
    assert code.label == "The first 6 of 7 commands" and len(code.text.splitlines()) == 6
