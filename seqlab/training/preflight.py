"""A step on the largest batch before training, so that too little memory shows in the first minute."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from seqlab.data.loader import TrainingBatches
from seqlab.data.streams import Windows
from seqlab.errors import RankError
from seqlab.training.freezing import trained_parameters
from seqlab.training.guards import Agreed


class TooLarge(Agreed):
    """A training batch and what it takes to train on it do not fit into memory."""


class Preflight(Callback):
    """Computes the gradient of the largest batch of the epoch before training starts, on every device.

    The space of what the optimizer will keep is taken meanwhile. A run is the same with and without it, bit for bit:
    random numbers, gradients, optimizer, buffers and attributes of all modules, and the position in the data are left
    as they were. Devices do not wait for each other within, only after it.

    Data modules with a loader of their own, whose batches are not known beforehand, do without.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        if not isinstance(loader, TrainingBatches) or not len(loader):
            return
        error: Exception | None = None
        try:
            try_step(trainer, pl_module, largest_batch(loader))
        except (RuntimeError, MemoryError) as failure:
            error = failure
        too_large = error is not None and is_out_of_memory(error)
        if trainer.strategy.reduce_boolean_decision(too_large, all=False):
            raise TooLarge(advice(trainer)) from error
        if trainer.strategy.reduce_boolean_decision(error is not None, all=False):
            raise error or RankError(f"rank {trainer.global_rank}: another device cannot take the first step")


def try_step(trainer: Trainer, task: Any, batch: Any) -> None:
    """Computes the gradient of a batch as a step of training does, and leaves no trace.

    Args:
        trainer: The trainer, about to train.
        task: The task, on its device.
        batch: The batch, as the loader gives it.
    """
    strategy, precision = trainer.strategy, trainer.precision_plugin
    with isolate_rng(), untouched(task):
        task.log = lambda *arguments, **options: None
        batch = task._on_before_batch_transfer(precision.convert_input(batch), dataloader_idx=0)
        batch = strategy.batch_to_device(batch, dataloader_idx=0)
        room = torch.empty(optimizer_room(trainer, task), dtype=torch.uint8, device=strategy.root_device)
        with precision.train_step_context():
            loss = task.training_step(batch, 0)
        # Not by backward(), which would leave gradients, and wake what waits for them to be summed over devices.
        torch.autograd.grad(loss, list(trained_parameters(task).values()), allow_unused=True)
        del room


def largest_batch(loader: TrainingBatches) -> Any:
    """The batch of a loader's epoch with the most tokens on both sides, padding included."""
    planned = loader._batches()
    sources_N, targets_N = planned.examples.source_lengths_N, planned.examples.target_lengths_N
    sizes = [
        len(index_B) * (int(sources_N[index_B].max()) + int(targets_N[index_B].max()))
        for index_B in planned.plan.batches
    ]
    return planned[int(np.argmax(sizes))]


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Gives a module and those in it their attributes back, and its buffers their values.

    What an attribute holds is not copied: one that is changed in place stays so, unless it is a buffer.
    """
    parts = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    values = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for part, attributes, buffers in parts:
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()
            part._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def optimizer_room(trainer: Trainer, task: Any) -> int:
    """Bytes that the optimizer will keep from its first step on; 0 if it has them already."""
    if not hasattr(task, "make_optimizer") or any(optimizer.state for optimizer in trainer.optimizers):
        return 0
    weights = list(trained_parameters(task).values())
    small = {ndim: nn.Parameter(torch.zeros(tuple(range(2, 2 + ndim)))) for ndim in {weight.ndim for weight in weights}}
    optimizer = task.make_optimizer(list(small.values()))
    for parameter in small.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(lambda: torch.zeros(()))
    copies = {
        ndim: sum(getattr(part, "shape", ()) == parameter.shape for part in optimizer.state[parameter].values())
        for ndim, parameter in small.items()
    }
    return sum(copies[weight.ndim] * weight.numel() * weight.element_size() for weight in weights)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU, for which torch has no class of its own."""
    texts = ("can't allocate memory", "not enough memory", "could not create a memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)


def advice(trainer: Trainer) -> str:
    """What to do where a step of training does not fit into memory."""
    if trainer.global_step:
        return "a step of this run needs more memory than there is here: go on with it where there is more"
    data: Any = trainer.train_dataloader
    rows = isinstance(data, TrainingBatches) and isinstance(data._batches().examples, Windows)
    sizes = "data.streams, data.window" if rows else "data.batch_tokens"
    return (
        f"the first step needs more memory than there is: make batches smaller ({sizes}), and as many more of them a "
        "step (trainer.accumulate_grad_batches), or the model"
    )
