"""``seqlab fit`` on each device, with what it did to every optimizer step written down, or with a rank that fails.

Run as a script: ``observed_fit.py FOLDER [FLAGS OF seqlab fit ...]``. One callback of seqlab is replaced by
one that does more; all else is the command as users have it, its launcher of further processes too.

``FAIL=RANK:STEP:HOW`` lets a rank fail before the batch of a step: HOW is ``raise`` (an error of the program), ``tell``
(one that the user can mend), ``kill`` (as by the kernel), ``exit`` (without a word) or ``hang``.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

import seqlab.training.seeding as seeding
from seqlab.cli import main
from seqlab.errors import UserError

FOLDER = Path(sys.argv[1])


class Observed(seeding.SeedSteps):
    """Seeds steps as ever; writes each rank's examples and gradients of every optimizer step, and what it scored."""

    trained: list[Any]
    scored: list[int]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trained, self.scored = [], []
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), FOLDER / "start.pt")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self.trained.append(batch.index_B.tolist())
        rank, step, how = (os.environ.get("FAIL") or "-1:0:").split(":")
        if (trainer.global_rank, trainer.global_step) == (int(rank), int(step)):
            fail(how)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        gradients = {name: parameter.grad for name, parameter in pl_module.named_parameters()}
        step = {"epoch": trainer.current_epoch, "batches": self.trained, "gradients": gradients}
        torch.save(step, FOLDER / f"step{trainer.global_step}-rank{trainer.global_rank}.pt")
        self.trained = []

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.scored += batch.index_B.tolist()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.save(self.scored, FOLDER / f"scored{trainer.global_step}-rank{trainer.global_rank}.pt")
        self.scored = []


def fail(how: str) -> None:
    """Fails as asked for."""
    if how == "raise":
        raise ZeroDivisionError("on purpose")
    elif how == "tell":
        raise UserError("on purpose")
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(7)
    else:
        time.sleep(3600)


if __name__ == "__main__":
    seeding.SeedSteps = Observed  # type: ignore[misc]
    sys.exit(main(["fit", *sys.argv[2:]]))
