"""A small task whose loss can be spoilt, and a trainer that guards it."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from seqlab.tasks.base import Task
from seqlab.training.checkpoints import AtomicCheckpointIO
from seqlab.training.guards import Guard
from seqlab.training.saving import SaveLast

SIZES = (1, 7, 2, 5, 3, 4, 6, 2, 5, 3, 1, 4)
"""Tokens of each batch."""
KINDS = ("nan", "inf", "gradient")


class Batch(NamedTuple):
    x_NI: Tensor
    y_N: Tensor
    tokens: int
    step_tokens: int
    spoilt: str | None


class Tagger(Task):
    """A matrix and a bias, whose loss is spoilt where its batch says so."""

    def __init__(self, optimizer: Any = None, **options: Any):
        super().__init__(metrics={}, optimizer=optimizer or (lambda some: torch.optim.Adam(some, lr=0.1)), **options)
        torch.manual_seed(3)
        self.layer = nn.Linear(3, 5)
        self.told = 0

    def loss(self, batch: Batch) -> Tensor:
        loss = nn.functional.cross_entropy(self.layer(batch.x_NI).float(), batch.y_N, reduction="sum")
        weight = self.layer.weight
        match batch.spoilt:
            case "nan":
                return loss * math.nan
            case "inf":  # with a gradient that is finite
                return loss + math.inf
            case "gradient":  # of a loss that is finite
                return loss + (weight - weight.detach()).abs().sqrt().sum()
        return loss

    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> dict[str, Any]:
        return {}

    def on_step_skipped(self) -> None:
        self.told += 1


def batches(window: int = 1, spoilt: dict[int, str] | None = None, leave_out: bool = False) -> list[Batch]:
    """Batches, some of them spoilt; without the steps of those, if they are to be left out."""
    generator, spoilt = torch.Generator().manual_seed(7), spoilt or {}
    steps = [sum(SIZES[first : first + window]) for first in range(0, len(SIZES), window)]
    made = [
        Batch(
            torch.randn(size, 3, generator=generator),
            torch.randint(5, (size,), generator=generator),
            size,
            steps[number // window],
            None if leave_out else spoilt.get(number),
        )
        for number, size in enumerate(SIZES)
    ]
    gone = {number // window for number in spoilt} if leave_out else set()
    return [batch for number, batch in enumerate(made) if number // window not in gone]


class Watch(Callback):
    """What was logged after each batch."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def fit(
    task: Tagger,
    data: list[Batch],
    guard: Guard,
    *callbacks: Callback,
    accumulate: int = 1,
    resume: Path | None = None,
    **options: Any,
) -> Trainer:
    """Trains for an epoch."""
    trainer = Trainer(
        accelerator="cpu",
        limit_val_batches=0,
        accumulate_grad_batches=accumulate,
        callbacks=[guard, *callbacks],
        enable_checkpointing=any(isinstance(callback, SaveLast) for callback in callbacks),
        plugins=[AtomicCheckpointIO(), *options.pop("plugins", [])],
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
        **({"max_epochs": 1} | options),
    )
    loaders = [torch.utils.data.DataLoader(data, batch_size=None) for _ in ("train", "val")]
    trainer.fit(task, *loaders, ckpt_path=resume, weights_only=True)
    return trainer


def kept(trainer: Trainer) -> Any:
    """Weights, averages and what the optimizer keeps."""
    task: Any = trainer.lightning_module
    states = [trainer.optimizers[0].state_dict(), *(each.state_dict() for each in task.configure_callbacks())]
    return [list(task.state_dict().values()), states]


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict | list | tuple):
        assert len(found) == len(expected)
        keys = expected if isinstance(expected, dict) else range(len(expected))
        for key in keys:
            assert_equal(found[key], expected[key])
    else:
        assert found == expected


def scaled(scale: float) -> dict[str, Any]:
    """16-bit mixed precision that begins with a scale."""
    return {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", scale))]}
