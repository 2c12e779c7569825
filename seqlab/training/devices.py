"""Several devices that train as one: how they may be made to, and what is said when one of them is gone."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Trainer

from seqlab.errors import RankError, UserError

WHOLE = {
    *("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true"),
    *("DDPStrategy", "SingleDeviceStrategy"),
}
"""Strategies that keep all weights on every device, and start processes of this very command."""


def check_strategy(strategy: Any) -> None:
    """Several devices train by data-parallel copies of the model (DDP).

    Args:
        strategy: The setting ``trainer.strategy``: a name, or a class with its arguments.

    Raises:
        UserError: It is another strategy.
    """
    name = getattr(strategy, "class_path", None) or (strategy if isinstance(strategy, str) else type(strategy).__name__)
    if name.rpartition(".")[2] not in WHOLE:
        raise UserError(
            f"trainer.strategy {name}: several devices train with ddp alone; strategies that split the weights, such "
            "as FSDP and DeepSpeed, do not go with tied embeddings, averages of weights and checkpoints that any "
            "number of devices can use, and those that fork or spawn lose the command's own settings"
        )


def check_devices(checkpoint: dict[str, Any], trainer: Trainer) -> None:
    """A run goes on with as many devices as it has had: the batches of an epoch are shared out among them.

    Raises:
        UserError: There are more or fewer of them.
    """
    before, now = checkpoint["seqlab"].get("devices", trainer.world_size), trainer.world_size
    if before != now:
        raise UserError(
            f"the run trains on {before} devices, and cannot go on with {now}: which batches it has had follows from "
            f"their number; set trainer.devices, or trainer.num_nodes, so that it is {before}"
        )


@contextmanager
def as_one(trainer: Trainer, run: Path) -> Iterator[None]:
    """Training on several devices, told of by the process that failed, and in a line by those that waited for it.

    Args:
        trainer: The trainer that fits within.
        run: Directory of the run.

    Raises:
        RankError: Another process ended, or this one raised a UserError and is not the first.
    """
    try:
        yield
    except UserError as error:
        if trainer.global_rank == 0:
            raise
        raise RankError(f"rank {trainer.global_rank}: {error}") from error
    except RuntimeError as error:
        if trainer.world_size == 1 or not is_of_another(error):
            raise
        raise RankError(
            f"rank {trainer.global_rank} lost touch with the other {trainer.world_size - 1} at step "
            f"{trainer.global_step:,}: a process of this fit ended or cannot be reached (what it said, if anything, "
            f"is above); go on from the last checkpoint with: seqlab fit --run {shlex.quote(str(run))} --resume"
        ) from error


def is_of_another(error: RuntimeError) -> bool:
    """Whether an error says that a process waited in vain for another; gloo has no class of its own for that."""
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error)
