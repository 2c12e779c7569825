"""What a fit checks before it begins, and the run that it starts from."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from seqlab import registry
from seqlab.errors import UserError
from seqlab.runs import Run, is_first_process
from seqlab.specs import flat
from seqlab.training.checkpoints import load_checkpoint
from seqlab.training.initial_weights import Source, differing
from seqlab.training.rehearsal import try_optimizer

if TYPE_CHECKING:
    from seqlab.config import Settings

CHANGEABLE = ("trainer.", "checkpoint.", "data.val", "data.test", "data.workers")
"""Settings that a resumed run may change; another one would make it a run that never was."""
MOST_SAID = 300
"""Characters of what torch says of a failure; it goes on with advice for its own developers."""


def check_unchanged(settings: "Settings", checkpoint: dict[str, Any]) -> None:
    """A resumed run goes on with the settings it began with.

    Raises:
        UserError: A flag changes one that it may not.
    """
    before, now = (flat(yaml.safe_load(text)) for text in (checkpoint["seqlab"]["config"], settings.dump()))
    changed = [key for key in differing(before, now) if not key.startswith(CHANGEABLE)]
    if changed:
        raise UserError(
            f"--resume goes on as the run began, so {', '.join(changed)} cannot change; only trainer.*, "
            "checkpoint.*, data.val, data.test and data.workers can"
        )


def check_gradient(settings: "Settings") -> None:
    """What the gradient is scaled to needs no clipping.

    Raises:
        UserError: Both are asked for.
    """
    if settings.config.training.normalize_gradient is not None and settings.config.trainer.gradient_clip_val:
        raise UserError(
            f"training.normalize_gradient ({settings.config.training.normalize_gradient}) and "
            f"trainer.gradient_clip_val ({settings.config.trainer.gradient_clip_val}) contradict each other; set one "
            "of them to null"
        )


def find_source(settings: "Settings", run: Run) -> Source | None:
    """The run that training starts from, if it does.

    Raises:
        UserError: It is no run, it has no checkpoint, or it does not go with the settings.
    """
    name = settings.config.training.init_from
    if name is None:
        return None
    if run.path.resolve() in (Path(name).resolve(), *Path(name).resolve().parents):
        raise UserError(f"training.init_from: {name} is the run that is to start; take another --run DIR for it")
    try:
        checkpoint = load_checkpoint(Path(name) if Path(name).is_file() else Run(name).checkpoint())
    except UserError as error:
        raise UserError(f"training.init_from: {error}") from error
    source = Source(name, checkpoint, flat(yaml.safe_load(checkpoint["seqlab"]["config"])))
    source.check(flat(yaml.safe_load(settings.dump())))
    return source


def check_task(settings: "Settings", task: Any, max_steps: int) -> None:
    """What decides over the weights must go together: the scores, the optimizer and the schedule.

    Args:
        settings: The settings.
        task: The task, on data or without.
        max_steps: Optimizer steps of the run, -1 if that is open.

    Raises:
        UserError: A score that something listens to is not one of the task's, the optimizer cannot train it, or the
            schedule needs an end.
    """
    known = [f"val/{name}" for name in task.metrics]
    listed = ", ".join(known) or "none"
    for key, name in (("checkpoint.monitor", settings.config.checkpoint.monitor), ("schedule", task.schedule.monitor)):
        if name is not None and name not in known:
            raise UserError(f"{key}: no score named {name!r}{registry.nearest(name, known)} (there are: {listed})")
    optimizer = try_optimizer(task)
    task.schedule.configure(optimizer, max_steps)


def rehearse(settings: "Settings", max_steps: int) -> None:
    """Makes the task before there is data, so that what is wrong with its settings is said at once.

    The random numbers that this takes are given back: the run is the same with and without it.

    Raises:
        UserError: Something is wrong.
    """
    with isolate_rng():
        task = settings.rehearse_task()
        if task is not None:
            check_task(settings, task, max_steps)


@contextmanager
def first_step(run: Run, trainer: Trainer) -> Iterator[None]:
    """Training whose first step may fail: what torch then says is told in a line, and nothing is left of the run.

    A later failure is passed on as it is; the run is kept.

    Raises:
        UserError: The first step failed in torch.
    """
    try:
        yield
    except Exception as error:
        if trainer.global_step or run.last.is_file() or isinstance(error, UserError | MisconfigurationException):
            raise
        if is_first_process():
            run.remove()
        if not isinstance(error, RuntimeError):
            raise
        if isinstance(error, torch.OutOfMemoryError):
            raise UserError(
                "the first step needs more memory than there is: make batches smaller (data.batch_tokens), and as many "
                "more of them a step (trainer.accumulate_grad_batches), or the model"
            ) from error
        raise UserError(f"the first step failed{_place(error)}: {' '.join(str(error).split())[:MOST_SAID]}") from error


def _place(error: Exception) -> str:
    """Where an error arose, in code that is neither torch's nor Lightning's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"torch", "lightning", "contextlib.py"} & set(Path(frame.filename).parts)
    ]
    return f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
