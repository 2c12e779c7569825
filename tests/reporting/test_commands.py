"""The commands that give scores again."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqlab.reporting.commands import evaluate_commands, of_other_data
from seqlab.runs import Run

SETTINGS = {
    **{"data.train": "a", "data.val": None, "data.test": "b", "data.test_streams": 3},
    **{"model.search.beam": 7, "model.search.max_length": None, "model.metrics.bleu.init_args.tokenize": "13a"},
}


def record(name: str = "b", split: str = "test", **more: Any) -> dict[str, Any]:
    return {"split": split, "data": {"name": name, "split": split, "sha256": "5"}, "scores": {}, **more}


def signed(**signatures: str) -> dict[str, Any]:
    return {name: {"value": 1.0, "signature": signature} for name, signature in signatures.items()}


ADAPTED = "per:token|streams:1|dynamic:sgd|rate:0.05|decay:0|window:20"


@pytest.mark.parametrize(
    "label, found, flags",
    [
        ("test", record(), ""),
        ("test", record("my test"), "--data.test 'my test'"),
        ("test", record(["a", "c"]), """--data.test '["a", "c"]'"""),
        ("val", record("a", "val"), "--split val"),
        ("mine", record("c", "val"), "--split val --data.val c --name mine"),
        ("test", record(decoding={"beam": 7, "length_penalty": 1.0, "max_length": None}), ""),
        ("wide", record(decoding={"beam": 5, "length_penalty": 0.6}), "--beam 5 --length_penalty 0.6 --name wide"),
        ("test", record(data={"name": "b", "streams": 3}), ""),
        ("test", record(data={"name": "b", "streams": 1}), "--data.test_streams 1"),
        ("test", record(scores=signed(bleu="nrefs:1|case:mixed|tok:13a")), ""),
        ("test", record(scores=signed(bleu="nrefs:1|case:lc|tok:intl")), "--tokenize intl --lowercase"),
        ("test", record(scores=signed(bleu="tok:ja-mecab-0.996-IPA")), "--tokenize ja-mecab"),
        ("test", record(scores=signed(x=ADAPTED)), "--dynamic 0.05 --dynamic_decay 0 --dynamic_window 20"),
        (
            "test",
            record(scores=signed(x="cache:500|theta:0.3|weight:0.1")),
            "--cache 500 --cache_theta 0.3 --cache_weight 0.1",
        ),
        ("test", record(scores={"x": {"value": 1.0, "interval": {"signature": "bs:300|seed:1"}}}), "--bootstrap 300"),
        ("test", record(scores={"x": {"value": 1.0, "interval": {"signature": "bs:1000|seed:1"}}}), ""),
        ("test", {"scores": {}, "data": [1]}, ""),
    ],
)
def test_flags_that_a_record_shows(label: str, found: dict[str, Any], flags: str) -> None:
    (command,) = evaluate_commands("runs/x y", {label: found}, SETTINGS)
    assert shlex.split(command) == ["seqlab", "evaluate", "runs/x y", *shlex.split(flags)]


def test_a_command_for_each_record() -> None:
    assert evaluate_commands("r", {}, SETTINGS) == ["seqlab evaluate r"]
    commands = evaluate_commands("r", {"test": record(), "val": record("a", "val")}, SETTINGS)
    assert commands == ["seqlab evaluate r", "seqlab evaluate r --split val"]


def test_flags_are_those_of_the_command() -> None:
    """All that may be written is understood by evaluate."""
    from seqlab.commands import split_flags
    from seqlab.commands.evaluate import _parser

    scores = signed(bleu="case:lc|tok:intl", x=ADAPTED, y="cache:5|theta:0.3|weight:0.1")
    scores["x"]["interval"] = {"signature": "bs:30"}
    searched = {"beam": 3, "length_penalty": 0.5, "length_normalization": "wu", "coverage_penalty": 0.2}
    searched |= {"no_repeat_ngram_size": 3, "min_length": 1, "max_length": 50}
    found = record("c", "val", scores=scores, decoding=searched)
    (command,) = evaluate_commands("r", {"mine": found}, SETTINGS)
    flags, settings = split_flags(shlex.split(command)[2:])
    given, unknown = _parser().parse_known_intermixed_args(flags)
    assert settings == ["--data.val", "c"] and not unknown
    assert (given.split, given.name, given.beam, given.max_length) == ("val", "mine", 3, 50)
    assert (given.cache, given.dynamic, given.bootstrap, given.lowercase) == (5, 0.05, 30, True)


def test_records_of_other_data_that_have_no_name(tmp_path: Path) -> None:
    """Their number tells, or the checksum of the data as they are made by the configuration."""
    from seqlab.data.probes import DelayedRecall

    made = DelayedRecall(symbols=3, shortest=2, longest=5, train_size=7, val_size=5, test_size=3).describe("test")
    sizes = {"data.symbols": 3, "data.shortest": 2, "data.train_size": 7, "data.val_size": 5, "data.test_size": 3}
    settings = {**sizes, "data.longest": 5}
    run = Run(tmp_path)
    tree = yaml.safe_load((Path(__file__).parents[2] / "recipes" / "recall.yaml").read_text())
    tree["data"] = {name.removeprefix("data."): value for name, value in settings.items()}
    run.config.write_text(yaml.safe_dump(tree))
    same = {"split": "test", "data": made, "scores": {}}
    other = {**same, "data": {**made, "sha256": "7"}}
    more = {**same, "data": {**made, "examples": 4}}
    records = {"test": same, "longer": other, "more": more}
    assert of_other_data(run, records, settings, model=True) == ["longer", "more"]
    assert of_other_data(run, records, settings, model=False) == ["more"]
    run.config.write_text("task: [")
    assert of_other_data(run, records, settings, model=True) == ["more"]


def test_records_of_one_name_and_other_text() -> None:
    records = {"test": record(), "again": record(), "keys": record(data={"name": "b", "sha256": "7"})}
    assert of_other_data(Run("gone"), records, SETTINGS, model=True) == ["keys"]
