"""What the report of a comparison says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure

from seqlab.comparing.tables import markdown
from seqlab.errors import UserError
from seqlab.reporting.comparison import comparison_page, read_comparison
from seqlab.reporting.page import Missing, Page, Pictures, Samples, Table
from seqlab.reporting.sentences import comparison_sentence

from .made import ODD, SHA, make_comparison, results
from .parsed import Parsed


def blocks(page: Page, title: str) -> list[Any]:
    """What stands under a heading."""
    (section,) = (section for section in page.sections if section.title == title)
    return list(section.blocks)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    return comparison_page(out)


def test_tables_have_the_texts_of_the_other_tables(page: Page) -> None:
    """Those of results.md, with the names of cells in full."""
    parsed = Parsed(page.html())
    lines = [line for line in markdown(results()).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    for row in rows:
        row[0] = row[0] if not row[0].startswith("rrnn") else ODD
    shown = [*parsed.tables["Scores, and how each cell stands to the first"], *parsed.tables["Size and cost"]]
    assert shown == rows and ["31.50 ± 1.50" in row for row in rows].count(True) == 1
    assert parsed.texts["strong"] == ["31.50 ± 1.50"]


def test_runs_and_what_became_of_them(page: Page) -> None:
    (table,) = blocks(page, "Runs")
    assert list(table.head) == ["run", "status", "test/bleu", "steps", "time", "folder"]
    assert table.rows[3] == [f"{ODD}, seed 2", "finished", "32.50", "200", "123 s", "runs/rrnn-note/seed-2"]
    assert table.rows[5] == ["elman, seed 2", "diverged", "-", "-", "-", "runs/elman/seed-2"]
    notes = blocks(page, "Results")[2].lines
    assert any(line.startswith("elman, seed 2: diverged: the loss is nan") for line in notes)


def test_curves_tell_where_they_end(page: Page) -> None:
    (pictures,) = blocks(page, "Learning curves")
    assert isinstance(pictures, Pictures) and len(pictures.pictures) == 4
    alt = pictures.pictures[0].alt
    assert alt.startswith("Line chart of val/bleu over optimizer steps") and "lstm ends at 30.75, " in alt
    assert all(picture.uri.startswith("data:image/svg+xml;base64,") for picture in pictures.pictures)


def test_samples_are_of_the_best_seed_of_each_cell(out: Path, page: Page, tmp_path: Path) -> None:
    (samples,) = blocks(page, "Sample outputs")
    assert isinstance(samples, Samples) and len(samples.groups) == 6
    assert page.summary.endswith("; of 6 runs 1 diverged.")
    other = make_comparison(tmp_path / "other")
    (other / "runs" / "lstm" / "seed-2" / "translations" / "test.hypotheses").write_text("best\n" * 6)
    (other / "runs" / "elman" / "seed-1" / "translations" / "test.sources").write_text("another\n" * 6)
    samples, missing = blocks(comparison_page(other), "Sample outputs")
    assert samples.groups[0][2] == ("lstm", "best") and len(samples.groups[0]) == 4
    assert missing == Missing("elman has translated other sentences")


def test_configuration_and_origin(page: Page) -> None:
    differing, common = blocks(page, "Configuration")
    assert list(differing.head) == ["setting", "lstm", ODD, "elman"]
    assert differing.rows[-1] == ["model.cell", "lstm", ODD, "elman"] and len(differing.rows) == 1
    assert "model.dropout: 0.25\n" in f"{common.text}\n" and "seed:" not in common.text
    commands, versions, data, checkpoints = blocks(page, "How to reproduce")
    assert commands.text.splitlines()[0] == results()["command"] and versions.text.endswith("torch 2.13.0.")
    assert data.rows[0][2] == SHA and data.rows[0][1].endswith("test 1,234 pairs")
    assert checkpoints.rows[0][:2] == ["lstm, seed-2", "best.ckpt, step 100, raw weights"]


def test_what_is_not_there_is_told(out: Path, page: Page, tmp_path: Path) -> None:
    """Of a comparison whose runs were not copied along, and of one that has only begun."""
    (missing,) = blocks(page, "Gradients through time")
    assert missing == Missing("How far gradients reach back in time is not known of 3 of 3 cells")
    (tmp_path / "results.json").write_text((out / "results.json").read_text())
    alone = comparison_page(tmp_path)
    for title in ("Learning curves", "Sample outputs", "Configuration"):
        (missing,) = blocks(alone, title)
        assert isinstance(missing, Missing)
    assert isinstance(blocks(alone, "Results")[0], Table) and not Parsed(alone.html()).wrong


def test_before_any_run_has_ended(tmp_path: Path) -> None:
    """The plan alone: a comparison that has just begun, and wrote no results."""
    found = {"recipe_sha256": "x", "monitor": "val/bleu", "mode": "max", "metrics": ["bleu"], "unit": "target tokens"}
    found |= {"split": "test", "ends": {"1": []}, "sizes": {"gru": {}, "lstm": {}}, "budget": {}}
    plan = {"recipe": "translation", "cells": ["gru", "lstm"], "seeds": [1], "budget": {}, "parameters": None}
    (tmp_path / "comparison.yaml").write_text(yaml.safe_dump({"format": 1, **plan, "flags": [], "found": found}))
    page = comparison_page(tmp_path)
    assert page.summary == "No run has finished: 2 unfinished."
    assert [row[:3] for row in blocks(page, "Runs")[0].rows] == [
        ["gru, seed 1", "unfinished", "-"],
        ["lstm, seed 1", "unfinished", "-"],
    ]
    assert not Parsed(page.html()).wrong


@pytest.mark.parametrize(
    "damage, line",
    [
        (lambda found: found.pop("cells"), "it has no cells"),
        (lambda found: found.update(cells={"lstm": 1}), "cells is no list"),
        (lambda found: found["cells"][1].pop("runs"), r"cells\[1\] has no runs"),
        (lambda found: found["cells"][0]["runs"][1].update(seed="1"), r"cells\[0\].runs\[1\].seed is not as expected"),
        (lambda found: found["cells"][0]["scores"]["test/bleu"].update(mean=None), "test/bleu.mean is not as expected"),
        (lambda found: found.update(metrics=[]), "metrics is empty"),
        (lambda found: found.update(cells=[]), "cells is empty"),
        (lambda found: found.update(mode="best"), "mode is neither max nor min"),
        (lambda found: found.update(split="../x"), "split is not as expected"),
        (lambda found: found["cells"][0]["runs"][1].update(path="/etc"), "the path of lstm, seed 2 is none within it"),
        (lambda found: found["cells"][0]["runs"][1].update(path="a/../../b"), "lstm, seed 2 is none within it"),
        (lambda found: found["cells"][0]["runs"][0].update(path="a\0b"), "lstm, seed 1 is none within it"),
        (lambda found: found["cells"][0]["runs"][1].update(seconds=10**400), "seconds is not as expected"),
    ],
)
def test_damaged_results(tmp_path: Path, damage: Any, line: str) -> None:
    found = results()
    damage(found)
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=f"results.json is damaged .*{line}.*writes it again"):
        read_comparison(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 7}', "[" * 100_000])
def test_foreign_results(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match="results"):
        read_comparison(tmp_path)


# ------------------------------------------------------------------------------------------------------ in a sentence


def told(
    means: dict[str, float | None],
    p_values: dict[str, float | None] | None = None,
    mode: str = "max",
    **others: Any,
) -> str:
    """The sentence of cells with these scores."""
    found = {**results(), **others}
    cell = found["cells"][0]
    found["mode"] = mode
    found["cells"] = [
        {
            **cell,
            "cell": name,
            "runs": [{**cell["runs"][0], "status": "failed" if mean is None else "finished"}],
            "scores": {}
            if mean is None
            else {"test/bleu": {"mean": mean, "half_width": 1.0, "p": (p_values or {}).get(name)}},
        }
        for name, mean in means.items()
    ]
    return comparison_sentence(found)


def test_the_sentence() -> None:
    test = "Welch's t-test over seeds"
    best = "a has the best bleu on test, 31.00 ± 1.00"
    assert told({"a": 31.0, "b": 29.5, "c": 30.0}, {"b": 0.001, "c": 0.04}) == (
        f"{best}; c has 30.00 ± 1.00, and the difference is significant (p = 0.0400, {test})."
    )
    assert told({"b": 29.5, "c": 30.0, "a": 31.0}, {"a": 0.06, "c": 0.2}) == (
        f"{best}; b has 29.50 ± 1.00, and the difference is not significant (p = 0.0600, {test})."
    )
    assert "(p < 0.0001, " in told({"b": 29.5, "a": 31.0}, {"a": 1e-9})
    assert told({"a": 31.0, "b": 30.0}) == f"{best}; b has 30.00 ± 1.00, which is not tested."
    assert told({"a": 31.0, "b": 31.0}) == f"{best}, as has b."
    assert told({"a": 31.0, "b": 31.0, "c": 31.0, "d": 2.0}, {"c": 1.0, "d": 0.01}) == (
        f"{best}, as have b and c; d has 2.00 ± 1.00, and the difference is significant (p = 0.0100, {test})."
    )
    assert told({"d": 2.0, "a": 31.0, "b": 31.0}, {"a": 0.03, "b": 0.02}) == (
        f"{best}, as has b; d has 2.00 ± 1.00, and the difference is significant (p = 0.0300, {test})."
    )
    assert told({"a": 31.0}) == "a reaches bleu 31.00 ± 1.00 on test."
    assert told({"b": 45.0, "a": 31.0}, mode="min").startswith(f"{best}; b has 45.00")
    assert told({"b": None, "a": 31.0, "c": 30.0}) == f"{best}; c has 30.00 ± 1.00; of 3 runs 1 failed."
    nan = float("nan")
    assert told({"b": nan, "a": 31.0, "c": 30.0}, {"a": nan}).startswith(f"{best}; c has 30.00")
    assert told({"b": 30.0, "a": 31.0}, {"a": nan}) == f"{best}; b has 30.00 ± 1.00, which is not tested."
    assert told({"a": None, "b": None}) == "No run has finished: 2 failed."


def test_from_one_seed_nothing_is_said_of_training_again() -> None:
    one = {"seeds": [1], "test": "paired bootstrap on test"}
    best = "a has the best bleu on test, 31.00 ± 1.00, from one seed"
    assert told({"b": 29.5, "a": 31.0}, {"a": 0.001}, **one) == (
        f"{best}; b has 29.50 ± 1.00: other sentences would show the same order "
        "(p = 0.0010, paired bootstrap on test), another seed may not."
    )
    assert told({"b": 29.5, "a": 31.0}, {"a": 0.3}, **one, unit="tokens") == (
        f"{best}; b has 29.50 ± 1.00: other text may show another order "
        "(p = 0.3000, paired bootstrap on test), and so may another seed."
    )
    assert told({"b": 31.0, "a": 31.0}, **one) == "b has the best bleu on test, 31.00 ± 1.00, from one seed, as has a."


def test_no_text_is_missed_where_the_task_has_none(out: Path, tmp_path: Path) -> None:
    found = {**results(), "unit": "answers"}
    (tmp_path / "results.json").write_text(json.dumps(found))
    assert "Sample outputs" not in [section.title for section in comparison_page(tmp_path).sections]
    (tmp_path / "results.json").write_text(json.dumps(results()))
    assert "Sample outputs" in [section.title for section in comparison_page(tmp_path).sections]


def test_gradients_of_another_seed_of_a_cell(tmp_path: Path) -> None:
    """The second seed of each cell is its best; the first is the one that was diagnosed."""
    out = make_comparison(tmp_path)
    folder = out / "runs" / "lstm" / "seed-1" / "diagnosis"
    folder.mkdir()
    Figure().savefig(folder / "gradients.png")
    notes, pictures, _ = blocks(comparison_page(out), "Gradients through time")
    assert notes.lines == ["lstm is shown by seed-1: its best, seed-2, has no diagnosis"]
    assert pictures.pictures[0].caption.startswith("lstm, seed-1: norm of the gradient")
