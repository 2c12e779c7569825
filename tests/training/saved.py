"""A model of one weight, fitted with callbacks that save it, and what they left."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from seqlab.training.checkpoints import AtomicCheckpointIO

RESUMES = pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning", "ignore:You're resuming:UserWarning")


def step_of(path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def files(path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


class Tiny(LightningModule):
    """Learns one weight; the value of a batch is the slope of its loss."""

    def __init__(self, values):
        super().__init__()
        self.values, self.weight = values, nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return (self.weight * self.values[batch]).sum()

    def on_save_checkpoint(self, checkpoint):
        checkpoint["seqlab"] = {}  # by which a checkpoint is known

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Scored(Tiny):
    """Is validated as well, with a given score after each step."""

    def validation_step(self, batch, batch_idx):
        self.log("val/score", (0.2, 0.3, 0.9, 0.4, 0.5, 0.3)[self.trainer.global_step - 1], batch_size=1)


def fit(folder, callbacks: list[Callback], *, values=(1.0,) * 6, task=Tiny, resume=None, **options) -> Tiny:
    """Trains on a batch for each value; validates after each, if the task does."""
    trainer = Trainer(
        **{"max_epochs": 1, "val_check_interval": 1, **options},
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        accelerator="cpu",
        num_sanity_val_steps=0,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
    )
    module = task(values)
    validation = range(1) if issubclass(task, Scored) else None
    trainer.fit(module, range(len(values)), validation, ckpt_path=resume, weights_only=True)
    return module
