"""What is done about a loss or a gradient that is no number, and the length of the gradient for the log."""

import logging
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from seqlab.errors import UserError
from seqlab.training.averaging import AveragedWeights
from seqlab.training.checkpoints import BEST, LAST

log = logging.getLogger("seqlab")

MANY = 100
"""Steps left out in a row after which a run ends: by then it is no odd batch, but the weights or all of the data."""


class Agreed(UserError):
    """What ends a fit on all devices at once, so that it is enough if the first one tells it."""


class SkipStep(Exception):
    """Raised within the closure of an optimizer, which computes gradients, so that no step is taken."""


class TakenAverages(AveragedWeights):
    """Averages that steps which were left out are no part of."""

    @property
    def state_key(self) -> str:
        return AveragedWeights.__qualname__  # by which checkpoints have always known them

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        task: Any = pl_module
        if not task.skipped:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class Guard(Callback):
    """Looks at loss and gradient before each optimizer step, so that what is no number never reaches the weights.

    All devices decide alike, and without waiting for one another: a loss that is not finite is given a gradient that is
    not either, and the sum of the gradients of all devices and accumulated batches then is not, on each of them. Only
    after that do they ask each other what it was.

    A step that is left out is counted and logged as ``train/skipped``: how many so far. It changes neither weights nor
    what the optimizer keeps nor averages of weights. The number of the step, the data and the learning rate go on as if
    it had been taken, so that both stay functions of the step; and so do running statistics of layers.

    The scale of 16-bit gradients is found by trial: where the loss is finite and the scaled gradient is not, the scaler
    leaves the step out and takes a smaller scale, which is no error and is not counted.

    Weights that are no longer finite are never saved, whatever came before. What ends a run is an :class:`Agreed`.

    Args:
        folder: Folder of the checkpoints.
        nonfinite: What to do about a loss or gradient that is not finite: ``stop`` the run, or ``skip`` the step.
        every_n_steps: Optimizer steps between two lengths of the gradient in the log, as ``train/gradient_norm``: the
            norm of all of it, before it is clipped or normalised.
    """

    def __init__(self, folder: Path, nonfinite: str = "stop", every_n_steps: int = 50):
        self.folder, self.nonfinite, self.every_n_steps = folder, nonfinite, max(1, every_n_steps)
        self.skipped = 0
        """Optimizer steps left out so far, those of the scaler not counted."""
        self._in_a_row = 0
        self._losses: list[Tensor] = []
        self._step = -1

    def state_dict(self) -> dict[str, int]:
        """The steps that were left out, so that a resumed run goes on counting."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self.skipped, self._in_a_row = state_dict["skipped"], state_dict["in_a_row"]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        value = loss.detach()
        # 1 if it is finite, else no number. The gradient of an infinite loss may be finite.
        factor = value - value + 1
        loss.register_hook(lambda gradient: gradient * factor)
        self._losses.append(value)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        losses, self._losses = self._losses, []
        again, self._step = self._step == trainer.global_step, trainer.global_step
        gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
        if not gradients:
            return
        norm = torch.nn.utils.get_total_norm(gradients)
        if (trainer.global_step + 1) % self.every_n_steps == 0:
            pl_module.log("train/gradient_norm", norm)
        if torch.isfinite(norm) or all(bool(torch.isfinite(part).all()) for part in gradients):
            self._in_a_row = 0  # a norm beyond the largest float is the clipping's affair
            return
        lost = [float(loss) for loss in losses if not torch.isfinite(loss)]
        if trainer.strategy.reduce_boolean_decision(bool(lost), all=False):
            what = f"the loss is {lost[-1]}" if lost else "the loss is not finite on another device"
        elif getattr(trainer.precision_plugin, "scaler", None) is not None:
            self._leave_out(trainer, pl_module, "the 16-bit gradient is not finite, however small its scale,")
            vars(optimizer)["_opt_called"] = True  # torch would warn of a schedule that goes on before the first step
            return
        else:
            what = "the gradient is not finite"
        if self.nonfinite == "stop":
            self._stop(trainer, what)
        if again:
            self._stop(trainer, f"{what} when {type(optimizer).__name__} computed it once more in the same step, and")
        self.skipped += 1
        self._leave_out(trainer, pl_module, what)
        task: Any = pl_module
        task.on_step_skipped()
        if self.skipped == 1:
            log.warning(
                "%s at step %s: the step is skipped (training.nonfinite); how many are is train/skipped of metrics.csv",
                what,
                f"{trainer.global_step:,}",
            )
        if getattr(trainer.precision_plugin, "scaler", None) is None:  # which leaves the step out by itself
            raise SkipStep

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.nonfinite == "skip" and trainer.global_step % self.every_n_steps == 0:
            pl_module.log("train/skipped", float(self.skipped))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.skipped:
            log.warning(
                "%s of %s steps were skipped, whose loss or gradient was not finite (training.nonfinite)",
                f"{self.skipped:,}",
                f"{trainer.global_step:,}",
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for name, parameter in pl_module.named_parameters():
            if not torch.isfinite(parameter).all():
                self._stop(trainer, f"weight {name} is no longer finite")

    def _leave_out(self, trainer: Trainer, task: Any, what: str) -> None:
        self._in_a_row += 1
        if self._in_a_row >= MANY:
            self._stop(trainer, f"{what} for {MANY} steps in a row")
        task.skipped = True

    def _stop(self, trainer: Trainer, what: str) -> NoReturn:
        saved = [path for path in (self.folder / LAST, self.folder / BEST) if path.is_file()]
        rest = f"the last good checkpoint is {saved[0]}" if saved else "no checkpoint was written yet"
        remedies = ["a lower learning rate (model.optimizer.init_args.lr)", "clipping (trainer.gradient_clip_val)"]
        remedies += ["training.nonfinite skip"] if self.nonfinite == "stop" else []
        raise Agreed(f"{what} at step {trainer.global_step}: {rest}; try {', or '.join(remedies)}")
