"""Which checkpoints are kept: the best one, the last one and the one before."""

import logging
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint

from seqlab.errors import UserError
from seqlab.training.checkpoints import BEST, LAST, load_checkpoint

log = logging.getLogger("seqlab")


def check_intervals(every_n_steps: int, every_n_minutes: float | None) -> None:
    """Makes sure that the last checkpoint can be written as often as is asked for.

    Raises:
        UserError: It cannot.
    """
    if every_n_steps < 1:
        raise UserError(f"checkpoint.every_n_steps must be at least 1, not {every_n_steps}")
    if every_n_minutes is not None and not 0 < every_n_minutes < math.inf:
        raise UserError(
            f"checkpoint.every_n_minutes must be more than 0, or null to go by steps alone, not {every_n_minutes}"
        )


class SaveBest(ModelCheckpoint):
    """Keeps the best checkpoint, and knows it again where its run was moved to.

    Lightning forgets the best score when the folder has another path, and would let whatever comes next replace it.
    And it keeps the score of a checkpoint that is lost, which no later one might reach.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state, with this folder in place of the one it was saved for."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        moved = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        models = {here(path): score for path, score in state_dict["best_k_models"].items()}
        if moved["best_model_path"]:
            try:
                load_checkpoint(Path(moved["best_model_path"]))
            except UserError as error:
                log.warning("%s; the best one from here on takes its place", error)
                return
        super().load_state_dict({**state_dict, **moved, "best_k_models": models, "dirpath": self.dirpath})


class SaveLast(Checkpoint):
    """Writes the last checkpoint every so many optimizer steps or minutes, and at the end.

    A step that is followed by a validation is saved after it, since a run that is taken up from a checkpoint does not
    repeat the validation of its step: its scores must be in there.

    Args:
        path: Where.
        every_n_steps: Optimizer steps between two writings.
        every_n_minutes: Minutes since the last writing after which the next step is saved as well, whatever its number.
            Several devices save after the same step, which is when the first of them finds that it is time.
        clock: Seconds since some moment.
    """

    def __init__(
        self,
        path: Path,
        every_n_steps: int,
        every_n_minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        check_intervals(every_n_steps, every_n_minutes)
        self.path, self.every_n_steps, self.every_n_minutes, self.clock = path, every_n_steps, every_n_minutes, clock
        self._saved, self._written = 0, 0.0
        self._step, self._late = 0, False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        if batches["is_last_batch"] and batches["total"]["completed"] < batches["total"]["processed"]:
            # Lightning asks whether an epoch had all its batches by the number of those of the next, which may be more.
            batches["current"]["completed"] = sys.maxsize

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = self._step = trainer.global_step
        self._written, self._late = self.clock(), False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:  # within accumulated batches, whose gradients are in no checkpoint
            return
        self._step, self._late = trainer.global_step, self._is_late(trainer)
        loop = trainer.fit_loop
        if self._is_due(trainer) and not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):  # type: ignore[arg-type]
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and self._is_due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._saved:
            self._save(trainer)

    def _is_late(self, trainer: Trainer) -> bool:
        """Whether it is time for any of the devices; each of them must ask after each step."""
        if self.every_n_minutes is None:
            return False
        late = self.clock() - self._written >= 60 * self.every_n_minutes
        return trainer.strategy.reduce_boolean_decision(late, all=False)

    def _is_due(self, trainer: Trainer) -> bool:
        step = trainer.global_step
        return step != self._saved and (self._late or step % self.every_n_steps == 0 or step == trainer.max_steps)

    def _save(self, trainer: Trainer) -> None:
        self._saved = trainer.global_step
        trainer.save_checkpoint(self.path)
        self._written, self._late = self.clock(), False


class StopEarly(EarlyStopping):
    """Early stopping that a run which is taken up keeps to: one that was to end ends, unless it has more patience now.

    Lightning forgets that it was to end, and takes the patience of the run's beginning.
    """

    @property
    def state_key(self) -> str:
        return super().state_key.replace(type(self).__qualname__, EarlyStopping.__qualname__, 1)  # as ever

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state, but for the patience."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def checkpoint_callbacks(
    folder: Path,
    *,
    monitor: str,
    mode: str,
    patience: int | None,
    every_n_steps: int,
    every_n_minutes: float | None = None,
) -> list[Callback]:
    """The callbacks that keep the best checkpoint by a validation score and the last one, and stop early.

    Args:
        folder: Folder of the checkpoints.
        monitor: Name of the score, such as ``val/bleu``.
        mode: ``max`` if more is better, else ``min``.
        patience: Validations without a better score after which training stops; never if None.
        every_n_steps: Optimizer steps between two writings of the last checkpoint.
        every_n_minutes: Minutes after which it is written whatever the step; never if None.
    """
    best = SaveBest(
        dirpath=folder,
        filename=Path(BEST).stem,
        monitor=monitor,
        mode=mode,
        save_top_k=1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [best, SaveLast(folder / LAST, every_n_steps, every_n_minutes)]
    if patience is not None:
        callbacks.append(StopEarly(monitor=monitor, mode=mode, patience=patience, check_on_train_epoch_end=False))
    return callbacks
