"""What was diagnosed of runs, within their reports."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from seqlab.diagnosis.reports import FOLDER, REPORT, write
from seqlab.diagnosis.subjects import diagnose_cells
from seqlab.diagnosis.table import rows_of
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
    table, _, pictures, missing = cells_diagnosis({"elman": run, "gru": other, "lstm": alone})
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
    table, _, missing, pictures, _ = cells_diagnosis({"elman": diagnosed[0], "gru": run})
    assert len(table.rows) == 1 and len(pictures.pictures) == 2  # the others are still shown
    assert isinstance(missing, Missing)


def test_what_a_diagnosis_was_made_with_is_told(diagnosed: tuple[Run, list[tuple[str, ...]]], tmp_path: Path) -> None:
    run, content = Run(tmp_path / "run"), json.loads((diagnosed[0].path / REPORT).read_text())
    run.path.mkdir()
    head = {"checkpoint": {"file": "best.ckpt", "step": 1200}, "split": "val", "rows": 7}
    (run.path / REPORT).write_text(json.dumps(content | head))
    _, notes, _ = run_diagnosis(run)
    assert isinstance(notes, Notes) and notes.lines[0] == "measured with best.ckpt of step 1,200, on 7 rows of val"
