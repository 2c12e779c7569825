"""Random numbers that depend on where training stands, not on how it got there."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SeedSteps(Callback):
    """Seeds torch anew before every batch from (seed, rank, step, batch).

    So dropout after a resume is what it would have been, without any random state in a checkpoint.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(step_seed(self.seed, trainer.global_rank, trainer.global_step, batch_idx))


def step_seed(*numbers: int) -> int:
    """A 64-bit seed that differs for any two different tuples of numbers, as far as a hash can."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
