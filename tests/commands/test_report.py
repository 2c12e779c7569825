"""``seqlab report`` as a command, and as the last thing that ``seqlab compare`` does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..reporting.made import make_comparison, make_run
from ..reporting.parsed import Parsed

Here = Callable[..., tuple[int, str, str]]

PLAN = {
    **{"format": 1, "recipe": "translation", "cells": ["lstm"], "seeds": [1], "budget": {}, "parameters": None},
    "flags": [],
    "found": {
        **{"recipe_sha256": "x", "monitor": "val/bleu", "mode": "max", "metrics": ["bleu"], "unit": "target tokens"},
        **{"split": "test", "ends": {"1": []}, "sizes": {"lstm": {}}, "budget": {}},
    },
}


def test_a_run_and_a_comparison(here: Here, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "run"), make_comparison(tmp_path / "out")
    assert here("report", run)[:2] == (0, f"written: {run / 'report.html'}\n")
    assert here("report", out, "--out", tmp_path / "x.HTML") == (0, f"written: {tmp_path / 'x.HTML'}\n", "")
    assert not (out / "report.html").exists()
    assert "Translation with lstm" in (run / "report.html").read_text()
    assert "Welch" in Parsed((tmp_path / "x.HTML").read_text()).texts["p"][0]


def test_of_a_language_model(here: Here, run: Path, tmp_path: Path) -> None:
    """It has no attention; what it writes is the same each time."""
    pages = []
    for name in ("a.html", "b.html"):
        code, _, stderr = here("report", run, "--out", tmp_path / name)
        assert code == 0, stderr
        pages.append((tmp_path / name).read_text())
    page = Parsed(pages[0])
    assert pages[0] == pages[1] and page.texts["pre"][0].startswith("prompt  the odd  dog sees")
    assert "Attention" not in page.texts["h2"] and "Gradients through time" in page.texts["h2"]


def told(here: Here, *argv: str | Path) -> str:
    """The one line that a wrong command is answered with."""
    code, stdout, stderr = here("report", *argv)
    assert code == 2 and not stdout and len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("seqlab report: error: ")
    return stderr.removeprefix("seqlab report: error: ").strip()


def test_bad_input(here: Here, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "run"), make_comparison(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (out / "results.json").write_text('{"format": 1, "cells": []}')
    before = sorted(tmp_path.rglob("*"))
    assert told(here, tmp_path / "rum") == f"{tmp_path / 'rum'} does not exist; did you mean 'run'?"
    assert "is a file: give the directory of a run or a comparison" in told(here, out / "results.json")
    assert "is neither a run (no config.yaml) nor a comparison (no comparison.yaml)" in told(here, tmp_path / "empty")
    assert "results.json is damaged (it has no recipe): seqlab compare --out" in told(here, out)
    (out / "results.json").write_text("<html>")
    assert "holds no results of a comparison (results.json)" in told(here, out)
    assert "is a folder: name a file, such as" in told(here, run, "--out", tmp_path)
    (run / "report.html").mkdir()
    assert told(here, run) == f"{run / 'report.html'} is a folder: move it away, or take --out FILE.html"
    (run / "report.html").rmdir()
    assert "is no name of a page: end it in .html" in told(here, run, "--out", tmp_path / "report.pdf")
    assert f"there is no folder {tmp_path / 'no'}; make it" in told(here, run, "--out", tmp_path / "no" / "report.html")
    assert "the following arguments are required" in told(here)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr("os.access", lambda folder, _: Path(folder) not in (run, tmp_path / "other"))
    (tmp_path / "other").mkdir()
    assert f"cannot write to {run}: Permission denied; take another --out" in told(here, run)
    assert f"cannot write to {tmp_path / 'other'}: Permission" in told(
        here, run, "--out", tmp_path / "other" / "x.html"
    )
    assert here("report", run, "--out", tmp_path / "x.html")[0] == 0


def test_a_full_disk(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    run = make_run(tmp_path / "run")
    monkeypatch.setattr("os.fsync", fail)
    assert told(here, run) == f"No space left on device ({run / 'report.html'})"
    assert not (run / "report.html").exists()


# ---------------------------------------------------------------------------------------------------------- by compare


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """A comparison that has begun, whose next ``seqlab compare`` ends at once with an exit code."""
    out = make_comparison(tmp_path / "out")
    (out / "comparison.yaml").write_text(yaml.safe_dump(PLAN))

    def ends(code: int) -> Path:
        monkeypatch.setattr("seqlab.comparing.comparison.compare", lambda *_, **__: code)
        monkeypatch.setattr("seqlab.commands.compare.check_same", lambda *_: None)
        return out

    return ends


@pytest.mark.parametrize("code, written", [(0, True), (1, True), (130, False)])
def test_compare_ends_with_a_report(here: Here, begun: Callable[[int], Path], code: int, written: bool) -> None:
    """Whether or not all runs finished, but not where it was stopped."""
    out = begun(code)
    found, stdout, _ = here("compare", "--out", out)
    assert found == code and (out / "report.html").is_file() == written
    assert stdout == (f"         {out / 'report.html'}\nwhy:     seqlab diagnose {out}\n" if written else "")


def test_a_report_that_fails_loses_nothing(here: Here, begun: Callable[[int], Path]) -> None:
    out = begun(0)
    results = json.loads((out / "results.json").read_text())
    results.pop("command")
    (out / "results.json").write_text(json.dumps(results))
    code, stdout, stderr = here("compare", "--out", out)
    assert code == 0 and not stdout and not (out / "report.html").exists()
    assert stderr.startswith("the report was not written (") and "has no command" in stderr
    assert stderr.endswith(f"seqlab report {out}\n") and json.loads((out / "results.json").read_text()) == results


def test_compare_without_results_writes_none(here: Here, begun: Callable[[int], Path]) -> None:
    out = begun(0)
    (out / "results.json").unlink()
    assert here("compare", "--out", out)[:2] == (0, "") and not (out / "report.html").exists()
