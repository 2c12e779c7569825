"""Diagnosing in the course of a fit, which must not notice."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqlab.diagnosis import Diagnose
from seqlab.errors import UserError
from seqlab.training.throughput import Throughput

RECIPE = """
task: seqlab.tasks.LanguageModel
data_module: seqlab.data.language_text.LanguageText
data:
  train: {folder}/train.txt
  val: {folder}/val.txt
  tokenizer: {{kind: word, vocab_size: 40}}
  streams: 5
  window: 7
  validation_streams: 3
model:
  cell: lstm
  embedding_size: 12
  hidden_size: 12
  layers: 1
  dropout: 0.3
  weight_drop: 0.2
  metrics: {{perplexity: Perplexity}}
  optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.02}}}}
checkpoint: {{every_n_steps: 4}}
trainer:
  accelerator: cpu
  max_steps: 6
  max_epochs: -1
  num_sanity_val_steps: 0
  val_check_interval: 4
  check_val_every_n_epoch: null
  accumulate_grad_batches: 2
"""
CALLBACK = """
trainer:
  callbacks:
  - class_path: seqlab.diagnosis.Diagnose
    init_args: {{steps: {steps}, rows: 4}}
"""
Here = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (folder / "train.txt").write_text("the dog sees the cat .\nthe cat hears it .\nthe bird sings .\n" * 40)
    (folder / "val.txt").write_text("the bird hears the dog .\nit sings .\n" * 10)
    (folder / "tiny.yaml").write_text(RECIPE.format(folder=folder))
    for name, steps in {"early": [4, 0, 4], "late": [0, 4, 6], "far": [0, 7]}.items():
        (folder / f"{name}.yaml").write_text(CALLBACK.format(steps=steps))
    return folder


def weights(run: Path) -> dict:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {**checkpoint["state_dict"], "carried": checkpoint["carried"][0][1], "step": checkpoint["global_step"]}


def rows(run: Path) -> dict[int, dict]:
    report = json.loads((run / "diagnosis" / "steps.json").read_text("utf-8"))
    assert (report["format"], report["split"], report["rows"]) == (1, "val", 4)
    return {row["step"]: row["stacks"] for row in report["steps"]}


def test_a_fit_is_the_same_with_it_and_a_resume_measures_what_is_left(here: Here, folder: Path) -> None:
    fit = ("fit", "--recipe", folder / "tiny.yaml", "--run")
    assert here(*fit, folder / "without")[0] == 0
    code, _, stderr = here(*fit, folder / "with", "--config", folder / "late.yaml")
    assert code == 0, stderr
    plain, watched = weights(folder / "without"), weights(folder / "with")
    assert plain.keys() == watched.keys() and plain.pop("step") == watched.pop("step") == 6
    for name, value in plain.items():
        assert torch.equal(value, watched[name]), name
    assert (folder / "without" / "logs" / "metrics.csv").read_text().count("\n") == (
        folder / "with" / "logs" / "metrics.csv"
    ).read_text().count("\n")
    found = rows(folder / "with")
    assert list(found) == [0, 4, 6]
    cell = found[4]["network"]["cells"][0]
    assert (cell["name"], cell["cell"], sorted(cell["trained"])) == (
        "layer 1",
        "lstm",
        ["gradient", "jacobian", "saturation", "states"],
    )
    assert found[0] != found[4] != found[6]
    assert (folder / "with" / "diagnosis" / "gradients-training.png").read_bytes().startswith(b"\x89PNG")

    code, _, stderr = here(*fit, folder / "cut", "--config", folder / "early.yaml", "--trainer.max_steps", "4")
    assert code == 0, stderr
    assert list(rows(folder / "cut")) == [0, 4]
    path = folder / "cut" / "diagnosis" / "steps.json"
    report = json.loads(path.read_text("utf-8"))
    report["steps"].append({"step": 6, "stacks": {}})  # as if it had been stopped after its last checkpoint
    path.write_text(json.dumps(report))
    more = ("--resume", "--config", folder / "late.yaml", "--trainer.max_steps", "6")
    code, _, stderr = here("fit", "--run", folder / "cut", *more)
    assert code == 0, stderr
    assert rows(folder / "cut") == found

    code, _, stderr = here("diagnose", folder / "with", "--rows", "4")
    assert code == 0, stderr
    report = json.loads((folder / "with" / "diagnosis.json").read_text("utf-8"))
    (cell,) = report["stacks"]["network"]["cells"]
    assert cell["untrained"] == found[0]["network"]["cells"][0]["trained"]
    assert report["untrained"] == "seed 1"


def test_a_step_that_never_comes_is_refused_and_leaves_nothing(here: Here, folder: Path) -> None:
    fit = ("fit", "--recipe", folder / "tiny.yaml", "--run", folder / "far", "--config", folder / "far.yaml")
    code, _, stderr = here(*fit)
    assert code == 2
    assert stderr.splitlines()[-1] == (
        "seqlab fit: error: Diagnose: step 7 never comes, since trainer.max_steps is 6; leave it out"
    )
    assert not (folder / "far").exists()


@pytest.mark.parametrize("first", [True, False], ids=["before the clocks", "after them"])
def test_its_time_is_none_of_the_training(first: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [0.0]

    def measure(*args: Any) -> dict:
        now[0] += 1000
        raise UserError("nothing to measure here")

    monkeypatch.setattr("seqlab.training.throughput.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("seqlab.diagnosis.callback.batch_of", lambda *args: None)
    monkeypatch.setattr("seqlab.diagnosis.callback.trace_task", measure)
    throughput, diagnose = Throughput(), Diagnose([0, 1, 3])
    callbacks: list[Any] = [diagnose, throughput] if first else [throughput, diagnose]
    trainer: Any = SimpleNamespace(
        callbacks=callbacks,
        datamodule=None,
        default_root_dir=tmp_path,
        global_step=0,
        is_global_zero=True,
        world_size=1,
    )
    task: Any = None
    for callback in callbacks:
        callback.on_train_start(trainer, task)
    for trainer.global_step in (1, 2, 3):
        now[0] += 2
        for callback in callbacks:
            callback.on_train_batch_end(trainer, task, None, SimpleNamespace(tokens=10), 0)
    assert now[0] == 3006
    assert (throughput.tokens, throughput.seconds, throughput.wall, throughput.mean) == (30, 6, 6, 5)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"steps": []}, r"Diagnose: steps names no optimizer step; give some, such as \[0, 100, 1000\]"),
        ({"steps": [3, -1]}, "Diagnose: a step must be between 0 and 1,000,000,000, not -1"),
        ({"steps": [3], "rows": 0}, "Diagnose: rows must be between 1 and 4,096, not 0"),
    ],
)
def test_settings_out_of_range(arguments: dict, problem: str) -> None:
    with pytest.raises(UserError, match=f"^{problem}$"):
        Diagnose(**arguments)
