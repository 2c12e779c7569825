"""Optimizer steps of real fits, in double precision, against a plain loop that has each step's batches as one."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional

from seqlab.tasks.base import Task
from seqlab.training.settings import TrainingSettings

SIZES = (1, 7, 2, 5, 3, 4, 6, 2)
"""Tokens of each batch; three to a step leave two for the last one."""
RATE = 0.3


class Batch(NamedTuple):
    x_NI: Tensor
    y_N: Tensor
    tokens: int
    step_tokens: int


class Tagger(Task):
    """A matrix and a bias."""

    def __init__(self, fused: bool = False, dtype: torch.dtype = torch.double):
        super().__init__(metrics={}, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=RATE, fused=fused))
        torch.manual_seed(3)
        self.layer = nn.Linear(3, 5, dtype=torch.double).to(dtype)

    def loss(self, batch: Batch) -> Tensor:
        return functional.cross_entropy(self.layer(batch.x_NI), batch.y_N, reduction="sum")

    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> dict[str, Any]:
        return {}


def batches(window: int) -> list[Batch]:
    """Batches of very different sizes, and large errors, each with the tokens of its step of so many batches."""
    torch.manual_seed(7)
    steps = [sum(SIZES[first : first + window]) for first in range(0, len(SIZES), window)]
    return [
        Batch(3 * torch.randn(size, 3, dtype=torch.double), torch.randint(5, (size,)), size, steps[number // window])
        for number, size in enumerate(SIZES)
    ]


def fit(task: Task, data: list[Batch], accumulate: int = 1, **options: Any) -> list[Tensor]:
    """Trains for an epoch; returns the parameters."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        accumulate_grad_batches=accumulate,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False),
        **({"precision": "64-true"} | options),
    )
    trainer.fit(task, *(torch.utils.data.DataLoader(data, batch_size=None) for _ in ("train", "val")))
    assert trainer.global_step == math.ceil(len(data) / accumulate)
    return list(task.parameters())


def plainly(
    data: list[Batch], window: int, change: Callable[[list[Tensor]], list[Tensor]], l1: float = 0, l2: float = 0
) -> list[Tensor]:
    """One step of gradient descent for each window of batches, put together to one, with a changed gradient."""
    weight, bias = (parameter.detach().clone() for parameter in Tagger().parameters())
    for first in range(0, len(data), window):
        x_NI, y_N = (
            torch.cat(parts) for parts in zip(*(batch[:2] for batch in data[first : first + window]), strict=True)
        )
        for parameter in (weight, bias):
            parameter.requires_grad_()
        loss = -torch.log_softmax(x_NI @ weight.T + bias, -1)[torch.arange(len(y_N)), y_N].mean()
        loss = loss + l1 * weight.abs().sum() + l2 / 2 * (weight * weight).sum()
        gradients = change(list(torch.autograd.grad(loss, (weight, bias))))
        weight, bias = (
            (parameter - RATE * gradient).detach()
            for parameter, gradient in zip((weight, bias), gradients, strict=True)
        )
    return [weight, bias]


def assert_close(found: list[Tensor], expected: list[Tensor], **tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other, **({"rtol": 1e-12, "atol": 1e-14} | tolerance))


def norm(gradients: list[Tensor]) -> Tensor:
    return sum((gradient * gradient).sum() for gradient in gradients).sqrt()


def scaled(gradients: list[Tensor], scale: Any) -> list[Tensor]:
    return [gradient * scale for gradient in gradients]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    ("trainer", "change"),
    [
        ({}, lambda gradients: gradients),
        # The small number is torch's.
        (
            {"gradient_clip_val": 0.5},
            lambda gradients: scaled(gradients, (0.5 / (norm(gradients) + 1e-6)).clamp(max=1)),
        ),
        (
            {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"},
            lambda gradients: [gradient.clamp(-0.1, 0.1) for gradient in gradients],
        ),
    ],
    ids=["plain", "norm", "value"],
)
def test_accumulated_batches_are_one_batch(accumulate: int, trainer: dict, change: Callable) -> None:
    data = batches(accumulate)
    found = fit(Tagger(), data, accumulate, **trainer)
    expected = plainly(data, accumulate, change)
    assert_close(found, expected)
    plain = plainly(data, accumulate, lambda gradients: gradients)
    assert not trainer or not torch.allclose(expected[0], plain[0], rtol=1e-3)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("length", [0.02, 30.0])
