"""Several reports as one."""

from pathlib import Path
from typing import Any

import pytest

from seqlab.diagnosis.panels import by_layer, panels_of
from seqlab.diagnosis.reports import write
from seqlab.diagnosis.several import Diagnosis, combine, names_of, short_names
from seqlab.diagnosis.subjects import diagnose_cells
from seqlab.diagnosis.table import notes_of, rows_of


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What is measured of one cell."""
    report = diagnose_cells(["lstm"], hidden_size=3, steps=5, rows=2, seed=1)
    return report["stacks"][""]["cells"][0]["untrained"]


def report(run: str, measured: Any, cell: str = "gru", note: str = "", **stacks: list[str]) -> dict[str, Any]:
    """A report of a run with the layers of these names."""
    return {
        **{"run": run, "task": "T", "split": "val", "rows": 4, "untrained": "seed 1", "versions": {run: "1"}},
        "checkpoint": {"file": "best.ckpt", "step": 3},
        "stacks": {
            stack: {
                "note": note,
                "cells": [{"name": name, "cell": cell, "trained": measured, "untrained": "u"} for name in names],
            }
            for stack, names in stacks.items()
        },
    }


def diagnoses(reports: list[dict[str, Any]], data: str = "") -> list[Diagnosis]:
    """Of the same data, or of that of which each letter is one."""
    return [Diagnosis(each, sha256) for each, sha256 in zip(reports, data or "x" * len(reports), strict=True)]


def test_layers_of_the_same_name_stand_together() -> None:
    one = report("a", 1, encoder=["layer 1 forward", "layer 1 backward"], decoder=["layer 1"])
    two = report("b", 2, "lstm", decoder=["layer 1", "layer 2"])
    found = combine(diagnoses([one, two]))
    assert [run["name"] for run in found["runs"]] == ["gru", "lstm"]
    assert found["runs"][1] == {
        **{"name": "lstm", "run": "b", "task": "T", "split": "val", "rows": 4, "sha256": "x"},
        "checkpoint": {"file": "best.ckpt", "step": 3},
    }
    rows = [
        (stack, cell["name"], cell["run"], cell["cell"], cell["trained"])
        for stack, each in found["stacks"].items()
        for cell in each["cells"]
    ]
    assert rows == [
        ("encoder", "layer 1 forward", "gru", "gru", 1),
        ("encoder", "layer 1 backward", "gru", "gru", 1),
        ("decoder", "layer 1", "gru", "gru", 1),
        ("decoder", "layer 1", "lstm", "lstm", 2),
        ("decoder", "layer 2", "lstm", "lstm", 2),
    ]
    assert "untrained" not in found["stacks"]["encoder"]["cells"][0]
    assert {"a": "1", "b": "1"}.items() <= found["versions"].items()


def test_notes_are_told_once_where_they_are_the_same() -> None:
    plain, noted = (report("a", 1, note=note, decoder=["layer 1"]) for note in ("", "runs in steps"))
    for reports, told in (
        ([plain, plain], []),
        ([noted, noted], ["decoder: runs in steps"]),
        ([plain, noted], ["decoder: two: runs in steps"]),
    ):
        assert notes_of(combine(diagnoses(reports), ["one", "two"])) == told
    found = combine(diagnoses([plain] * 3, "xyx"), ["one", "two", "three"])
    assert notes_of(found) == ["measured on other data than one: two"]


def test_runs_are_told_apart_by_cells_or_by_their_directories(tmp_path: Path) -> None:
    one = report("a/x", 1, encoder=["layer 1"])
    assert names_of([one, report("b/x", 1, "lstm", encoder=["layer 1"])]) == ["gru", "lstm"]
    assert names_of([one, report("b/y", 1, encoder=["layer 1"])]) == ["x", "y"]
    assert names_of([one, report("b/x", 1, encoder=["layer 1"])]) == ["a/x", "b/x"]
    one["stacks"]["decoder"] = {"cells": [{"cell": "lstm"}, {"cell": "gru"}]}
    assert names_of([one, report("b/x", 1, encoder=["layer 1"])]) == ["gru, lstm", "gru"]
    assert short_names([tmp_path / "a" / "seed-1" / "..", tmp_path / "b"]) == ["a", "b"]
    assert short_names([Path("/x/a/s"), Path("/y/a/s"), Path("/y/b/s")]) == ["x/a/s", "y/a/s", "y/b/s"]


def test_a_row_for_each_run_below_its_layer(measured: dict[str, Any]) -> None:
    one = report("a", measured, encoder=["layer 1"], decoder=["layer 1"])
    head, *rows = rows_of(combine(diagnoses([one, one]), ["one", "two"]))
    assert [row[0] for row in rows] == ["encoder, layer 1", "  one", "  two", "decoder, layer 1", "  one", "  two"]
    assert {len(row) for row in rows} == {len(head)} and rows[1][1:] == rows[2][1:] and rows[1][1] != rows[0][1] == ""


def test_a_run_looks_the_same_in_all_panels(measured: dict[str, Any]) -> None:
    one = report("a", measured, encoder=["layer 1"], decoder=["layer 1"])
    two = report("b", measured, decoder=["layer 1"])
    panels = by_layer(combine(diagnoses([one, two, one]), ["one", "two", "three"]))
    assert [panel.title for panel in panels] == ["encoder, layer 1", "decoder, layer 1"]
    labels = [[series.label for series in panel.series] for panel in panels]
    assert labels == [["one", "three"], ["one", "two", "three"]]
    looks = [{series.label: (series.colour, series.style) for series in panel.series} for panel in panels]
    assert looks[0].items() <= looks[1].items() and len(set(looks[1].values())) == 3


def test_many_runs_are_told_apart(measured: dict[str, Any]) -> None:
    reports = [report(f"{number}", measured, decoder=["layer 1"]) for number in range(20)]
    (panel,) = by_layer(combine(diagnoses(reports)))
    assert len({(series.colour, series.style) for series in panel.series}) == 20


def test_gates_and_states_of_many_layers_are_not_drawn(
    measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an old picture of them goes."""
    monkeypatch.setattr("seqlab.diagnosis.pictures.MOST_PANELS", 3)
    for runs, count in ((2, 4), (3, 4), (4, 2)):
        reports = [report(f"{number}", measured, decoder=["layer 1"]) for number in range(runs)]
        found = combine(diagnoses(reports))
        assert len(panels_of(found)) == runs
        paths = write(found, tmp_path / "diagnosis.json", tmp_path, "several $ runs")
        assert sorted(tmp_path.iterdir()) == sorted(paths) and len(paths) == 1 + count
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:])
