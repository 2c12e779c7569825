"""Checkpoints: which are kept, how they reach the disk, and what they say of themselves."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint

from seqlab.archives import check_archive
from seqlab.errors import UserError
from seqlab.files import replacing
from seqlab.training import exports
from seqlab.training.untrusted import check_contents

BEST, LAST = "best.ckpt", "last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, syncs it and renames it: whenever the power fails, a whole one is there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch complains a second time
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"cannot write {path}: {cause.strerror}; what was there before is as it was") from error


def load_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Reads a checkpoint, or the weights of an export, onto the CPU; only tensors, numbers and text are accepted.

    Args:
        path: The file.
        mmap: Leave the tensors on the disk until they are used, for who asks only what it says of itself.

    Raises:
        UserError: It is missing, damaged, or not one of seqlab's, or it holds anything else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint {path}{' (it is a folder)' if path.is_dir() else ''}")
    try:
        if path.suffix == exports.SUFFIX:
            return check_contents(exports.read_export(path), path)
        check_archive(path)
        return check_contents(torch.load(path, map_location="cpu", weights_only=True, mmap=mmap), path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UserError:
        raise
    except Exception as error:  # whatever torch says of a damaged or hostile file
        raise UserError(f"{path} is no readable checkpoint: {(str(error).splitlines() or ['damaged'])[0]}") from error


class Record(Callback):
    """Puts the run's configuration, versions and suppliers into every checkpoint.

    Args:
        config: The configuration as YAML text.
        suppliers: What plugins supplied, by :func:`~seqlab.suppliers.find_suppliers`.
    """

    def __init__(self, config: str, suppliers: dict[str, list[str]]):
        self.config, self.suppliers = config, suppliers

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        task: Any = pl_module
        checkpoint["seqlab"] = {
            "version": version("seqlab"),
            "torch": str(torch.__version__),
            "devices": trainer.world_size,
            "config": self.config,
            "cells": task.cell_origins(),
            "suppliers": self.suppliers,
        }


class StopAtNaN(Callback):
    """Ends a run whose loss or weights are no longer numbers, before such weights replace good ones on disk.

    Args:
        folder: Folder of the checkpoints.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not torch.isfinite(outputs["loss"]):
            self._stop(trainer, f"the loss is {float(outputs['loss'])}")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for name, parameter in pl_module.named_parameters():
            if not torch.isfinite(parameter).all():
                self._stop(trainer, f"weight {name} is no longer finite")

    def _stop(self, trainer: Trainer, what: str) -> None:
        saved = [path for path in (self.folder / LAST, self.folder / BEST) if path.is_file()]
        rest = f"the last good checkpoint is {saved[0]}" if saved else "no checkpoint was written yet"
        raise UserError(
            f"{what} at step {trainer.global_step}: {rest}; try a lower learning rate "
            "(model.optimizer.init_args.lr) or clipping (trainer.gradient_clip_val)"
        )


class SaveBest(ModelCheckpoint):
    """Keeps the best checkpoint, and knows it again where its run was moved to.

    Lightning forgets the best score when the folder has another path, and would let whatever comes next replace it.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state, with this folder in place of the one it was saved for."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        moved = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        models = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": models, "dirpath": self.dirpath})


class SaveLast(Checkpoint):
    """Writes the last checkpoint every so many optimizer steps, and at the end.

    A step that is followed by a validation is saved after it, since a run that is taken up from a checkpoint does not
    repeat the validation of its step: its scores must be in there.

    Args:
        path: Where.
        every_n_steps: Optimizer steps between two writings.
    """

    def __init__(self, path: Path, every_n_steps: int):
        if every_n_steps < 1:
            raise UserError(f"checkpoint.every_n_steps must be at least 1, not {every_n_steps}")
        self.path, self.every_n_steps = path, every_n_steps
        self._saved = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop
        if self._is_due(trainer) and not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):  # type: ignore[arg-type]
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and self._is_due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._saved:
            self._save(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        step = trainer.global_step  # with accumulation several batches end at one step
        return step != self._saved and (step % self.every_n_steps == 0 or step == trainer.max_steps)

    def _save(self, trainer: Trainer) -> None:
        self._saved = trainer.global_step
        trainer.save_checkpoint(self.path)


def checkpoint_callbacks(
    folder: Path, *, monitor: str, mode: str, patience: int | None, every_n_steps: int
) -> list[Callback]:
    """The callbacks that keep the best checkpoint by a validation score and the last one, and stop early.

    Args:
        folder: Folder of the checkpoints.
        monitor: Name of the score, such as ``val/bleu``.
        mode: ``max`` if more is better, else ``min``.
        patience: Validations without a better score after which training stops; never if None.
        every_n_steps: Optimizer steps between two writings of the last checkpoint.
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
    callbacks: list[Callback] = [best, SaveLast(folder / LAST, every_n_steps)]
    if patience is not None:
        callbacks.append(EarlyStopping(monitor=monitor, mode=mode, patience=patience, check_on_train_epoch_end=False))
    return callbacks
