"""The task of the probes: its loss and outputs against a loop over steps, and a fit of each recipe."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqlab.data.probes import AddingProblem, Brackets, DelayedRecall, Probe
from seqlab.data.probes.base import NOTHING
from seqlab.metrics import AnswerAccuracy, MeanSquaredError, SequenceAccuracy
from seqlab.tasks import SequenceProbe

SMALL = {"train_size": 40, "val_size": 7, "test_size": 5}


def task_of(probe: Probe, **metrics) -> SequenceProbe:
    torch.manual_seed(0)
    task = SequenceProbe(
        probe.input_size, probe.classes, "rrnn", hidden_size=5, layers=2, metrics=metrics, optimizer=torch.optim.SGD
    )
    return task.double().eval()


@torch.no_grad()
def answers(task: SequenceProbe, probe: Probe, number: int) -> list[tuple[torch.Tensor, float]]:
    """What one sequence, alone and without padding, is answered at each step that is asked of, and what is right."""
    drawn = probe.encoded("train")
    length = drawn.source_lengths_N[number]
    inputs = torch.from_numpy(drawn.inputs[number, :length])
    if inputs.ndim == 1:
        inputs = functional.one_hot(inputs, probe.input_size)
    outputs, _ = task.network.layers(inputs.double()[:, None])
    given = task.network.output(outputs[:, 0]).float()
    targets = drawn.targets_NT[number, :length].tolist()
    return [(given[step], target) for step, target in enumerate(targets) if target != NOTHING]


@pytest.mark.parametrize("probe", [DelayedRecall(3, 2, 6, **SMALL), Brackets(3, 2, 5, **SMALL)])
def test_symbols(probe: Probe) -> None:
    task, index_B = task_of(probe), np.array([5, 3, 11, 12, 13])
    batch = probe.encoded("train").batch(index_B, 1)
    expected = [answers(task, probe, number) for number in index_B]
    nll = [-given.log_softmax(0)[int(target)] for each in expected for given, target in each]
    torch.testing.assert_close(task.loss(batch).detach(), torch.stack(nll).sum())
    outputs = task.outputs(batch, {"tokens", "text"}, fitting=False)
    torch.testing.assert_close(outputs["tokens"]["nll"].detach(), torch.stack(nll))
    likeliest = [[int(given.argmax()) for given, _ in each] for each in expected]
    assert outputs["text"]["hypotheses"] == [" ".join(map(str, each)) for each in likeliest]
    assert outputs["text"]["references"] == [[" ".join(str(int(target)) for _, target in each)] for each in expected]
    right = [
        guess == target
        for guesses, each in zip(likeliest, expected, strict=True)
        for guess, (_, target) in zip(guesses, each, strict=True)
    ]
    assert outputs["tokens"]["hits"].tolist() == right
    assert task.example_of_tokens(batch).tolist() == [row for row, each in enumerate(expected) for _ in each]


def test_numbers() -> None:
    probe = AddingProblem(7, **SMALL)
    task, index_B = task_of(probe, mse=MeanSquaredError()), np.array([5, 3, 11])
    batch = probe.encoded("train").batch(index_B, 1)
    pairs = [pair for number in index_B for pair in answers(task, probe, number)]
    squares = [float((given[0] - target) ** 2) for given, target in pairs]
    assert task.loss(batch).item() == pytest.approx(sum(squares))
    task.update_metrics(batch)
    assert float(task.compute_metrics()["mse"]) == pytest.approx(sum(squares) / 3)


def test_metrics_take_the_outputs() -> None:
    probe = DelayedRecall(3, 2, 6, **SMALL)
    task = task_of(probe, accuracy=AnswerAccuracy(), sequence_accuracy=SequenceAccuracy())
    task.update_metrics(probe.encoded("val").batch(np.arange(7), 1))
    scores = task.compute_metrics()
    assert scores["accuracy"] == scores["sequence_accuracy"]  # one answer a sequence


@pytest.mark.parametrize("recipe", ["adding", "brackets", "copying", "recall"])
def test_a_recipe(here: Callable, tmp_path: Path, recipe: str) -> None:
    sizes = [part for name, size in SMALL.items() for part in (f"--data.{name}", str(size))]
    length = ["--trainer.max_steps", "3", "--trainer.val_check_interval", "3", "--trainer.accelerator", "cpu"]
    run = tmp_path / "my run"
    flags = ["--run", run, *sizes, *length, "--data.batch_tokens", "200"]
    code, stdout, stderr = here("fit", "--recipe", recipe, *flags)
    assert code == 0 and "answered" in stdout + stderr, stderr
    assert stdout.endswith(f"  seqlab evaluate '{run}'\n")  # quoted, to be copied
    code, stdout, stderr = here("evaluate", run, "--bootstrap", "10")
    assert code == 0 and "sequence" in stdout, stderr
    (record,) = json.loads((run / "scores.json").read_text()).values()
    signatures = {name: score["signature"] for name, score in record["scores"].items()}
    expected = {"mse": "per:value"} if recipe == "adding" else {"accuracy": "per:answer"}
    assert signatures.items() >= expected.items() and not any("eos" in each for each in signatures.values())
