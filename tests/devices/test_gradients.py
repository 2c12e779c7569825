"""Gradients and weights of two devices are those of one device with the same global batch, in float64."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.config import parse
from seqlab.data.batches import Plan, PlannedBatches

LR, MOMENTUM, STEPS = 0.5, 0.9, 3
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": LR, "momentum": MOMENTUM, "weight_decay": 0}}
CONSTANT = {"class_path": "Constant", "init_args": {"warmup": 0}}
TRAINING = [
    *("--trainer.precision", "64-true", "--trainer.gradient_clip_val", "null", "--trainer.max_steps", str(STEPS)),
    *("--trainer.val_check_interval", "1", "--model.optimizer", json.dumps(SGD)),
    *("--model.schedule", json.dumps(CONSTANT)),
]
KINDS = {
    "translation": ["--recipe", "translation", "--model.dropout", "0", "--model.label_smoothing", "0.1"],
    "streams": ["--data.random_window", "true"],
    "documents": ["--data.stateful", "false", "--data.batch_tokens", "30"],
}


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, in proportion to the largest value."""
    assert found.dtype == expected.dtype == torch.float64 and found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def on_one_device(data: Any, kind: str, seen: list[list[dict[str, Any]]], accumulate: int) -> list[list[Any]]:
    """For each step the batches of a single device: all of its examples as one, or windows of all streams."""
    if kind == "streams":
        data.streams *= len(seen[0])
        windows = list(data.train_dataloader())
        return [windows[step * accumulate : (step + 1) * accumulate] for step in range(len(seen))]
    steps, examples = [], data._examples("train")
    for ranks in seen:
        index_B = np.array([number for rank in ranks for batch in rank["batches"] for number in batch])
        assert len(set(index_B)) == len(index_B)
        tokens = int(examples.target_lengths_N[index_B].sum())
        steps.append(list(PlannedBatches(examples, Plan([index_B], [tokens]))))
    return steps


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("kind", KINDS)
def test_two_devices_train_as_one_with_the_same_global_batch(
    fit: Callable, tiny: list[str], language: list[str], kind: str, accumulate: int
) -> None:
    flags = [*(tiny if kind == "translation" else language), *KINDS[kind], *TRAINING]
    done = fit("two", *flags, "--trainer.accumulate_grad_batches", accumulate, devices=2)
    assert done.code == 0, done.err
    seen, last = done.steps(2), done.checkpoint()
    assert [len(rank["batches"]) for ranks in seen for rank in ranks] == [accumulate] * 2 * STEPS

    settings = parse(done.run / "config.yaml", [], prog="test")
    data = settings.make_data()
    data.load_state_dict({**last[type(data).__qualname__], "position": {"epoch": 0, "taken": 0}})
    task = settings.make_task(data).double().train()
    task.load_state_dict(torch.load(done.folder / "start.pt"))
    optimizer = torch.optim.SGD(task.parameters(), lr=LR, momentum=MOMENTUM)
    largest = 0.0
    for batches, ranks in zip(on_one_device(data, kind, seen, accumulate), seen, strict=True):
        optimizer.zero_grad()
        loss = sum(task.loss(batch) for batch in batches) / sum(batch.tokens for batch in batches)
        loss.backward()
        for name, parameter in task.named_parameters():
            assert all(torch.equal(rank["gradients"][name], ranks[0]["gradients"][name]) for rank in ranks)
            largest = max(largest, difference(ranks[0]["gradients"][name], parameter.grad))
        if kind == "streams":  # a window's rate goes by its length, that of the last of a step
            optimizer.param_groups[0]["lr"] = LR * batches[-1].scale
        optimizer.step()
    weights = max(difference(last["state_dict"][name], value.detach()) for name, value in task.named_parameters())
    print(f"{kind}, {accumulate} accumulated: gradients {largest:.1e}, weights {weights:.1e}")
    assert largest < 1e-12 and weights < 1e-12