def test_a_normalized_gradient(accumulate: int, length: float) -> None:
    """It gets its norm whether it was longer or shorter."""
    task, data = Tagger(), batches(accumulate)
    task.train_by(TrainingSettings(normalize_gradient=length))
    expected = plainly(data, accumulate, lambda gradients: scaled(gradients, length / norm(gradients)))
    assert_close(fit(task, data, accumulate), expected)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.2, 0.4)])
def test_penalties_count_once_in_every_step(accumulate: int, l1: float, l2: float) -> None:
    """The bias is left out, and so are they from the loss that is logged."""
    task, data = Tagger(), batches(accumulate)
    task.train_by(TrainingSettings(l1_penalty=l1, l2_penalty=l2))
    logged = []
    task.log = lambda name, value, **options: logged.append((name, float(value)))
    found = fit(task, data, accumulate)
    assert_close(found, plainly(data, accumulate, lambda gradients: gradients, l1, l2))
    first = functional.cross_entropy(Tagger().layer(data[0].x_NI), data[0].y_N).detach()
    assert logged[0] == ("train/loss", pytest.approx(float(first), rel=1e-12))


def test_penalties_of_several_devices() -> None:
    """Two devices with two batches each to a step: what DDP averages is the gradient of the step as one batch."""
    data, settings = batches(4), TrainingSettings(l1_penalty=0.2, l2_penalty=0.4)
    task = Tagger()
    task.train_by(settings)
    task._trainer = SimpleNamespace(accumulate_grad_batches=2, world_size=2)
    task.log = lambda *arguments, **options: None
    for number, batch in enumerate(data[:4]):
        (task.training_step(batch, number) / 2 / 2).backward()  # as Lightning and DDP do
    found = [parameter - RATE * parameter.grad for parameter in task.parameters()]
    assert_close(found, plainly(data[:4], 4, lambda gradients: gradients, 0.2, 0.4))


def test_the_l2_penalty_is_weight_decay_of_sgd() -> None:
    task, decayed, data = Tagger(), Tagger(), batches(1)
    task.train_by(TrainingSettings(l2_penalty=0.7))
    decayed._make_optimizer = lambda parameters: torch.optim.SGD(
        [{"params": [decayed.layer.weight], "weight_decay": 0.7}, {"params": [decayed.layer.bias]}], lr=RATE
    )
    assert_close(fit(task, data), [parameter.detach() for parameter in fit(decayed, data)])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("how", ["normalize", "clip"])
def test_16_bit_gradients_are_changed_without_their_scale(how: str, fused: bool) -> None:
    """They are 256 times too large until the trainer undoes the scale; also for a fused optimizer."""
    task = Tagger(fused, torch.float)
    if how == "normalize":
        task.train_by(TrainingSettings(normalize_gradient=0.5))
    clip = {"gradient_clip_val": 0.5} if how == "clip" else {}
    data = batches(1)
    single = [Batch(batch.x_NI.float(), *batch[1:]) for batch in data]
    found = fit(
        task,
        single,
        precision=None,
        plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", 256.0))],
        **clip,
    )
    length = (lambda value: value) if how == "normalize" else (lambda value: value.clamp(min=0.5))
    expected = plainly(data, 1, lambda gradients: scaled(gradients, 0.5 / length(norm(gradients))))
    assert_close(found, [value.float() for value in expected], rtol=0, atol=5e-3)
    assert not torch.allclose(found[0], Tagger(fused, torch.float).layer.weight, atol=0.1)
