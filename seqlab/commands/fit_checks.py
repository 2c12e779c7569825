"""What a fit checks before it begins, and the run that it starts from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seqlab import registry
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.training.checkpoints import load_checkpoint
from seqlab.training.initial_weights import Source, differing

if TYPE_CHECKING:
    from seqlab.config import Settings

CHANGEABLE = ("trainer.", "checkpoint.", "data.val", "data.test", "data.workers")
"""Settings that a resumed run may change; another one would make it a run that never was."""


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


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {name: value for key in values for name, value in flat(values[key], f"{prefix}.{key}".strip(".")).items()}


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


def check_trainer(settings: "Settings") -> None:
    """Values that the trainer takes and then fails at, or trains without.

    Raises:
        UserError: There is one.
    """
    trainer = settings.config.trainer
    for name in ("accumulate_grad_batches", "val_check_interval"):
        if trainer.get(name) is not None and not isinstance(trainer[name], str | dict) and trainer[name] <= 0:
            raise UserError(f"trainer.{name} must be positive, not {trainer[name]}")
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise UserError(f"trainer.gradient_clip_val must not be negative, but is {trainer.gradient_clip_val}")


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


def check_monitor(settings: "Settings", task: Any) -> None:
    """The score that chooses checkpoints must be one of the task's.

    Raises:
        UserError: It is not.
    """
    known = [f"val/{name}" for name in task.metrics]
    for key, name in (("checkpoint.monitor", settings.config.checkpoint.monitor), ("schedule", task.schedule.monitor)):
        if name is not None and name not in known:
            raise UserError(
                f"{key}: no score named {name!r}{registry.nearest(name, known)} (there are: {', '.join(known)})"
            )
