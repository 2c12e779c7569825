"""The trainer's settings: which a run has, and values that the trainer would refuse late, or in words of its own."""

import re
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from seqlab.errors import UserError
from seqlab.registry import nearest

BRIEF = {
    "max_steps": "Optimizer steps after which training ends; -1: none.",
    "max_epochs": "Passes over the training data after which it ends; -1: none.",
    "max_time": "Time after which it ends, as DD:HH:MM:SS: 00:01:30:00 is an hour and a half.",
    "val_check_interval": "Training batches between two validations; where check_val_every_n_epoch is set, a number "
    "below 1 is a share of the epoch.",
    "gradient_clip_val": "The most that the gradient may measure, by its norm or each of its values; null: as it is.",
    "gradient_clip_algorithm": "norm or value; null: norm.",
    "accumulate_grad_batches": "Batches that make one optimizer step.",
    "accelerator": "What to train on: cpu, gpu, or auto for a GPU where there is one.",
    "devices": "How many of them, or which as a list; auto: all GPUs, or one process on the CPU.",
    "precision": "Floating-point format: 32-true, 16-mixed, bf16-mixed, 64-true and others; null: 32-true.",
}
"""The settings that most runs have, in the words of the short help."""
OWN = {
    *("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary", "default_root_dir"),
    *("reload_dataloaders_every_n_epochs", "fast_dev_run", "limit_train_batches", "overfit_batches"),
}
"""Arguments of the trainer that a run sets itself, or that would change which batches make a step."""

MOST_PROCESSES = 128
"""Processes that a fit starts on the CPU of a machine."""

LEAST = {
    "max_steps": (1, -1, "-1 for no limit"),
    "max_epochs": (1, -1, "-1 for no limit"),
    "accumulate_grad_batches": (1, 1, ""),
    "check_val_every_n_epoch": (1, 1, "null to count in batches alone"),
    "log_every_n_steps": (1, 1, ""),
    "num_sanity_val_steps": (0, -1, "-1 for all batches"),
    "num_nodes": (1, 1, ""),
    "limit_val_batches": (0, 0, ""),
}
"""For each whole number the least that it may be, another value that it may have, and what that means."""


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Makes sure that the trainer can do what its settings ask for, here.

    Args:
        settings: The settings under ``trainer``.

    Raises:
        UserError: It cannot.
    """
    for name, (least, other, meaning) in LEAST.items():
        value = settings.get(name)
        if isinstance(value, int) and value < least and value != other:
            hint = f", or {meaning}" if meaning else ""
            raise UserError(f"trainer.{name} must be at least {least}{hint}, not {value}")
    _check_validation(settings)
    clip, algorithm = settings.get("gradient_clip_val"), settings.get("gradient_clip_algorithm")
    if clip is not None and clip < 0:
        raise UserError(f"trainer.gradient_clip_val must not be negative, but is {clip}; null leaves clipping out")
    if algorithm not in (None, "norm", "value"):
        raise UserError(f"trainer.gradient_clip_algorithm must be norm or value, not {algorithm!r}")
    time = settings.get("max_time")
    if isinstance(time, str) and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", time.strip()):
        raise UserError(
            f"trainer.max_time must be DD:HH:MM:SS, such as 00:01:30:00 for an hour and a half, not {time!r}"
        )
    strategy, strategies = settings.get("strategy"), StrategyRegistry.available_strategies()
    if isinstance(strategy, str) and strategy not in (*strategies, "auto"):
        raise UserError(
            f"trainer.strategy: no strategy named {strategy!r}{nearest(strategy, strategies)} "
            "(auto is right for one device, ddp for several)"
        )
    _check_devices(settings.get("accelerator"), settings.get("devices"))


def _check_validation(settings: Mapping[str, Any]) -> None:
    interval = settings.get("val_check_interval")
    if not isinstance(interval, int | float):
        return
    if interval <= 0:
        raise UserError(f"trainer.val_check_interval must be positive, not {interval}")
    if isinstance(interval, int):
        return
    if settings.get("check_val_every_n_epoch") is None:
        raise UserError(
            f"trainer.val_check_interval must be a whole number of batches, not {interval}: a share of an epoch needs "
            "trainer.check_val_every_n_epoch 1"
        )
    if interval > 1:
        raise UserError(
            f"trainer.val_check_interval must be a whole number of batches, or at most 1.0 as a share of an epoch, "
            f"not {interval}"
        )


def _check_devices(accelerator: Any, devices: Any) -> None:
    """That there are such devices, and as many."""
    if not isinstance(accelerator, str):
        return
    known = {name: AcceleratorRegistry[name]["accelerator"] for name in AcceleratorRegistry.available_accelerators()}
    usable = [name for name, kind in known.items() if kind.is_available()]
    gpus: list[str] = [name for name in ("cuda", "mps") if name in usable]
    if accelerator not in (*known, "auto", "gpu"):
        names = ["auto", "gpu", *known]
        raise UserError(
            f"trainer.accelerator: no accelerator named {accelerator!r}{nearest(accelerator, names)} "
            f"(here there are: auto, {', '.join(usable)})"
        )
    if accelerator not in (*usable, "auto") and not (accelerator == "gpu" and gpus):
        raise UserError(
            f"trainer.accelerator {accelerator}: there is none here that torch can use; auto takes what there is "
            f"({', '.join(gpus) or 'cpu'})"
        )
    text = str(devices).strip()
    if isinstance(devices, str) and not re.fullmatch(r"auto|-1|\d+|\d+(\s*,\s*\d+)*,?", text):
        raise UserError(f"trainer.devices must be how many, a list of their numbers, or auto, not {devices!r}")
    count = int(text) if re.fullmatch(r"-?\d+", text) else None
    if count is not None and count != -1 and count < 1:
        raise UserError(f"trainer.devices must be at least 1, not {count}")
    kind = {"auto": (gpus or ["cpu"])[0], "gpu": (gpus or [""])[0]}.get(accelerator, accelerator)
    if kind == "cpu" and count == -1:
        raise UserError("trainer.devices -1 takes every GPU, but training is on the CPU: give the number of processes")
    if kind == "cpu" and count is not None and count > MOST_PROCESSES:
        raise UserError(f"trainer.devices must be between 1 and {MOST_PROCESSES} on the CPU, not {count:,}")
    if kind == "cuda" and count is not None and count > (here := known[kind].auto_device_count()):
        raise UserError(f"trainer.devices asks for {count} GPUs, but there {'is' if here == 1 else 'are'} {here} here")
