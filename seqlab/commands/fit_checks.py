"""What a fit checks before it begins, and the run that it starts from."""

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.utilities.seed import isolate_rng
from torch.optim import Optimizer

from seqlab import registry
from seqlab.errors import UserError
from seqlab.runs import Run, is_first_process, read_source
from seqlab.specs import flat
from seqlab.training.guards import Agreed
from seqlab.training.initial_weights import Source, differing
from seqlab.training.preflight import advice, is_out_of_memory
from seqlab.training.rehearsal import try_optimizer

if TYPE_CHECKING:
    from seqlab.config import Settings

log = logging.getLogger("seqlab")

CHANGEABLE = ("trainer.", "checkpoint.", "data.val", "data.test", "data.workers")
"""Settings that a resumed run may change; another one would make it a run that never was."""
MOST_NAMED, LONGEST = 5, 60
"""Settings that a message shows, and characters of each value."""
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
        told = [f"{key}: was {_shown(before.get(key))}, now {_shown(now.get(key))}" for key in changed[:MOST_NAMED]]
        more = f", and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        raise UserError(
            f"--resume goes on as the run began, which this would change: {'; '.join(told)}{more} (only trainer.*, "
            "checkpoint.*, data.val, data.test and data.workers may change)"
        )


def _shown(value: Any) -> str:
    """A setting as it is written, cut where it is long."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


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
        source = read_source(name)
    except UserError as error:
        raise UserError(f"training.init_from: {error}") from error
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
    optimizer = _check_task(settings, task, max_steps)
    if not any(group["lr"] for group in optimizer.param_groups):
        log.warning("model.optimizer: the learning rate is 0: training will change no weight")
    if missing := _no_validation(settings):
        log.warning(
            "%s: there will be no validation, so no best checkpoint, and nothing that waits for %s",
            missing,
            settings.config.checkpoint.monitor,
        )


def _no_validation(settings: "Settings") -> str | None:
    """Why a run will never be validated, if it will not and that can be told before there is data."""
    trainer = settings.config.trainer
    interval, batches = trainer.val_check_interval, trainer.max_steps * trainer.accumulate_grad_batches
    if trainer.limit_val_batches == 0:
        return "trainer.limit_val_batches 0"
    if trainer.check_val_every_n_epoch is None and isinstance(interval, int) and 0 < batches < interval:
        return f"trainer.val_check_interval {interval:,} is more than all {batches:,} batches of the run"
    return None


def _check_task(settings: "Settings", task: Any, max_steps: int) -> Optimizer:
    known = [f"val/{name}" for name in task.metrics]
    listed = ", ".join(known) or "none"
    for key, name in (("checkpoint.monitor", settings.config.checkpoint.monitor), ("schedule", task.schedule.monitor)):
        if name is not None and name not in known:
            raise UserError(f"{key}: no score named {name!r}{registry.nearest(name, known)} (there are: {listed})")
    optimizer = try_optimizer(task)
    task.schedule.configure(optimizer, max_steps)
    return optimizer


def rehearse(settings: "Settings", max_steps: int) -> None:
    """Makes the task before there is data, so that what is wrong with its settings is said at once.

    The random numbers that this takes are given back: the run is the same with and without it.

    Raises:
        UserError: Something is wrong.
    """
    with isolate_rng():
        task = settings.rehearse_task()
        if task is not None:
            _check_task(settings, task, max_steps)


def check_unfinished(run: Run, checkpoint: dict[str, Any], trainer: Any) -> None:
    """A run that is to go on has something left to do, if only to write its summary.

    Raises:
        UserError: It has ended, by what still ends it.
    """
    if not run.summary.is_file():
        return
    with suppress(ValueError):  # if the summary is damaged, another one is to be written
        if json.loads(run.summary.read_text(encoding="utf-8"))["steps"] == checkpoint["global_step"]:
            _tell_end(trainer, checkpoint)


def _tell_end(trainer: Any, checkpoint: dict[str, Any]) -> None:
    step, states = checkpoint["global_step"], checkpoint["callbacks"]
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    end = None
    if 0 < trainer.max_steps <= step:
        end = f"trainer.max_steps, {trainer.max_steps:,}; give it more, or -1"
    elif trainer.max_epochs is not None and 0 < trainer.max_epochs <= epochs:
        end = f"trainer.max_epochs, {trainer.max_epochs:,}; give it more, or -1"
    for callback in trainer.callbacks:
        state = states.get(callback.state_key, {})
        if isinstance(callback, EarlyStopping) and state.get("wait_count", 0) >= callback.patience:
            count = f"{callback.patience:,} validation{'s' if callback.patience > 1 else ''}"
            end = f"checkpoint.patience, {count} without a better {callback.monitor}; give it more, or null"
        if isinstance(callback, Timer) and state and state["time_elapsed"]["train"] >= (callback.time_remaining() or 0):
            end = "trainer.max_time; give it more, or null"
    if end is not None:
        raise UserError(f"nothing is left to do at step {step:,}: the run was ended by its {end} for no limit")


@contextmanager
def first_step(run: Run, trainer: Any) -> Iterator[None]:
    """Training whose first step may fail: what torch then says is told in a line, and nothing is left of the run.

    A later failure is passed on as it is; the run is kept.

    Args:
        run: The run.
        trainer: The :class:`~lightning.pytorch.Trainer` that fits within.

    Raises:
        UserError: The first step failed in torch, or there was none; or no validation can be where it should.
    """
    try:
        yield
        if not trainer.global_step:
            why = "it was told to stop (trainer.max_time)" if trainer.num_training_batches else "data.train is empty"
            raise Agreed(f"the run ended before its first step: {why}")
    except Exception as error:
        agreed = next((each for each in (error, error.__cause__) if isinstance(each, Agreed)), None)
        told = isinstance(error, UserError | MisconfigurationException)
        fresh = not (trainer.global_step or run.last.is_file())
        if fresh and (agreed or not told) and is_first_process():
            run.remove()
        if agreed is not None:
            if trainer.is_global_zero:
                raise
            return  # the first process tells it
        if isinstance(error, ValueError) and "`val_check_interval`" in str(error):
            raise UserError(
                f"trainer.val_check_interval {trainer.val_check_interval:,} is more than the "
                f"{trainer.fit_loop.max_batches:,} batches of an epoch: without trainer.check_val_every_n_epoch (null) "
                "batches are counted across epochs"
            ) from error
        if told or not fresh or not isinstance(error, RuntimeError | MemoryError):
            raise
        if is_out_of_memory(error):
            raise UserError(advice(trainer)) from error
        raise UserError(f"the first step failed{_place(error)}: {' '.join(str(error).split())[:MOST_SAID]}") from error


def _place(error: Exception) -> str:
    """Where an error arose, in code that is neither torch's nor Lightning's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"torch", "lightning", "contextlib.py"} & set(Path(frame.filename).parts)
    ]
    return f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
