"""What the report of a run says."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from seqlab.errors import UserError
from seqlab.reporting.page import Block, Code, Missing, Page, Pictures, Samples, Table
from seqlab.reporting.run import run_page
from seqlab.reporting.samples import spread
from seqlab.runs import Run

from .made import SCRIPT, SHA, SOURCES, make_run
from .parsed import Parsed


def blocks(page: Page, title: str) -> list[Any]:
    """What stands under a heading; nothing if there is none."""
    return [block for section in page.sections if section.title == title for block in section.blocks]


def of_kind(found: list[Block], kind: type) -> list[Any]:
    return [block for block in found if isinstance(block, kind)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return run_page(Run(make_run(tmp_path_factory.mktemp("run") / "made")))


def test_scores_with_intervals_and_signatures(page: Page) -> None:
    assert page.summary == "Translation with lstm: bleu 30.50 ± 1.25 on test."
    test, notes, val = blocks(page, "Scores")
    assert test.rows == [["test/bleu", "30.50 ± 1.25", "nrefs:1|tok:13a"]]
    assert test.caption == "Scores on test, beam 5, min length 3" and "bs:1000|unit:sentence" in notes.lines[0]
    assert val.rows == [["val/bleu", "31.50", ""]]


def test_what_the_fit_measured(page: Page) -> None:
    (table,) = blocks(page, "Training")
    rows = dict(table.rows)
    assert rows["parameters"] == "12,345" and rows["time, validations included"] == "61 s"
    assert rows["engines of encoder"] == "native, plain" and "peak memory" not in rows
    (pictures,) = blocks(page, "Learning curves")
    assert [picture.caption.partition(" ")[0] for picture in pictures.pictures] == ["train/loss", "val/bleu"]
    assert pictures.pictures[0].alt.endswith("made ends at 5.50.")


@pytest.mark.parametrize(
    "task, more, told",
    [
        ("seqlab.tasks.SequenceProbe", {}, "answers"),
        ("seqlab.tasks.Translation", {}, "target tokens"),
        ("seqlab.tasks.language_model.LanguageModel", {}, "tokens"),
        ("own.Task", {}, "the task's units"),
        ("own.Task", {"unit": "words"}, "words"),
        ("5", {}, "the task's units"),
    ],
)
def test_speed_is_in_the_unit_of_the_task(tmp_path: Path, task: str, more: dict[str, Any], told: str) -> None:
    (tmp_path / "config.yaml").write_text(f"task: {task}\n")
    (tmp_path / "summary.json").write_text(json.dumps({"tokens_per_second": 782.3, **more}))
    (table,) = blocks(run_page(Run(tmp_path)), "Training")
    assert table.rows == [[f"{told} per second", "782"]]


def test_data_that_no_flag_is_known_of(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run"))
    records = json.loads(run.scores.read_text())
    records["keys"] = {**records["test"], "data": {**records["test"]["data"], "sha256": "7"}}
    run.scores.write_text(json.dumps(records))
    commands, missing, *_ = blocks(run_page(run), "How to reproduce")
    assert len(commands.text.splitlines()) == 3 and commands.text.endswith("--name keys")
    assert missing == Missing("The data of keys are not those of config.yaml, and its record does not tell the flags")


def test_samples_and_origin(page: Page) -> None:
    (samples,) = blocks(page, "Sample outputs")
    assert isinstance(samples, Samples)
    assert samples.groups[1] == [
        ("source", SOURCES[1]),
        ("reference", f"{SOURCES[1]}!"),
        ("translation", f"lstm: {SOURCES[1]}"),
    ]
    (code,) = blocks(page, "Configuration")
    assert json.loads(code.text)["model"] == {"cell": "lstm", "dropout": 0.25}
    commands, _, data, checkpoints = blocks(page, "How to reproduce")
    fit, evaluate = commands.text.splitlines()
    assert fit.startswith("seqlab fit --recipe ") and fit.endswith("made-again")
    given = shlex.split(evaluate)
    assert given[:2] == ["seqlab", "evaluate"] and given[3:] == ["--data.test", SCRIPT, "--min_length", "3"]
    assert data.rows[0][2] == SHA and checkpoints.rows[0][2] == SHA[::-1]


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    """There is a configuration and nothing else: what is missing is told with what makes it."""
    (tmp_path / "config.yaml").write_text("task: seqlab.tasks.Translation\nmodel: {encoder_cell: gru, cell: lstm}\n")
    page = run_page(Run(tmp_path))
    assert page.summary == "Translation with encoder gru, decoder lstm: not scored yet."
    missing = [block for section in page.sections for block in section.blocks if isinstance(block, Missing)]
    commands = [block.command[1] for block in missing if block.command]
    assert commands == ["evaluate", "fit", "evaluate"] and len(missing) == 6
    assert not Parsed(page.html()).wrong


def test_a_log_that_cannot_be_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "logs" / "metrics.csv").write_text("step,train/loss\nfive,1.0\n")
    (missing,) = blocks(run_page(Run(run)), "Learning curves")
    assert isinstance(missing, Missing) and "metrics.csv cannot be drawn" in missing.text


@pytest.mark.parametrize(
    "name, content, line",
    [
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", "[1]", "summary.json is not what a fit writes"),
        ("scores.json", '{"test": 5}', "scores.json is not what evaluate writes"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: str, line: str) -> None:
    run = make_run(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(UserError, match=line):
        run_page(Run(run))


def test_numbers_spread_evenly() -> None:
    for count in (0, 1, 5, 6, 7, 13, 500):
        found = spread(count, 6)
        gaps = {b - a for a, b in pairwise([*found, count])}
        assert len(found) == min(count, 6) and found[:1] in ([], [0]) and gaps <= {count // 6, count // 6 + 1}


# --------------------------------------------------------------------------------------------------- of a real model


def test_attention_and_examples(copied: Path) -> None:
    """Of a run that was trained, and not evaluated: its sentences are those of the test split."""
    page = run_page(Run(copied))
    (examples,) = blocks(page, "Sample outputs")
    assert isinstance(examples, Code) and examples.text.startswith("source       The ")
    (maps,) = of_kind(blocks(page, "Attention"), Pictures)
    assert len(maps.pictures) == 3 and "the source “The " in maps.pictures[0].alt
    assert run_page(Run(copied)).html() == page.html()
    without = run_page(Run(copied), model=False)
    assert not blocks(without, "Attention")
    (missing,) = blocks(without, "Sample outputs")
    assert missing.command[:2] == ("seqlab", "report")


def test_a_damaged_checkpoint_loses_only_what_needs_it(copied: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").write_bytes(b"no checkpoint")
    page = run_page(Run(run))
    assert isinstance(blocks(page, "Scores")[0], Table) and of_kind(blocks(page, "Sample outputs"), Samples)
    (missing,) = blocks(page, "Attention")
    assert "Left out, since the model cannot be used" in missing.text and "best.ckpt" in missing.text


@pytest.mark.parametrize(
    "file, content, line",
    [
        ("summary.json", '{"parameters": "many"}', "parameters is not as expected"),
        ("summary.json", '{"scores": {"val/x": "a"}}', "scores.val/x is not as expected"),
        ("summary.json", '{"engines": []}', "engines is no mapping"),
        ("summary.json", '{"steps": 1%s}' % ("0" * 400), "steps is not as expected"),
        ("summary.json", '{"engines": {"encoder": 3}}', "engines.encoder is no list"),
        ("summary.json", "[" * 100_000, "cannot be read"),
        ("scores.json", '{"test": {"scores": []}}', "test.scores is no mapping"),
        ("scores.json", '{"test": {"scores": {"a": {"value": "x"}}}}', "test.scores.a.value is not as expected"),
        ("scores.json", '{"test": {"scores": {"a": {"value": 1, "interval": {}}}}}', "interval has no half_width"),
        ("scores.json", '{"test": {"scores": {}, "decoding": []}}', "test.decoding is not as expected"),
        ("scores.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, file: str, content: str, line: str) -> None:
    run = Run(make_run(tmp_path / "run"))
    (run.path / file).write_text(content)
    with pytest.raises(UserError, match=rf"{file} .*{line}.*: move it away"):
        run_page(run)


def test_odd_logs_and_scores_do_no_harm(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "$\\frac$"))
    assert len(blocks(run_page(run), "Learning curves")[0].pictures) == 2
    run.metrics.write_text("step,train/loss\n1e400,2\n")
    run.scores.write_text('{"test": {"scores": {}, "checkpoint": {"sha256": null}}}')
    run.summary.write_text('{"best_step": null, "engines": {"encoder": []}}')
    page = run_page(run)
    (missing,) = blocks(page, "Learning curves")
    assert isinstance(missing, Missing) and missing.text.startswith("metrics.csv cannot be drawn: ")
    assert not Parsed(page.html()).wrong
