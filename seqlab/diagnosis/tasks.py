"""A task as it is measured: in evaluation mode, and afterwards as it was."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from seqlab.diagnosis.dynamics import LONG
from seqlab.diagnosis.measuring import Measured, measure, untold
from seqlab.diagnosis.tracing import Trace, trace
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks.base import Task
from seqlab.training.preflight import untouched as untouched_module

SEED = 1
"""Of what a loss draws: the same whenever it is measured."""


def trace_task(task: Task, batch: Any) -> dict[str, Trace]:
    """What the loss of a batch sends into each stack of a task's layers; the task is left as it was, and so is the
    random state.

    Args:
        task: The task.
        batch: The batch, on any device.

    Raises:
        UserError: The task has no such layers, its loss does not call them, or its gradient is not finite.
    """
    stacks = stacks_of(task)
    with untouched(task):
        batch = task.transfer_batch_to_device(batch, task.device, 0)
        traces = trace(stacks, lambda: task.loss(batch))
    if not traces:
        raise UserError(
            f"the loss of {type(task).__name__} calls none of its layers ({', '.join(stacks)}), so there is nothing to "
            "diagnose"
        )
    for name, each in traces.items():
        entering = (each.gradient_TBO, *(part for cell in each.finals or () for part in cell))
        if not all(part.isfinite().all() for part in entering):
            raise UserError(
                f"the gradient of the loss by the outputs of {name} is not finite: the weights have diverged"
            )
    return traces


def stacks_of(task: Task) -> dict[str, RecurrentStack]:
    """The stacks of a task's layers by their names.

    Raises:
        UserError: There is none.
    """
    stacks = task.stacks()
    if not stacks:
        raise UserError(
            f"{type(task).__name__} has no layers of seqlab (RecurrentStack), so there is nothing to diagnose"
        )
    return stacks


def measure_task(
    task: Task, traces: Mapping[str, Trace], steps: int = LONG, done: Callable[[], Any] = untold
) -> dict[str, Measured]:
    """Measures each stack of a task's layers on what :func:`trace_task` found; ``done`` is that of
    :func:`~seqlab.diagnosis.measuring.measure`."""
    stacks = task.stacks()
    return {name: measure(stacks[name], each, steps, done) for name, each in traces.items()}


@contextmanager
def untouched(task: Task) -> Iterator[None]:
    """Within it, a task is in evaluation mode and logs nothing; afterwards its modules and their attributes, such as a
    state that is carried from batch to batch, are what they were, and so is the random state."""
    drawn = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None  # which isolate_rng leaves out
    try:
        with isolate_rng(), untouched_module(task):
            torch.manual_seed(SEED)
            task.eval()
            vars(task).update(log=_log_nothing, log_dict=_log_nothing)
            yield
    finally:
        if drawn is not None:
            torch.mps.set_rng_state(drawn)


def _log_nothing(*arguments: Any, **options: Any) -> None:
    pass
